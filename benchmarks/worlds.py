"""The worlds, the contestants and the plan of plan.toml."""

import heapq
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.product import BANDS
from sandbox.limits import Limits

_FOLDER = Path(__file__).parent
_TABLES = tomllib.loads((_FOLDER / "plan.toml").read_text())


class World(NamedTuple):
    """Conditions of the platform, and the tool's targets in them."""

    title: str
    limits: Limits
    speedup: float = 1.0
    ratio: float | None = None

    def get_bound(self, sizes: Iterable[int]) -> float | None:
        """Return the seconds that files take when each comes whole; None without limits.

        The next file, the largest first, goes to the download slot that is free first. It occupies
        the slot until its first byte, while its bytes arrive, and until the slot is released.
        """
        limits = self.limits
        if limits.rate is None or limits.connections is None:
            return None
        free = [0.0] * limits.connections
        end = 0.0
        for size in sorted(sizes, reverse=True):
            arrived = heapq.heappop(free) + limits.latency + size / limits.rate
            heapq.heappush(free, arrived + limits.lag)
            end = max(end, arrived)
        return end


class Contestant(NamedTuple):
    """One way to get a product; `bands_only` is for three bands and the metadata."""

    title: str
    command: list[str]
    bands_only: bool = False

    def get_command(self, urls: dict[str, str]) -> list[str]:
        """Return the command for a product with these URLs of its `item` and its `zip`."""
        values = {"python": sys.executable, "here": _FOLDER, "bands": ",".join(BANDS), **urls}
        return [word.format(**values) for word in self.command]


WORLDS = {
    key: World(**{**world, "limits": Limits(**world["limits"])})
    for key, world in _TABLES["worlds"].items()
}
CONTESTANTS = {key: Contestant(**fields) for key, fields in _TABLES["contestants"].items()}


class Group(NamedTuple):
    """Contestants that take turns with a product of some megabytes in one world."""

    world: str
    size: int
    rounds: int
    contestants: list[str] = list(CONTESTANTS)  # noqa: RUF012 (nobody changes it)


PLAN, QUICK = ([Group(**group) for group in _TABLES[name]] for name in ("plan", "quick"))
