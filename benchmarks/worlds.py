"""The worlds, the contestants and the plan of plan.toml."""

import heapq
import math
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import replace
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
    s3_ratio: float | None = None

    def get_bound(self, sizes: Iterable[int]) -> float | None:
        """Return the least seconds for files that come whole, or all in one zip.

        Without limits it is None.
        """
        sizes = [*sizes]
        if self.limits.rate is None or self.limits.connections is None:
            return None
        return min(download(self.limits, sizes), download(self.limits, [sum(sizes)]))

    def get_floor(self, size: int) -> float | None:
        """Return the seconds in which all connections together send so many bytes, if limited."""
        limits = self.limits
        if limits.rate is None or limits.connections is None:
            return None
        return size / limits.rate / limits.connections


def download(limits: Limits, sizes: Iterable[int], start: float = 0.0) -> float:
    """Return the seconds that a client needs who sees when a slot is free; the largest file first.

    Args:
        limits: they have a number of connections and a rate.
        sizes: bytes of each file.
        start: seconds since the periods of the limits began.
    """
    assert limits.rate is not None
    if limits.count == "connection":  # it keeps its connections open
        limits = replace(limits, count="request", lag=0.0, tick=0.0)
    waiting, now = sorted(sizes), start
    at_least = sum(waiting) / (limits.total_rate or math.inf)
    sessions = Sessions(lambda: now, start=0.0)
    ends: list[float] = []
    while waiting or ends:
        while ends and ends[0] <= now:
            heapq.heappop(ends)
            sessions.leave("", limits)
        while waiting and sessions.is_free("", limits):
            sessions.enter("", limits)
            heapq.heappush(ends, now + limits.latency + waiting.pop() / limits.rate)
        now += _STEP
    return max(now - start, at_least)


class Contestant(NamedTuple):
    """One way to get a product; `bands_only` is for three bands and the metadata."""

    title: str
    command: list[str]
    bands_only: bool = False

    def get_command(self, urls: dict[str, str]) -> list[str]:
        """Return the command for products with these URLs; see `Service.prepare`."""
        values = {
            "python": sys.executable,
            "s5cmd": Path(sys.executable).with_name("s5cmd"),
            "here": _FOLDER,
            "bands": ",".join(BANDS),
            **urls,
        }
        return [word.format(**values) for word in self.command]


WORLDS = {
    key: World(**{**world, "limits": Limits(**world["limits"])})
    for key, world in _TABLES["worlds"].items()
}
CONTESTANTS = {key: Contestant(**fields) for key, fields in _TABLES["contestants"].items()}


class Group(NamedTuple):
    """Contestants that take turns with products of some megabytes each in one world."""

    world: str
    size: int
    rounds: int
    contestants: list[str]
    products: int = 1


PLAN, QUICK = ([Group(**group) for group in _TABLES[name]] for name in ("plan", "quick"))
