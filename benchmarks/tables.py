"""The generated parts of docs/benchmarks.md.

A run in results.json has `world`, `size` (MB), `products`, `contestant` and `round`, and these
figures: `wall` and `cpu` (seconds), `memory` and `disk` (bytes at the peak), `sent` (bytes of all
responses), `most_open` (downloads at the same time), `refused` (answers 429), `wanted` (bytes of
the files that the contestant was to get), and `bound` (`World.get_bound` of these files).
"""

# The signs for times and range are meant.
# ruff: noqa: RUF001

import json
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from statistics import median
from types import SimpleNamespace as Row
from typing import Any

from benchmarks.pages import ROOT, make_table
from benchmarks.product import MEGABYTE
from benchmarks.worlds import CONTESTANTS, WORLDS

Rows = dict[tuple[str, int, str], Row]

_CHART = """\
```mermaid
---
config:
  xyChart: {{width: 900, height: 230, showDataLabel: true}}
  themeVariables: {{xyChart: {{plotColorPalette: "#56B4E9"}}}}
---
xychart-beta horizontal
x-axis {titles}
y-axis "wall time (s)" 0 --> {longest}
bar {walls}
```"""
RESULTS = ROOT / "benchmarks/results.json"
_SUMMARY = (
    "",
    "at the limits",
    "three bands",
    "slots free after 1 s",
    "no limits",
    "disk",
    "largest process",
)
_TARGETS = ("", "target", "measured", "")
_COLUMNS = (
    "", "wall (s)", "from–to", "× best possible", "× faster than the script", "CPU (s)",
    "peak memory (MB)", "peak disk (× wanted)", "sent (× wanted)", "most open", "refused (429)",
)  # fmt: skip
_MAXIMA: tuple[tuple[str, str, float, Callable[[Row], float]], ...] = (
    ("peak memory (MB)", "s3 nodes zip bands", 150, lambda row: row.memory / MEGABYTE),
    ("peak memory of 20 products (MB)", "together", 160, lambda row: row.memory / MEGABYTE),
    ("peak disk: × the product, S3", "s3", 1.02, lambda row: row.disk / row.wanted),
    ("three bands, sent: × wanted", "bands", 1.02, lambda row: row.sent / row.wanted),
    ("downloads at the same time", "s3 nodes zip bands", 4, lambda row: row.most_open),
)


def read_rows(path: Path = RESULTS) -> Rows:
    """Return the figures of all rounds together, by world, size and contestant.

    Times, `sent` and `refused` are medians; `memory`, `disk` and `most_open` are the largest.
    `shortest` and `longest` are wall times, `rounds` is the number of runs.
    """
    groups: defaultdict[tuple[str, int, str], list[dict[str, Any]]] = defaultdict(list)
    for run in json.loads(path.read_text())["runs"]:
        groups[run["world"], run["size"], run["contestant"]].append(run)
    rows = {}
    for key, runs in groups.items():
        row = {name: [run[name] for run in runs] for name in runs[0]}
        extremes = {"shortest": min(row["wall"]), "longest": max(row["wall"]), "rounds": len(runs)}
        medians = {name: median(row[name]) for name in ("wall", "cpu", "sent", "refused")}
        peaks = {name: max(row[name]) for name in ("memory", "disk", "most_open")}
        rows[key] = Row(**{"products": 1, **runs[0], **extremes, **medians, **peaks})
    return rows


def show(part: str, path: Path = RESULTS) -> str:
    """Return a generated part of a page: `summary`, `date`, `targets` or `worlds`."""
    results, rows = json.loads(path.read_text()), read_rows(path)
    parts = {
        "date": textwrap.fill(f"Measured on {results['date']}: {results['machine']}.", 100),
        "summary": make_table(_SUMMARY, _summarize(rows)),
        "targets": make_table(_TARGETS, _list_targets(rows)),
        "worlds": "\n\n".join(_make_sections(rows)),
    }
    return f"\n{parts[part]}\n"


