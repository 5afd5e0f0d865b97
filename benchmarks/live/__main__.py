"""`python -m benchmarks.live`: stage a small product from the real platform, and print a report."""

import os
import platform as machine
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import click

from benchmarks.live.platform import Platform
from benchmarks.live.report import Filter, code, make_table
from benchmarks.live.service import (
    describe_clocks,
    describe_downloads,
    describe_item,
    describe_slots,
    describe_token,
    show_origins,
)
from benchmarks.live.staging import describe_sizes, describe_staging
from benchmarks.live.store import describe_store
from stage_in.errors import StageInError
from stage_in.secrets import register_url
from stage_in.urls import redact

# Half a tile, of 117 MB.
DEFAULT_ITEM = (
    "https://stac.dataspace.copernicus.eu/v1/collections/sentinel-2-l1c/items/"
    "S2A_MSIL1C_20240116T000741_N0510_R130_T51CVP_20240116T010505"
)
_BANDS = "B01,B09,B10"
# What the tool and the sandbox assume, in the order of the summary.
_ASSUMED = {
    "The list of files, without a token": "200",
    "A file, without a token": "401 DAT-ZIP-604",
    "An access token is valid for": "600 s",
    "A refresh token is valid for": "3600 s",
    "Content-Length of a file": "sent",
    "ETag of a file": "unknown; a download resumes with or without one",
    "First byte of a file after": "0.2 s",
    "Range of a file": "206, or 200 and the whole file",
    "Range of the zip": "206, or 200 and the whole zip",
    "The catalogue's URL of the zip": "301 to zipper or download",
    "Content-Length of the zip": "sent, as in the item",
    "Size of the zip in the item": "that of the zip",
    "Size of the zip in OData": "that of the zip",
    "Sizes in the item": "agree",
    "Sizes in the list": "agree",
    "Sizes in the manifest": "agree",
    "Checksums in the item": "agree; MD5's code may stand before a SHA3-256",
    "One of 4 finished downloads still counts for": "0 to 5 s",
    "One of 4 cancelled downloads still counts for": "0 to 5 s",
    "Without a free slot": "429 DAT-ZIP-100, perhaps with Retry-After",
    "Headers about limits": "x-ratelimit-limit from S3",
    "S3: a small object": "200",
    "S3: ETag": "an MD5, or an MD5 and a number of parts",
    "S3: first byte after": "unknown",
    "S3: Range": "206",
    "S3: list of objects": "200",
    "S3: one of 4 finished downloads still counts for": "0 s",
    "The platform's clocks are ahead of this one by": "0 s",
}


def make_report(platform: Platform, say: Callable[[str], None]) -> Iterator[str]:
    """Send all requests, and yield the lines of the report.

    A section that fails ends with a line about it. After Ctrl-C, the report contains what is known.
    """
    sections: dict[str, Callable[[], Iterator[str]]] = {
        "The item": partial(describe_item, platform),
        "The token": partial(describe_token, platform),
        "Staging": partial(describe_staging, platform, say),
        "The download service": partial(describe_downloads, platform),
        "Download slots": partial(describe_slots, platform),
        "The object store": partial(describe_store, platform),
        "Sizes and checksums": partial(describe_sizes, platform),
        "Clocks": partial(describe_clocks, platform),
    }
    details: list[str] = []
    for title, section in sections.items():
        say(title.lower())
        details += ["", f"## {title}", ""]
        platform.prober.session.close()  # connections that are kept open may count
        try:
            for line in section():
                details.append(line)
        except KeyboardInterrupt:
            details.append("- stopped")
            break
        except Exception as error:
            notes = getattr(error, "__notes__", ())
            details.append(f"- failed: {code(' '.join([_name(error), *notes]))}")
    limits = ", ".join(sorted(platform.prober.limits)) or "none"
    platform.found["Headers about limits"] = code(limits)
    where = "an imitation of the platform" if show_origins(platform) else "the live platform"
    yield f"# stage-in on {where}"
    yield ""
    yield from _describe_software(platform)
    yield ""
    rows = [
        [question, assumed, platform.found.get(question, "not determined")]
        for question, assumed in _ASSUMED.items()
    ]
    yield from make_table(("question", "assumed", "found"), rows)
    yield from details


def _name(error: Exception) -> str:
    return str(error) if isinstance(error, StageInError) else f"{type(error).__name__}: {error}"


def _describe_software(platform: Platform) -> Iterator[str]:
    packages = ("stage-in", "requests", "urllib3", "requests-aws4auth")
    yield f"- Time: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    yield f"- Versions: {', '.join(f'{name} {version(name)}' for name in packages)}"
    yield f"- Python {machine.python_version()}, {ssl.OPENSSL_VERSION}, {machine.platform()}"
    yield f"- Item: {code(redact(platform.item_url))}"
    yield f"- Bands: {', '.join(platform.bands)}"
    if origins := show_origins(platform):
        yield f"- **Not the platform**: `CDSE_TRUSTED_HOSTS` names {origins}"


@click.command()
@click.argument("item", default=DEFAULT_ITEM)
@click.option("--bands", default=_BANDS, show_default=True, help="Bands to stage.")
@click.option(
    "--max-zip",
    metavar="MB",
    default=200,
    show_default=True,
    help="The zip is not downloaded if it is larger.",
)
@click.option(
    "--pause",
    metavar="SECS",
    default=6.0,
    show_default=True,
    help="Wait this long before each measurement, so that earlier ones no longer count.",
)
def main(item: str, bands: str, max_zip: int, pause: float) -> None:
    """Stage bands of the product of ITEM from the real platform, and print a report in Markdown.

    It uses the account, keys and mount that the environment names, as stage-in does, and never more
    than four connections. Run no other job of the account at the same time, because it would use
    download slots that are measured here. The report contains no secrets.
    """
    with tempfile.TemporaryDirectory(prefix="live-") as name:
        folder = Path(name)
        publish = Filter(os.environ, folder)
        register_url(item)

        def say(text: str) -> None:
            click.echo(publish(f"… {text}"), err=True)

        try:
            platform = Platform.from_environment(
                os.environ,
                item_url=item.strip(),
                bands=bands.split(","),
                folder=folder,
                max_zip=max_zip * 10**6,
                pause=pause,
            )
        except StageInError as error:
            click.echo(publish(str(error)), err=True)
            sys.exit(error.exit_code)
        if not platform.transports:
            click.echo(
                "expected an account in the environment, found none. Run export "
                "CDSE_ACCESS_TOKEN=$(cdse-token); docs/environment.md lists the other variables",
                err=True,
            )
            sys.exit(2)
        for line in make_report(platform, say):
            click.echo(publish(line))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.live")
