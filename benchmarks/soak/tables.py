"""The generated part of docs/reliability.md, and whether a process holds more and more."""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

from benchmarks.pages import ROOT, make_table
from benchmarks.product import MEGABYTE

RESULTS = ROOT / "benchmarks/soak.json"
MIN_PRODUCTS = 10
_MIN_FOR_MEMORY = 50  # the first products allocate memory that is kept for good
# What a process holds: title, unit, the share of the products that warm it up, and by which share
# it may grow then. Resident memory takes longest: malloc creates an arena for each thread, up to
# eight for each core, and every arena keeps some of what was freed.
_HELD = {
    "descriptors": ("open file descriptors", 1, 0.1, 0.0),
    "threads": ("threads", 1, 0.1, 0.0),
    "heap": ("memory in use by malloc (MB)", MEGABYTE, 0.1, 0.05),
    "blocks": ("memory blocks in use by Python (thousands)", 1000, 0.1, 0.05),
    "memory": ("resident memory (MB)", MEGABYTE, 0.5, 0.1),
}


def judge(series: Sequence[float], warm_up: float) -> tuple[float, float, float]:
    """Return the medians of the first and the last quarter, and the slope per 100 products.

    Args:
        series: what the process held after each product.
        warm_up: the share of the products, the first ones, that are left out.
    """
    warm = series[max(3, int(len(series) * warm_up)) :]
    quarter = len(warm) // 4
    slope = linear_regression(range(len(warm)), warm).slope
    return median(warm[:quarter]), median(warm[-quarter:]), 100 * slope


def find_growth(serial: Sequence[Mapping[str, Any]]) -> list[str]:
    """List what grew from product to product by more than is allowed."""
    found = []
    for name, (title, _, warm_up, allowed) in _HELD.items():
        first, last, _ = judge([reading[name] for reading in serial], warm_up)
        if last > first * (1 + allowed) and (not allowed or len(serial) >= _MIN_FOR_MEMORY):
            found.append(f"{title} grew from {first:,.0f} to {last:,.0f}")
    return found


def show(path: Path = RESULTS) -> str:
    """Return the generated part of docs/reliability.md."""
    results = json.loads(path.read_text())
    ways = ("", "one after another", f"{results['side_by_side']} parallel jobs")
    quarters = ("", "first quarter", "last quarter", "change", "per 100 products")
    when = f"Measured on {results['date']} with seed {results['seed']}: {results['machine']}."
    return f"""
{textwrap.fill(when, 100)}

{make_table(ways, _list_runs(results))}

The process that stages one product after another, once it is warm (medians):

{make_table(quarters, _list_held(results["serial"]))}
"""


def _list_runs(results: Mapping[str, Any]) -> Iterator[list[str]]:
    both = [results["serial"], results["jobs"]]
    done = [f"{sum(not run['failure'] for run in runs)} of {len(runs)}" for runs in both]
    yield ["staged and verified", *done]
    yield ["seconds for all", *(f"{results[f'{way}_seconds']:.0f}" for way in ("serial", "jobs"))]
    for title, get_figure, name, unit in (
        ("seconds for one, median", median, "wall", 1),
        ("seconds for one, at most", max, "wall", 1),
        ("resident memory of a process (MB), at most", max, "memory", MEGABYTE),
    ):
        yield [title, *(f"{get_figure(run[name] for run in runs) / unit:.1f}" for runs in both)]
    for title, count in results["serial_traffic"].items():
        yield [title, f"{count:,}", f"{results['jobs_traffic'][title]:,}"]


def _list_held(serial: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    for name, (title, unit, warm_up, _) in _HELD.items():
        series = [reading[name] for reading in serial]
        first, last, slope = (x / unit for x in judge(series, warm_up))
        change = f"{last / first - 1:+.1%}"
        yield [title, f"{first:.1f}", f"{last:.1f}", change, f"{slope:+.2f}"]
