"""The worlds, the contestants and the plan of plan.toml."""

import heapq
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.product import BANDS
from sandbox.limits import Limits, Sessions

_STEP = 0.005  # seconds; the bound is longer by up to two of them
_FOLDER = Path(__file__).parent
_TABLES = tomllib.loads((_FOLDER / "plan.toml").read_text())


class World(NamedTuple):
    """Conditions of the platform, and the tool's targets in them."""

    title: str
    limits: Limits
    speedup: float | None = None
    ratio: float | None = None

    def get_bound(self, sizes: Iterable[int]) -> float | None:
        """Return the least seconds for files that come whole, or all in one zip.

        Without limits it is None. The world has to count requests, and to limit the rate of each
        download alone.
        """
        sizes = sorted(sizes)
        if self.limits.rate is None or self.limits.connections is None:
            return None
        return min(self._download(sizes), self._download([sum(sizes)]))

    def _download(self, sizes: list[int]) -> float:
        """Return the seconds for downloads, the largest first, by someone who sees free slots."""
        limits, waiting = self.limits, list(sizes)
        now = 0.0
        sessions = Sessions(clock=lambda: now)
        ends: list[float] = []
        while waiting or ends:
            while ends and ends[0] <= now:
                heapq.heappop(ends)
                sessions.leave("", limits)
            while waiting and sessions.is_free("", limits):
                sessions.enter("", limits)
                heapq.heappush(ends, now + limits.latency + waiting.pop() / limits.rate)
            now += _STEP
        return now


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