def get_speedup(rows: Rows, row: Row) -> float | None:
    """Return how many times faster a row is than the tutorial's script, if that was measured."""
    script = rows.get((row.world, row.size, "tutorial"))
    return script.wall / row.wall if script else None


def _summarize(rows: Rows) -> Iterator[list[str]]:
    """Yield the lines of the README's table: a product of 600 MB in three worlds."""
    for key, contestant in CONTESTANTS.items():
        if contestant.bands_only or (limits := rows.get(("limits", 600, key))) is None:
            continue
        bands = rows.get(("limits", 600, "bands")) if key == "nodes" else None
        cells = [limits, bands, *(rows.get((world, 600, key)) for world in ("lag", "free"))]
        walls = [f"{row.wall:.1f} s" if row else "–" for row in cells]
        disk, memory = limits.disk / limits.wanted, limits.memory / MEGABYTE
        yield [contestant.title, *walls, f"{disk:.1f} ×", f"{memory:.0f} MB"]


def _list_targets(rows: Rows) -> Iterator[tuple[str, str, str, str]]:
    for row in rows.values():
        world, speedup = WORLDS[row.world], get_speedup(rows, row)
        title = f"{world.title.split()[0]} {row.size} MB"
        if row.contestant == "s3" and row.size >= 500:
            if world.s3_ratio:
                yield _judge(
                    f"{title}, S3: × all connections busy",
                    "≤",
                    world.s3_ratio,
                    row.wall / world.get_floor(row.wanted),
                )
            if s5cmd := rows.get((row.world, row.size, "s5cmd")):
                yield _judge(f"{title}, S3: × s5cmd", "≤", 1, row.wall / s5cmd.wall)
        if row.contestant == "together":
            alone = rows[row.world, row.size, "each"]
            what = f"{title.split()[0]} {row.products} products in one run: × one run for each"
            yield _judge(what, "≤", 1, row.wall / alone.wall)
        if row.contestant == "nodes" and row.size >= 500:
            if world.ratio:
                yield _judge(f"{title}: × best possible", "≤", world.ratio, row.wall / row.bound)
            if world.speedup and speedup:
                yield _judge(f"{title}: × faster than the script", "≥", world.speedup, speedup)
    for what, contestants, limit, get_value in _MAXIMA:
        values = [get_value(row) for row in rows.values() if row.contestant in contestants.split()]
        yield _judge(what, "≤", limit, max(values, default=0))


def _judge(what: str, sign: str, target: float, value: float) -> tuple[str, str, str, str]:
    reached = value <= target if sign == "≤" else value >= target
    return what, f"{sign} {target:g}", f"{value:.4g}", "reached" if reached else "**missed**"


def _make_sections(rows: Rows) -> Iterator[str]:
    for title, group in groupby(rows.values(), _get_title):
        found = list(group)
        bound = f" Best possible: {found[0].bound:.2f} s." if found[0].bound else ""
        rounds = " or ".join(map(str, sorted({row.rounds for row in found})))
        yield f"### {title}\n\nRounds: {rounds}.{bound}"
        titles = json.dumps([CONTESTANTS[row.contestant].title for row in found])
        walls = [round(row.wall, 1) for row in found]
        yield _CHART.format(titles=titles, walls=walls, longest=max(walls))
        yield make_table(_COLUMNS, (_make_line(row, get_speedup(rows, row)) for row in found))


def _make_line(row: Row, speedup: float | None) -> list[str]:
    return [
        CONTESTANTS[row.contestant].title,
        f"{row.wall:.2f}",
        f"{row.shortest:.2f}–{row.longest:.2f}",
        f"{row.wall / row.bound:.2f}" if row.bound else "–",
        f"{speedup:.2f}" if speedup else "–",
        f"{row.cpu:.2f}",
        f"{row.memory / MEGABYTE:.0f}",
        f"{row.disk / row.wanted:.2f}",
        f"{row.sent / row.wanted:.3f}",
        str(row.most_open),
        f"{row.refused:.0f}",
    ]


def _get_title(row: Row) -> str:
    number = f"{row.products} products of " if row.products > 1 else ""
    return f"{WORLDS[row.world].title}, {number}{row.size} MB"
