"""Which files are requested from a sandbox, and how many at once, for tests."""

import re
from collections import Counter
from urllib.parse import unquote

from sandbox.log import Exchange
from sandbox.server import Sandbox
from tests.conftest import Run, StageIn


def count_downloads(platform: Sandbox) -> Counter[str]:
    """Return how often each file was requested, by its path in the product."""
    exchanges = platform.log.of("download", "*$value")
    return Counter(
        "/".join(re.findall(r"Nodes\(([^)]*)\)", unquote(x.path))[1:]) for x in exchanges
    )


def run_until_open(
    stage_in: StageIn, number: int, item: str, *options: str, **variables: str
) -> Run:
    """Run the command; no image arrives before so many are requested at once."""
    platform = stage_in.platform
    stall = platform.faults.add("path=*.jp2* stall=60")

    def are_open(_: Exchange) -> bool:
        return sum(".jp2" in x.path and x.closed is None for x in platform.log.now()) == number

    with stage_in.start(item, *options, **variables) as process:
        platform.log.wait(are_open)
        platform.faults.remove(stall)
        _, log = process.communicate(timeout=60)
    return Run(process.returncode, log)
