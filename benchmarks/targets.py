"""What stage-in must reach, and whether it does."""

# The signs for times and range are meant.
# ruff: noqa: RUF001

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.product import MEGABYTE
from benchmarks.scenarios import CONNECTIONS, RATE
from benchmarks.summary import Summary

LEAST = 500  # megabytes from which the start of a process no longer counts
TOLERANCE = 1.01  # of rates: sandbox and clock are not exact


@dataclass(frozen=True)
class Target:
    """One thing to reach.

    Attributes:
        what: what is compared.
        wanted: the target, as text.
        measured: the figure, as text; empty if there is none.
        reached: whether it is.
    """

    what: str
    wanted: str
    measured: str
    reached: bool


def check_targets(summary: Summary) -> list[Target]:
    """Compare what has been measured with all targets, as far as it has been."""
    return [*_check_speed(summary), *_check_size(summary), *_check_manners(summary)]


def _check_speed(summary: Summary) -> Iterator[Target]:
    for size in summary.sizes:
        row = summary.get("nodes", "limits", size)
        if row is None or size < LEAST:
            continue
        what = f"(a) wall time, {size} MB"
        yield _at_most(f"{what}: × the whole-file bound", 1.10, _ratio(row.wall, row.bound))
        speedup = summary.get_speedup(row)
        yield _at_least(f"{what}: × faster than the tutorial's way", 3, speedup)
    matrix = summary.results.matrix
    for scenario, letter, least in (("lag", "b", 2.0), ("free", "c", 1.0)):
        row = summary.get("nodes", scenario, matrix)
        if row is not None:
            what = f"({letter}) wall time, {matrix} MB: × faster than the tutorial's way"
            yield _at_least(what, least, summary.get_speedup(row))


def _check_size(summary: Summary) -> Iterator[Target]:
    whole, part = summary.get_all("nodes"), summary.get_all("bands")
    if whole:
        memory = max(row.memory for row in whole) / MEGABYTE
        what = "peak memory, all sizes and scenarios: MB"
        yield Target(what, "≤ 150", f"{memory:.0f}", memory <= 150)
        disk = max(row.disk / row.wanted for row in whole)
        yield _at_most("peak disk: × the product", 1.02, disk)
    series = [row for row in whole if row.scenario.key == "limits"]
    if len(series) > 1:
        small = min(series, key=lambda row: row.product.size)
        large = max(series, key=lambda row: row.product.size)
        what = f"(a) peak memory, {large.product.size} MB: × that of {small.product.size} MB"
        yield _at_most(what, 1.10, large.memory / small.memory)
    if part:
        sent = max(row.sent / row.wanted for row in part)
        yield _at_most("three bands, on the wire: × what they and the metadata have", 1.02, sent)


def _check_manners(summary: Summary) -> Iterator[Target]:
    rows = [
        row
        for key in ("nodes", "zip", "bands")
        for row in summary.get_all(key)
        if row.scenario.limits.connections is not None
    ]
    if not rows:
        return
    most = max(row.most_open for row in rows)
    yield Target(
        "(a), (b) downloads open at once, ours", f"≤ {CONNECTIONS}", str(most), most <= CONNECTIONS
    )
    fastest = max((row.fastest for row in rows if row.fastest is not None), default=None)
    if fastest is not None:
        yield Target(
            "(a), (b) fastest download, ours: MB/s",
            f"≤ {RATE / MEGABYTE:.0f}",
            f"{fastest / MEGABYTE:.2f}",
            fastest <= RATE * TOLERANCE,
        )


def _ratio(value: float, reference: float | None) -> float | None:
    return None if reference is None else value / reference


def _at_most(what: str, limit: float, value: float | None) -> Target:
    reached = value is not None and value <= limit
    return Target(what, f"≤ {limit:.2f}", "" if value is None else f"{value:.3f}", reached)


def _at_least(what: str, limit: float, value: float | None) -> Target:
    reached = value is not None and value >= limit
    return Target(what, f"≥ {limit:.1f}", "" if value is None else f"{value:.2f}", reached)
