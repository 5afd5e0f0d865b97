"""The command cdse-token: log in, print a token."""

import os
import sys

import click

from stage_in.errors import StageInError


@click.command(context_settings={"max_content_width": 100})
@click.option("--username", envvar="CDSE_USERNAME", help="Asked for where it is not given")
@click.option("--refresh", is_flag=True, help="Print the refresh token, which lives for an hour")
@click.version_option(package_name="stage-in")
def main(username: str | None, refresh: bool) -> None:
    """Print an access token of a Copernicus Data Space account.

    It asks for user, password and one-time code, on standard error, so that
    `export CDSE_ACCESS_TOKEN=$(cdse-token)` works. The password is taken from CDSE_PASSWORD and
    the one-time code from CDSE_TOTP where these are set; neither can be given as an argument,
    which others on the machine could see.
    """
    from loguru import logger

    from stage_in.transfer.client import check_environment
    from stage_in.transfer.credentials import read_secret, request_tokens
    from stage_in.transfer.trust import Trust

    logger.disable("stage_in")
    try:
        check_environment(os.environ)
        trust = Trust.from_settings("", os.environ.get("CDSE_IDENTITY_URL", ""))
        username = username or click.prompt("User", err=True)
        password = read_secret(os.environ, "CDSE_PASSWORD")
        totp = read_secret(os.environ, "CDSE_TOTP")
        if not password:
            password = click.prompt("Password", hide_input=True, err=True)
            totp = totp or click.prompt(
                "One-time code (leave empty if you have none)",
                default="",
                show_default=False,
                err=True,
            )
        tokens = request_tokens(trust, str(username).strip(), password.strip(), totp.strip())
    except StageInError as error:
        click.echo(f"cdse-token: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(tokens[refresh])


if __name__ == "__main__":
    main()
