"""The command stage-in: it reads options and environment variables, makes one call, and reports."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stage_in.command import Command
from stage_in.errors import StageInError, TemporaryError, UsageError
from stage_in.log import set_up_log, setting_up_log
from stage_in.machine import check_limits, machine_faults_named
from stage_in.process import run_as_process
from stage_in.settings import PATIENCE, TRANSPORTS, Settings
from stage_in.transfer.quota import MAX_CONNECTIONS, MAX_OTHER_CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from click.shell_completion import CompletionItem

    from stage_in.safe.images import Images


# stage-in.cwl sets it to the glob by which the workflow runner looks for the catalog.
_GLOB_VARIABLE = "STAGE_IN_OUTPUT_GLOB"
# For workflow runners that lose empty folders, such as Toil with its file store.
_KEEP_VARIABLE = "STAGE_IN_KEEP_FOLDERS"

_EPILOG = """
The command reads a token of your Copernicus Data Space account from CDSE_ACCESS_TOKEN. The command
cdse-token prints one. You can set CDSE_USERNAME and CDSE_PASSWORD, or a key pair for S3, instead.

\b
Example:
  export CDSE_ACCESS_TOKEN=$(cdse-token)
  stage-in --assets B04,B08 --input-item <URL of the item>

\b
Exit codes:
  0       The catalog is complete.
  2       An option or environment variable can't be used.
  65      The item or product is invalid, incomplete or damaged.
  66      There is no such item or product.
  73      The output can't be written.
  75      The failure is temporary: run the command again.
  77      There is no token, or it was refused.
  128+n   Signal n has stopped the run.
The last line on standard error gives the reason.
"""


def _check_glob(glob: str | None) -> None:
    """Check that a workflow runner will find the catalog again, before anything is downloaded.

    Raises:
        UsageError: it would not: the runner looks in the working directory, for a pattern.
    """
    if glob is not None and (
        glob.startswith(("/", "~")) or ".." in glob.split("/") or re.search(r"[][*?\\]", glob)
    ):
        raise UsageError(
            f"the input output_dir must be the plain name of a folder, but is {glob!r}, where the "
            "workflow runner would not find the catalog"
        )


def _read_keep_folders(value: str) -> bool:
    """Return whether empty folders are to be kept by a file.

    Raises:
        UsageError: the variable has another value than 0 or 1.
    """
    if value not in {"", "0", "1"}:
        raise UsageError(f"STAGE_IN_KEEP_FOLDERS must be 0 or 1, but is {value!r}")
    return value == "1"


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


def _complete_assets(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Complete the last name of a list such as `B04,re`."""
    from stage_in.safe.bands import BAND_OF_ASSET

    chosen, comma, start = incomplete.rpartition(",")
    names = [*BAND_OF_ASSET.values(), *BAND_OF_ASSET]
    return [
        f"{chosen}{comma}{name}"
        for name in names
        if name.startswith(start) and name not in chosen.split(",")
    ]


