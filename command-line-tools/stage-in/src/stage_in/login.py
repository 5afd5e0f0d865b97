"""The command cdse-token: logs in and prints a token or keys of the object store."""

import os
import shlex
import sys
from typing import TYPE_CHECKING

import click

from stage_in.command import Command
from stage_in.errors import StageInError
from stage_in.log import set_up_log
from stage_in.machine import machine_faults_named

if TYPE_CHECKING:
    from stage_in.transfer.credentials import Credentials


@click.command(cls=Command, context_settings={"max_content_width": 100})
@click.option(
    "--username",
    envvar="CDSE_USERNAME",
    help="The command asks for it if missing.",
)
@click.option("--refresh", is_flag=True, help="Print the refresh token (valid for an hour).")
@click.option(
    "--s3",
    is_flag=True,
    help="Create a key pair for S3, and print two lines that export it.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 366),
    default=1,
    show_default=True,
    metavar="N",
    help="Time until the key pair expires.",
)
@click.option("--s3-delete", metavar="KEY", help="Delete the key pair with this access key.")
@click.version_option(package_name="stage-in")
def main(username: str | None, refresh: bool, s3: bool, days: int, s3_delete: str | None) -> None:
    """Print an access token of a Copernicus Data Space account.

    The command asks for user, password and one-time code on standard error, so that
    `export CDSE_ACCESS_TOKEN=$(cdse-token)` works. It takes the password from CDSE_PASSWORD and
    the one-time code from CDSE_TOTP if these are set. Neither can be an argument, because other
    users of the machine can see arguments.

    `eval "$(cdse-token --s3)"` sets keys for S3. They are permanent state of the account until they
    expire, and an account can have only a limited number of key pairs.
    """
    if refresh + s3 + (s3_delete is not None) > 1:
        raise click.UsageError("expected one of --refresh, --s3 and --s3-delete, found more.")
    try:
        with machine_faults_named():
            credentials = _ask(username)
            if s3:
                output = _create_keys(credentials, days)
            elif s3_delete is not None:
                output = _delete_keys(credentials, s3_delete)
            else:
                access = credentials.access_token()
                output = credentials.refresh_token if refresh else access
    except StageInError as error:
        click.echo(f"cdse-token: {error}", err=True)
        sys.exit(error.exit_code)
    if output:
        click.echo(output)


def _ask(username: str | None) -> "Credentials":
    """Return user, password and one-time code from the environment or the terminal."""
    from stage_in.transfer.credentials import Credentials, read_secret
    from stage_in.transfer.environment import check_certificates
    from stage_in.transfer.trust import Trust

    set_up_log("WARNING")
    check_certificates(os.environ)
    trust = Trust.from_environment(os.environ)
    username = str(username or click.prompt("User", err=True))
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
    return Credentials(
        trust, username=username.strip(), password=password.strip(), totp=totp.strip()
    )


def _create_keys(credentials: "Credentials", days: int) -> str:
    from stage_in.transfer.key_manager import KeyManager

    pair = KeyManager(credentials.trust, credentials).create(days)
    click.echo(
        f"cdse-token: created the key pair {pair.access_key} (expires {pair.expiry}). It is "
        "permanent state of your account until then, and the number of key pairs is limited. When "
        "it is no longer in use, delete it with cdse-token --s3-delete "
        f"{pair.access_key}. New keys take some seconds to work.",
        err=True,
    )
    return (
        f"export CDSE_S3_ACCESS_KEY={shlex.quote(pair.access_key)}\n"
        f"export CDSE_S3_SECRET_KEY={shlex.quote(pair.secret_key)}"
    )


def _delete_keys(credentials: "Credentials", access_key: str) -> str:
    from stage_in.transfer.key_manager import KeyManager

    KeyManager(credentials.trust, credentials).delete(access_key)
    click.echo(f"cdse-token: deleted the key pair {access_key}", err=True)
    return ""


if __name__ == "__main__":
    main()
