"""The command: reads options and environment, makes one call, tells how it ended."""

import os
import re
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stage_in.errors import StageInError
from stage_in.settings import PATIENCE, TRANSPORTS, Settings
from stage_in.transfer.quota import CONNECTIONS

if TYPE_CHECKING:
    import loguru

# A JSON Web Token, or what is left of one that a message was cut in.
TOKEN = re.compile(r"eyJ[\w-]{8,}(\.[\w-]*)*", re.ASCII)
SECRETS = ("CDSE_ACCESS_TOKEN", "CDSE_REFRESH_TOKEN", "CDSE_PASSWORD", "CDSE_TOTP")
MAX_MESSAGE_LENGTH = 10_000  # characters: quotes are cut where they are made, but for a slip
STOPPING = (signal.SIGINT, signal.SIGTERM)
_SHORT = 8  # characters of a secret that words of ours may hold by chance
_MAX_LAST_LINE_DELAY = 2.0  # seconds that a last line may take, where nobody reads the log
_setting_up_log = threading.Lock()


def _read_assets(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> frozenset[str] | None:
    if value is None:
        return None
    from stage_in.safe.bands import read_selection

    try:
        return read_selection(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command(context_settings={"max_content_width": 100})
@click.option(
    "--input-item",
    required=True,
    help="Sentinel-2 Level-1C CDSE STAC Item URL",
)
@click.option(
    "--output-dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default="catalog",
    show_default=True,
    help="Folder of the catalog",
)
@click.option(
    "--assets",
    metavar="NAMES",
    callback=_read_assets,
    help="Bands to stage, such as B04,B08,TCI or red,nir,visual; metadata, preview and the bands' "
    "own masks come with them  [default: all]",
)
@click.option(
    "--transport",
    metavar="NAME",
    type=click.Choice(TRANSPORTS),
    default=TRANSPORTS[0],
    show_default=True,
    help="nodes: file by file, side by side; zip: in one",
)
@click.option(
    "--connections",
    metavar="N",
    type=click.IntRange(1, CONNECTIONS),
    default=CONNECTIONS,
    show_default=True,
    help="To the platform at once, at most",
)
@click.option(
    "--patience",
    metavar="SECS",
    type=click.FloatRange(min=0, min_open=True),
    default=PATIENCE,
    show_default=True,
    help="Give up when nothing has arrived for so long",
)
@click.option("--no-verify", is_flag=True, help="Check sizes only, not digests; the item says so")
@click.option("--verbose", is_flag=True, help="Log each file")
@click.option("--quiet", is_flag=True, help="Log warnings and errors only")
@click.version_option(package_name="stage-in")
def main(
    input_item: str,
    output_dir: Path,
    assets: frozenset[str] | None,
    transport: str,
    connections: int,
    patience: float,
    no_verify: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    """Stage a Sentinel-2 Level-1C product"""  # noqa: D415 (as the usage has it, word for word)
    with _setting_up_log:
        logger = _set_up_log("DEBUG" if verbose else "WARNING" if quiet else "INFO")
    try:
        from stage_in.staging import stage_in
        from stage_in.transfer.client import check_environment
        from stage_in.transfer.credentials import Credentials
        from stage_in.transfer.trust import Trust

        trust = Trust.from_environment(os.environ)
        check_environment(os.environ)
        credentials = Credentials.from_environment(os.environ, trust)
        settings = Settings(
            bands=assets,
            transport=transport,
            connections=connections,
            patience=patience,
            verify=not no_verify,
            bar=sys.stderr.isatty() and not quiet,
        )
        stage_in(input_item, output_dir, trust, credentials, settings)
    except StageInError as error:
        logger.error("{}", error)
        sys.exit(error.exit_code)


def _set_up_log(level: str) -> "loguru.Logger":
    """Log to standard error: for a person at a terminal, for the log of a pod elsewhere."""
    from loguru import logger

    if sys.stderr is None:  # closed by whoever started us
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    secrets = [
        _secret_pattern(value) for name in SECRETS if (value := os.environ.get(name, "").strip())
    ]

    def clean(record: "loguru.Record") -> None:
        message = record["message"]
        for secret in secrets:
            message = secret.sub("[secret]", message)
        message = TOKEN.sub("[token]", message)[:MAX_MESSAGE_LENGTH]
        # What servers and items say may hold line ends, or sequences that command a terminal.
        record["message"] = "".join(c if c.isprintable() else " " for c in message)

    terminal = sys.stderr.isatty()
    layout = (
        "\r\x1b[K\x1b[?25h<green>{time:HH:mm:ss}</green> <level>{message}</level>"
        if terminal
        else "{time:YYYY-MM-DDTHH:mm:ss.SSSZZ} {level: <8} {message}"
    )
    logger.remove()
    logger.configure(patcher=clean)
    logger.add(sys.stderr, level=level, format=layout, diagnose=False, backtrace=False)
    return logger


def _secret_pattern(value: str) -> re.Pattern[str]:
    """Return what finds a secret in a message; a short one as a word by itself.

    Where `p` is struck out of every word, each word tells that it is `p`.
    """
    word = re.escape(value)
    return re.compile(word if len(value) >= _SHORT else rf"(?<!\w){word}(?!\w)")


def _end_at_signal() -> None:
    """Wait for a signal, and end the process there and then.

    Not by an exception in the main thread: that could come up anywhere, inside a lock or where
    nobody passes it on. What a run leaves must be right when it is killed, so nothing has to be
    tidied up here either.
    """
    number = signal.sigwait(STOPPING)

    def end() -> None:
        # The log may not be set up yet; and nobody else's news may come after this line.
        with _setting_up_log:
            name = signal.Signals(number).name
            logger = _set_up_log("ERROR")
            logger.error("Stopped by {}: run it again to go on from what has arrived", name)
            os._exit(128 + number)

    ending = threading.Thread(target=end, daemon=True)
    ending.start()
    ending.join(_MAX_LAST_LINE_DELAY)
    os._exit(128 + number)


def run() -> None:
    """Run the command as a process of its own, and end that without tearing it down.

    Threads that wait for a server, or are in the midst of an import, can't be stopped; the
    interpreter is not to be taken apart under them.
    """
    # Threads inherit what is blocked: of all of them, only the one that waits gets the signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        threading.Thread(target=_end_at_signal, daemon=True).start()
    except RuntimeError:  # the system grants no more threads: then signals kill
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    try:
        main()
    except SystemExit as end:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                with suppress(OSError):  # whoever read it may have gone away
                    stream.flush()
        os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))


if __name__ == "__main__":
    run()