def _complete_path(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir" if parameter.name == "output_dir" else "file")]


@click.command(
    "stage-in",
    cls=Command,
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
)
@click.option(
    "--input-item",
    "input_items",
    required=True,
    multiple=True,
    shell_complete=_complete_path,
    help="Sentinel-2 Level-1C CDSE STAC Item URL",
)
@click.option(
    "--output-dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default="catalog",
    show_default=True,
    shell_complete=_complete_path,
    help="Folder to which the STAC catalog is written.",
)
@click.option(
    "--assets",
    metavar="NAMES",
    callback=_read_assets,
    shell_complete=_complete_assets,
    help="Bands to stage, such as B04,B08,TCI or red,nir,visual. The metadata, the meteorology "
    "(AUX_DATA), the preview and the masks of these bands are included.  [default: all]",
)
@click.option(
    "--transport",
    metavar="NAME",
    type=click.Choice(TRANSPORTS),
    default=TRANSPORTS[0],
    show_default=True,
    help="Where to get the files: mount (a mounted archive), s3, nodes (single files in parallel) "
    "or zip (one stream). auto tries them in this order, as far as the environment allows.",
)
@click.option(
    "--connections",
    metavar="N",
    type=click.IntRange(1, MAX_OTHER_CONNECTIONS),
    default=MAX_CONNECTIONS,
    show_default=True,
    help="Maximum number of parallel downloads: up to 4, or 32 with an S3 endpoint in "
    "AWS_ENDPOINT_URL_S3.",
)
@click.option(
    "--patience",
    metavar="SECS",
    type=click.FloatRange(min=0, min_open=True),
    default=PATIENCE,
    show_default=True,
    help="Stop after this many seconds without new data.",
)
@click.option(
    "--no-verify",
    is_flag=True,
    help="Check only the sizes of the files, not their digests. The item records this.",
)
@click.option(
    "--log-format",
    metavar="NAME",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Format of the log on standard error: text, or json (one object per line).",
)
@click.option("--verbose", is_flag=True, help="Log each file.")
@click.option("--quiet", is_flag=True, help="Log only warnings and errors.")
@click.version_option(package_name="stage-in")
def main(
    input_items: tuple[str, ...],
    output_dir: Path,
    assets: frozenset[str] | None,
    transport: str,
    connections: int,
    patience: float,
    no_verify: bool,
    log_format: str,
    verbose: bool,
    quiet: bool,
) -> None:
    """Stage a Sentinel-2 Level-1C product"""  # noqa: D415 (the usage is fixed word for word)
    level = "DEBUG" if verbose else "WARNING" if quiet else "INFO"
    try:
        with machine_faults_named(), _starting_images() as images:
            with setting_up_log:
                logger = set_up_log(level)
            check_limits()
            keep_folders = _read_keep_folders(os.environ.get(_KEEP_VARIABLE, ""))
            settings = Settings(
                assets, transport, connections, patience, not no_verify, keep_folders
            )
            show_progress = sys.stderr.isatty() and not quiet and log_format == "text"
            _stage(input_items, output_dir, settings, images, show_progress=show_progress)
    except StageInError as error:
        with setting_up_log:  # the failure may be that of the libraries that come before the log
            logger = set_up_log(level)
        logger.error("{}", _format_failure(error), exit_code=error.exit_code)
        sys.exit(error.exit_code)
    if log_format == "json":
        logger.info("Finished", exit_code=0)


def _starting_images() -> "Images":
    """Start the process that reads images, which loads its libraries while this one loads others.

    It takes longest, so it is the first to start.
    """
    from stage_in.libraries import isolate
    from stage_in.safe.images import Images

    isolate(os.environ)
    return Images()


def _stage(
    input_items: tuple[str, ...],
    output_dir: Path,
    settings: Settings,
    images: "Images",
    *,
    show_progress: bool,
) -> None:
    from stage_in.progress import Progress
    from stage_in.staging import Staging
    from stage_in.transfer.access import Access
    from stage_in.transfer.environment import check_certificates

    _check_glob(os.environ.get(_GLOB_VARIABLE))
    check_certificates(os.environ)
    access = Access.from_environment(os.environ, settings.transport)
    access.check_connections(settings.connections)
    with Progress(bar=show_progress) as progress:
        Staging(access, settings, progress).stage_catalog(input_items, output_dir, images)


def _format_failure(error: StageInError) -> str:
    """Return the message of a failure and its notes as sentences in one line."""
    message = str(error)
    notes: Iterable[str] = getattr(error, "__notes__", ())
    if error.exit_code == TemporaryError.exit_code:
        notes = notes or ["Run the command again later."]
    return " ".join([f"{message[:1].upper()}{message[1:].rstrip('.')}.", *notes])


def run() -> None:
    """Run the command as a process of its own."""
    run_as_process(main)


if __name__ == "__main__":
    run()
