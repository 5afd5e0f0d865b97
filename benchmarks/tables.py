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
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from statistics import median
from types import SimpleNamespace as Row
from typing import Any

from benchmarks.pages import ROOT, make_table
from benchmarks.product import MEGABYTE
from benchmarks.worlds import CONTESTANTS, WORLDS

Rows = dict[tuple[str, int, str], Row]

# A grey that can be read on a light and on a dark page. The theme gives another colour to the last
# label of an axis, which website/extra.css sets to the same grey.
_COLOURS = "\n".join(
    f'      {name}Color: "#7a7a7a"'
    for name in (
        "dataLabel",
        *(f"{axis}Axis{part}" for axis in "xy" for part in ("Title", "Label", "Tick", "Line")),
    )
)
_CHART = """\
<div class="chart" markdown>

```mermaid
---
config:
  xyChart:
    width: 460
    height: {height}
    showDataLabel: true
    showDataLabelOutsideBar: true
    xAxis: {{labelFontSize: 14}}
    yAxis: {{showLabel: false, showTick: false, titleFontSize: 14}}
  themeVariables:
    xyChart:
      plotColorPalette: "#56B4E9"
      backgroundColor: transparent
{colours}
---
xychart-beta horizontal
x-axis {titles}
y-axis "wall time (s)" 0 --> {longest}
bar {walls}
```

</div>"""
RESULTS = ROOT / "benchmarks/results.json"
_SUMMARY = ("", "(a)", "(a), bands", "(e)", "(i)", "disk", "MB")
# The titles of the tables of targets.
_S3_FLOOR = "S3: time divided by the time with all connections busy"
_S3_S5CMD = "S3: time divided by the time of s5cmd"
_BOUND = "Single files: time divided by the best possible time"
_SPEEDUP = "Single files: how many times faster than the script"
_TOGETHER = "Many products: time of one run divided by the time of one run for each product"
_OTHERS = "Memory, disk and network"
_TARGETS = ("", "target", "measured", "result")
_MAXIMA: tuple[tuple[str, str, float, Callable[[Row], float]], ...] = (
    ("peak memory (MB)", "s3 nodes zip bands", 150, lambda row: row.memory / MEGABYTE),
    ("peak memory, 20 products (MB)", "together", 160, lambda row: row.memory / MEGABYTE),
    ("peak disk, S3 (× wanted)", "s3", 1.02, lambda row: row.disk / row.wanted),
    ("sent, three bands (× wanted)", "bands", 1.02, lambda row: row.sent / row.wanted),
    ("parallel downloads", "s3 nodes zip bands", 4, lambda row: row.most_open),
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
    """Return a generated part of a page: `summary`, `date`, `conditions`, `targets` or `worlds`."""
    results, rows = json.loads(path.read_text()), read_rows(path)
    parts = {
        "date": textwrap.fill(f"Measured on {results['date']}: {results['machine']}.", 100),
        "summary": make_table(_SUMMARY, _summarize(rows)),
        "conditions": make_table(("", "conditions"), _list_conditions(), right=False),
        "targets": "\n\n".join(_make_target_tables(rows)),
        "worlds": "\n\n".join(_make_sections(rows)),
    }
    return f"\n{parts[part]}\n"


def get_speedup(rows: Rows, row: Row) -> float | None:
    """Return how many times faster a row is than the tutorial's script, if that was measured."""
    script = rows.get((row.world, row.size, "tutorial"))
    return script.wall / row.wall if script else None


def _summarize(rows: Rows) -> Iterator[list[str]]:
    """Yield the lines of the summary: a product of 600 MB in three worlds."""
    for key, contestant in CONTESTANTS.items():
        if contestant.bands_only or (limits := rows.get(("limits", 600, key))) is None:
            continue
        bands = rows.get(("limits", 600, "bands")) if key == "nodes" else None
        cells = [limits, bands, *(rows.get((world, 600, key)) for world in ("lag", "free"))]
        walls = [f"{row.wall:.1f}" if row else "–" for row in cells]
        disk, memory = limits.disk / limits.wanted, limits.memory / MEGABYTE
        yield [contestant.title, *walls, f"{disk:.1f}", f"{memory:.0f}"]


def _list_conditions() -> Iterator[list[str]]:
    for world in WORLDS.values():
        label, _, title = world.title.partition(" ")
        yield [label, f"{title[0].upper()}{title[1:]}"]


def _make_target_tables(rows: Rows) -> Iterator[str]:
    groups: defaultdict[str, list[Sequence[str]]] = defaultdict(list)
    for title, line in _list_targets(rows):
        groups[title].append(line)
    for title, lines in groups.items():
        yield f"### {title}"
        yield make_table(_TARGETS, lines)


def _list_targets(rows: Rows) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the title of a table, and one of its lines."""
    for row in rows.values():
        world, speedup = WORLDS[row.world], get_speedup(rows, row)
        label = f"{world.title.split()[0]} {row.size} MB"
        if row.contestant == "s3" and row.size >= 500:
            if world.s3_ratio:
                ratio = row.wall / world.get_floor(row.wanted)
                yield _S3_FLOOR, _judge(label, "≤", world.s3_ratio, ratio)
            if s5cmd := rows.get((row.world, row.size, "s5cmd")):
                yield _S3_S5CMD, _judge(label, "≤", 1, row.wall / s5cmd.wall)
        if row.contestant == "together":
            alone = rows[row.world, row.size, "each"]
            label = f"{label.split()[0]} {row.products} × {row.size} MB"
            yield _TOGETHER, _judge(label, "≤", 1, row.wall / alone.wall)
        if row.contestant == "nodes" and row.size >= 500:
            if world.ratio:
                yield _BOUND, _judge(label, "≤", world.ratio, row.wall / row.bound)
            if world.speedup and speedup:
                yield _SPEEDUP, _judge(label, "≥", world.speedup, speedup)
    for what, contestants, limit, get_value in _MAXIMA:
        values = [get_value(row) for row in rows.values() if row.contestant in contestants.split()]
        yield _OTHERS, _judge(what, "≤", limit, max(values, default=0))


def _judge(what: str, sign: str, target: float, value: float) -> tuple[str, str, str, str]:
    reached = value <= target if sign == "≤" else value >= target
    return what, f"{sign} {target:g}", f"{value:.4g}", "reached" if reached else "**missed**"


def _make_sections(rows: Rows) -> Iterator[str]:
    for title, group in groupby(rows.values(), _get_title):
        found = list(group)
        bound = f" Best possible time: {found[0].bound:.2f} s." if found[0].bound else ""
        rounds = " or ".join(map(str, sorted({row.rounds for row in found})))
        yield f"### {title}\n\nRounds: {rounds}.{bound}"
        titles = json.dumps([CONTESTANTS[row.contestant].title for row in found])
        walls = [round(row.wall, 1) for row in found]
        height = 70 + 40 * len(found)
        yield _CHART.format(
            titles=titles,
            walls=walls,
            longest=round(1.3 * max(walls), 1),  # leaves space for its label
            height=height,
            colours=_COLOURS,
        )
        yield _make_times(rows, found)
        yield _make_resources(found)


def _make_times(rows: Rows, found: Sequence[Row]) -> str:
    """Make the table of times, without the columns that are empty in this world."""
    columns = {
        "": [CONTESTANTS[row.contestant].title for row in found],
        "wall (s)": [f"{row.wall:.2f}" for row in found],
    }
    if any(row.rounds > 1 for row in found):
        columns["range (s)"] = [
            f"{row.shortest:.2f}–{row.longest:.2f}" if row.rounds > 1 else "–" for row in found
        ]
    if all(row.bound for row in found):
        columns["× best"] = [f"{row.wall / row.bound:.2f}" for row in found]
    speedups = [get_speedup(rows, row) for row in found]
    if any(speedups):
        columns["× script"] = [f"{speedup:.2f}" if speedup else "–" for speedup in speedups]
    return make_table([*columns], zip(*columns.values(), strict=True))


def _make_resources(found: Sequence[Row]) -> str:
    columns = {
        "": [CONTESTANTS[row.contestant].title for row in found],
        "CPU (s)": [f"{row.cpu:.2f}" for row in found],
        "MB": [f"{row.memory / MEGABYTE:.0f}" for row in found],
        "disk": [f"{row.disk / row.wanted:.2f}" for row in found],
        "sent": [f"{row.sent / row.wanted:.3f}" for row in found],
        "open": [str(row.most_open) for row in found],
    }
    if any(row.refused for row in found):
        columns["429"] = [f"{row.refused:.0f}" for row in found]
    return make_table([*columns], zip(*columns.values(), strict=True))


def _get_title(row: Row) -> str:
    number = f"{row.products} products of " if row.products > 1 else ""
    return f"{WORLDS[row.world].title}, {number}{row.size} MB"
