"""Who is measured, and the command of each."""

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.product import BANDS

_STAGE_IN = (sys.executable, "-m", "app.app", "--quiet", "--input-item", "{item}")
_CURL = (
    'curl --location-trusted -fsS -H "Authorization: Bearer $CDSE_ACCESS_TOKEN" '
    '-o product.zip "$1" && unzip -q product.zip'
)


@dataclass(frozen=True)
class Contestant:
    """One way to a product.

    Attributes:
        key: short name, for the command line and the results.
        title: what it is.
        command: its arguments, where `{item}` stands for the URL of the product's STAC item and
            `{zip}` for that of its zip at the catalogue. It runs in an empty folder, with the
            access token and the sandbox's origins in its environment.
        ours: whether it is the tool of this repository.
        part: whether it fetches three bands and the metadata, not the whole product.
        series: whether it is measured at all sizes.
    """

    key: str
    title: str
    command: tuple[str, ...]
    ours: bool = False
    part: bool = False
    series: bool = False

    def get_command(self, item: str, archive: str) -> list[str]:
        """Return the arguments for a product.

        Args:
            item: URL of its STAC item.
            archive: URL of its zip.
        """
        return [word.format(item=item, zip=archive) for word in self.command]


NODES = Contestant("nodes", "stage-in, nodes", _STAGE_IN, ours=True, series=True)
ZIP = Contestant("zip", "stage-in, zip", (*_STAGE_IN, "--transport", "zip"), ours=True, series=True)
PART = Contestant(
    "bands",
    "stage-in, three bands",
    (*_STAGE_IN, "--assets", ",".join(BANDS)),
    ours=True,
    part=True,
)
CURL = Contestant("curl", "curl + unzip", ("sh", "-c", _CURL, "sh", "{zip}"))
TUTORIAL = Contestant(
    "tutorial",
    "requests, 8 KiB + extractall",
    (sys.executable, str(Path(__file__).with_name("tutorial.py")), "{item}"),
    series=True,
)

CONTESTANTS = {x.key: x for x in (NODES, ZIP, PART, CURL, TUTORIAL)}
