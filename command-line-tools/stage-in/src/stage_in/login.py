"""The command cdse-token: logs in and prints a token."""

import os
import sys

import click

from stage_in.command import Command
from stage_in.errors import StageInError
from stage_in.log import set_up_log
from stage_in.machine import machine_faults_named


@click.command(cls=Command, context_settings={"max_content_width": 100})
@click.option(
    "--username",
    envvar="CDSE_USERNAME",
    help="The command asks for it if missing.",
)
@click.option("--refresh", is_flag=True, help="Print the refresh token (valid for an hour).")
@click.version_option(package_name="stage-in")
def main(username: str | None, refresh: bool) -> None:
    """Print an access token of a Copernicus Data Space account.

    The command asks for user, password and one-time code on standard error, so that
    `export CDSE_ACCESS_TOKEN=$(cdse-token)` works. It takes the password from CDSE_PASSWORD and
    the one-time code from CDSE_TOTP if these are set. Neither can be an argument, because other
    users of the machine can see arguments.
    """
    try:
        with machine_faults_named():
            access, refresh_token = _log_in(username)
    except StageInError as error:
        click.echo(f"cdse-token: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(refresh_token if refresh else access)


def _log_in(username: str | None) -> tuple[str, str]:
    from stage_in.transfer.credentials import log_in, read_secret
    from stage_in.transfer.environment import check_certificates
    from stage_in.transfer.trust import Trust

    set_up_log("WARNING")
    check_certificates(os.environ)
    trust = Trust.from_environment(os.environ)
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
    return log_in(trust, str(username).strip(), password.strip(), totp.strip())


if __name__ == "__main__":
    main()
