"""The command cdse-token: logs in and prints a token or keys of the object store."""

import getpass
import os
import shlex
import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from stage_in.command import Command, writing_output
from stage_in.errors import TemporaryError, UsageError
from stage_in.log import set_up_log
from stage_in.machine import machine_faults_named

if TYPE_CHECKING:
    from stage_in.transfer.credentials import Credentials


_EPILOG = """
\b
Examples:
  export CDSE_ACCESS_TOKEN=$(cdse-token)
  eval "$(cdse-token --s3)"

Exit codes: 0 success; 2 the input or an option can't be used; 73 can't write to standard output;
75 the platform can't be reached; 77 the platform refused the login; 130 stopped by Ctrl-C.
"""


@click.command(
    "cdse-token",
    cls=Command,
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
)
@click.option(
    "--username",
    envvar="CDSE_USERNAME",
    help="User name. If it is not given, the command asks for it.",
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
    help="Number of days until the key pair expires.",
)
@click.option("--s3-delete", metavar="KEY", help="Delete the key pair with this access key.")
@click.version_option(package_name="stage-in")
def main(username: str | None, refresh: bool, s3: bool, days: int, s3_delete: str | None) -> None:
    """Print an access token of a Copernicus Data Space account.

    The command asks for user name, password and one-time code on standard error, so that
    `export CDSE_ACCESS_TOKEN=$(cdse-token)` works. It takes the password from CDSE_PASSWORD and
    the one-time code from CDSE_TOTP if these are set. Neither can be an argument, because other
    users of the machine can see arguments.

    `eval "$(cdse-token --s3)"` sets keys for S3. They stay in the account until they expire, and
    an account can have only a limited number of key pairs.
    """
    if refresh + s3 + (s3_delete is not None) > 1:
        raise click.UsageError("--refresh, --s3 and --s3-delete can't be combined.")
    with machine_faults_named():
        credentials = _ask(username)
        if s3:
            output = _create_keys(credentials, days)
        elif s3_delete is not None:
            output = _delete_keys(credentials, s3_delete)
        else:
            access = credentials.access_token()
            output = credentials.refresh_token if refresh else access
            if not output:
                raise TemporaryError(
                    "the answer of the token endpoint contains no refresh token. Use the access "
                    "token, which cdse-token prints without --refresh"
                )
    if output:
        with writing_output():
            click.echo(output)


def _ask(username: str | None) -> "Credentials":
    """Return user, password and one-time code from the environment or the terminal."""
    set_up_log("WARNING")  # before the imports, because of the variables that loguru reads
    from stage_in.transfer.credentials import Credentials, read_secret
    from stage_in.transfer.environment import check_certificates
    from stage_in.transfer.trust import Trust

    check_certificates(os.environ)
    trust = Trust.from_environment(os.environ)
    password = read_secret(os.environ, "CDSE_PASSWORD")
    totp = read_secret(os.environ, "CDSE_TOTP")
    given = [
        "the user in --username or CDSE_USERNAME" if username else "the user that you typed",
        "the password in CDSE_PASSWORD" if password else "the password that you typed",
    ]
    user = (username or _prompt("User")).strip()
    if not user:
        raise UsageError(
            "the name of the user consists only of spaces. Give the name of your account"
        )
    if not password:
        password = _prompt("Password", hide_input=True)
        code = {"default": "", "show_default": False}
        totp = totp or _prompt("One-time code (leave empty if you have none)", **code)
    remedy = f"Check {' and '.join(given)}"
    if totp:
        remedy += ". A one-time code is valid for seconds, and only once"
    else:
        remedy += ". An account with two-factor login needs a one-time code as well"
    return Credentials(
        trust, username=user, password=password.strip(), totp=totp.strip(), login_remedy=remedy
    )


def _prompt(text: str, **options: Any) -> str:
    """Ask a question on standard error.

    Raises:
        UsageError: the input ends in place of an answer, or the answer can't be read.
    """
    if not sys.stdin.isatty():  # there, nothing shows the password
        warnings.simplefilter("ignore", getpass.GetPassWarning)
    try:
        return str(click.prompt(text, err=True, **options))
    except click.Abort as abort:
        if not options.get("hide_input"):  # click ends that line itself
            _report("")
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise
        raise UsageError(
            f"the input ended before an answer to {text!r}. Run the command at a terminal, or set "
            "CDSE_USERNAME and CDSE_PASSWORD"
        ) from abort
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or f"it must be in {sys.stdin.encoding}"
        raise UsageError(
            f"can't get an answer to {text!r}: {reason}. Type it again, or set CDSE_USERNAME and "
            "CDSE_PASSWORD"
        ) from error


def _create_keys(credentials: "Credentials", days: int) -> str:
    from stage_in.transfer.key_manager import KeyManager

    pair = KeyManager(credentials.trust, credentials).create(days)
    _report(
        f"cdse-token: created the key pair {pair.access_key} (expires {pair.expiry}). It stays "
        "in your account until then, and the number of key pairs is limited. When you no longer "
        "use it, delete it with cdse-token --s3-delete "
        f"{pair.access_key}. New keys take some seconds to work."
    )
    return (
        f"export CDSE_S3_ACCESS_KEY={shlex.quote(pair.access_key)}\n"
        f"export CDSE_S3_SECRET_KEY={shlex.quote(pair.secret_key)}"
    )


def _delete_keys(credentials: "Credentials", access_key: str) -> str:
    from stage_in.transfer.key_manager import KeyManager

    KeyManager(credentials.trust, credentials).delete(access_key)
    _report(f"cdse-token: deleted the key pair {access_key}")
    return ""


def _report(text: str) -> None:
    with suppress(OSError):  # the exit code or the secret key still follows
        click.echo(text, err=True)


if __name__ == "__main__":
    main()
