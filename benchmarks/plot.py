"""The pictures of the page: wall time by contestant and scenario, and over size."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from benchmarks.bounds import get_floor, get_whole_file_bound
from benchmarks.contestants import CONTESTANTS
from benchmarks.product import MEGABYTE
from benchmarks.scenarios import SCENARIOS
from benchmarks.summary import Summary

# Distinct to people who see few colours, too (Okabe and Ito); ours are the dark ones.
_COLOURS = {
    "nodes": "#0072B2",
    "zip": "#56B4E9",
    "bands": "#009E73",
    "curl": "#E69F00",
    "tutorial": "#D55E00",
}
# The background is white wherever the page is shown. Text stays text; equal results give equal
# bytes.
_STYLE: dict[Any, Any] = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "benchmarks",
}


def draw(summary: Summary, path: Path) -> None:
    """Write the plots as one SVG."""
    with save(path, figsize=(10, 6.5)) as figure:
        axes = figure.subplots(2, 2)
        matrix = summary.results.matrix
        for axis, scenario in zip(axes.flat, SCENARIOS.values(), strict=False):
            title = scenario.title.replace(", and ", ",\nand ")
            axis.set_title(f"{title}: {matrix} MB")
            _draw_bars(axis, summary, scenario.key)
        axes[1, 1].set_title("(a) over the size of the product")
        _draw_series(axes[1, 1], summary)


@contextmanager
def save(path: Path, figsize: tuple[float, float]) -> Iterator[Figure]:
    """Give a figure to be drawn, and write it as SVG: of equal results equal bytes.

    Args:
        path: where to.
        figsize: width and height in inches.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=figsize, layout="constrained")
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    # Some versions leave blanks at line ends.
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n")


def _draw_bars(axis: Any, summary: Summary, scenario: str) -> None:
    rows = summary.get_scenario(scenario, summary.results.matrix)
    if not rows:
        axis.set_axis_off()
        return
    names = [row.contestant.title for row in rows]
    bars = axis.barh(
        names,
        [row.wall for row in rows],
        xerr=[
            [row.wall - row.shortest for row in rows],
            [row.longest - row.wall for row in rows],
        ],
        color=[_COLOURS[row.contestant.key] for row in rows],
        ecolor="#444444",
    )
    axis.bar_label(bars, [f"{row.wall:.1f}" for row in rows], padding=6)
    axis.margins(x=0.15)
    axis.invert_yaxis()
    label = "wall time (s)"
    bound = next((row.bound for row in rows if not row.contestant.part), None)
    if bound is not None:
        axis.axvline(bound, color="black", linestyle=":", linewidth=1)
        label += "; dotted: whole-file bound"
    axis.set_xlabel(label)


def _draw_series(axis: Any, summary: Summary) -> None:
    limits = SCENARIOS["limits"].limits
    for key, contestant in CONTESTANTS.items():
        rows = [row for size in summary.sizes if (row := summary.get(key, "limits", size))]
        if contestant.series and rows:
            axis.plot(
                [row.wanted / MEGABYTE for row in rows],
                [row.wall for row in rows],
                color=_COLOURS[key],
                marker="o",
                label=contestant.title,
            )
    products = sorted(summary.results.products, key=lambda product: product.size)
    x = [sum(product.files) / MEGABYTE for product in products]
    for name, get, style in (
        ("whole-file bound", get_whole_file_bound, ":"),
        ("floor", get_floor, "--"),
    ):
        y = [get(product.files, limits) for product in products]
        axis.plot(x, y, color="black", linestyle=style, linewidth=1, label=name)
    axis.set_xscale("log")
    axis.set_yscale("log")
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(ScalarFormatter())
    axis.set_xticks(x, [str(product.size) for product in products])
    axis.minorticks_off()
    axis.set_xlabel("product (MB)")
    axis.set_ylabel("wall time (s)")
    # Room above the lines, for the legend.
    axis.set_ylim(top=6 * axis.get_ylim()[1])
    axis.legend(frameon=False, fontsize=8, loc="upper left")
