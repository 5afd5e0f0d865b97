"""The page that tells the results."""

# The signs for times and range are meant.
# ruff: noqa: RUF001

from collections.abc import Iterable, Sequence

from benchmarks.bounds import get_floor, get_whole_file_bound
from benchmarks.contestants import CONTESTANTS
from benchmarks.process import DISK_BEAT, MEMORY_BEAT
from benchmarks.product import MEGABYTE
from benchmarks.scenarios import CONNECTIONS, RATE, SCENARIOS, Scenario
from benchmarks.sizes import FULL_TILE, SIZES
from benchmarks.summary import Row, Summary
from benchmarks.targets import check_targets

_COLUMNS = (
    "", "wall (s)", "from–to", "× floor", "× whole files", "× faster than the tutorial's way",
    "CPU (s)", "peak memory (MB)", "peak disk (× wanted)", "on the wire (× wanted)",
    "most open", "refused (429)",
)  # fmt: skip
_DASH = "–"


def make_page(summary: Summary) -> str:
    """Return the page, as Markdown."""
    results = summary.results
    matrix = next(product for product in results.products if product.size == results.matrix)
    late = SCENARIOS["lag"].limits
    busy = late.latency + late.lag
    files = len(matrix.files)
    wait = files * busy / CONNECTIONS
    return f"""\
# Benchmarks

What it costs to stage a Sentinel-2 Level-1C product with this tool, beside what users do today,
all in one run. Measured on {results.date} against the [sandbox](../sandbox), a Copernicus Data
Space on the loopback interface, never against the platform itself. This page is written by
`make bench` (`python -m benchmarks`); the figures of each run are in
[results.json](../benchmarks/results.json).

![Wall times](benchmarks.svg)

## Targets

{_make_targets(summary)}
{_make_failures(summary)}
## What was measured

The product has {files} files, {len(SIZES)} of them listed in its manifest, with the sizes of a real
full tile ({FULL_TILE / MEGABYTE:.0f} MB) times one constant, so five files make up three quarters
of it. Its metadata can be read and its images be opened; what fills them up to their sizes is
random bytes, and blanks in XML.

{_make_contestants(summary)}

“The tutorial's way” is the one with requests. It and curl check the zip's CRCs, not the digests of
the manifest, and write no catalog; ours check every byte against the manifest, and do. What is
wanted of three bands is their images, the manifest, and all XML documents; their masks and the
preview, which come with them, count as extra.

- **Wall time** is from exec to exit, the start of Python and its imports included: the median of
  the rounds, the shortest, and the longest. Contestants take turns. Before each run, former
  outputs are deleted and everything is written to disk (`sync`); each contestant has run once
  before, on a small product.
- **CPU** is user and system time of the process and its children, the median.
- **Peak memory** is what the kernel keeps as the largest resident set of each process (`VmHWM`),
  added up over the processes of the tree that are alive together, looked at every
  {MEMORY_BEAT * 1000:.0f} ms; the largest of all rounds.
- **Peak disk** is what is allocated below the run's folder, temporary files included, looked at
  every {DISK_BEAT * 1000:.0f} ms; the largest of all rounds.
- **On the wire** are the bytes of all bodies that the sandbox has sent, the median. **Most open**
  are the downloads under way at once by its log, refused ones included, at most. “× wanted”
  compares with the bytes of the files that were to be staged.
- **The floor** is those bytes over {CONNECTIONS} connections of {RATE / MEGABYTE:.0f} MB/s that
  are never idle. Nothing gets below it.
- **The whole-file bound** is the time when each file comes whole over one connection, the largest
  first: with five large files on four connections, two have to share one.
  In (b), each file occupies its connection for {busy:.1f} s more, before its first byte and after
  its last. So {files} files take {wait:.0f} s whatever their sizes, where a zip pays once.

{_make_bounds(summary)}

{_make_scenarios(summary)}
## Over the size of the product

At the published limits.

{_make_series(summary)}

## Machine

{_make_table(("", ""), ([name, value] for name, value in results.machine.items()))}

Sandbox and contestant share its processors: unthrottled, they compete for them. Compare within
this page, not with figures from elsewhere.

## How to repeat it

    make bench                          # all of it; takes half an hour
    python -m benchmarks --quick        # one round with 100 MB, for development
    python -m benchmarks --help
"""


def _make_targets(summary: Summary) -> str:
    rows = [
        [x.what, x.wanted, x.measured or _DASH, "reached" if x.reached else "**missed**"]
        for x in check_targets(summary)
    ]
    return _make_table(("", "target", "measured", ""), rows)


def _make_failures(summary: Summary) -> str:
    if not summary.failures:
        return ""
    lines = "\n".join(f"- {' '.join(failure.split())}" for failure in summary.failures)
    return f"\nRuns that failed, and are in no figure:\n\n{lines}\n"


def _make_contestants(summary: Summary) -> str:
    measured = {run.contestant for run in summary.results.runs}
    rows = []
    for contestant in CONTESTANTS.values():
        if contestant.key not in measured:
            continue
        words = [word.rpartition("/")[2] for word in contestant.command]
        command = words[2] if words[0] == "sh" else " ".join(["python", *words[1:]])
        command = command.replace('"$1"', "ZIP").replace("{item}", "ITEM").replace("--quiet ", "")
        rows.append([contestant.title, f"`{command}`"])
    return _make_table(("", "command"), rows)


def _make_bounds(summary: Summary) -> str:
    rows = []
    for scenario in SCENARIOS.values():
        for product in summary.results.products:
            floor = get_floor(product.files, scenario.limits)
            bound = get_whole_file_bound(product.files, scenario.limits)
            if floor is not None and bound is not None:
                name = f"{scenario.title.split()[0]} {product.size} MB"
                rows.append([name, f"{floor:.2f}", f"{bound:.2f}", f"{bound / floor:.2f}"])
    return _make_table(("", "floor (s)", "whole-file bound (s)", "× floor"), rows)


def _make_scenarios(summary: Summary) -> str:
    return "\n".join(
        _make_scenario(summary, scenario)
        for scenario in SCENARIOS.values()
        if summary.get_scenario(scenario.key, summary.results.matrix)
    )


def _make_scenario(summary: Summary, scenario: Scenario) -> str:
    size = summary.results.matrix
    rows = summary.get_scenario(scenario.key, size)
    table = _make_table(_COLUMNS, (_make_row(summary, row) for row in rows))
    return f"## {scenario.title}: {size} MB\n\n{_count_rounds(rows)}\n\n{table}\n"


def _make_row(summary: Summary, row: Row) -> list[str]:
    return [
        row.contestant.title,
        f"{row.wall:.2f}",
        f"{row.shortest:.2f}–{row.longest:.2f}",
        _format_ratio(row.wall, row.floor),
        _format_ratio(row.wall, row.bound),
        _format_speedup(summary, row),
        f"{row.cpu:.2f}",
        f"{row.memory / MEGABYTE:.0f}",
        f"{row.disk / MEGABYTE:.0f} ({row.disk / row.wanted:.2f})",
        f"{row.sent / MEGABYTE:.0f} ({row.sent / row.wanted:.3f})",
        str(row.most_open),
        f"{row.refused:.0f}",
    ]


def _make_series(summary: Summary) -> str:
    columns = (
        "product (MB)", "", "rounds", "wall (s)", "× floor", "× whole files",
        "× faster than the tutorial's way", "CPU (s)", "peak memory (MB)", "peak disk (× wanted)",
    )  # fmt: skip
    rows = [
        [
            str(size),
            row.contestant.title,
            str(row.rounds),
            f"{row.wall:.2f}",
            _format_ratio(row.wall, row.floor),
            _format_ratio(row.wall, row.bound),
            _format_speedup(summary, row),
            f"{row.cpu:.2f}",
            f"{row.memory / MEGABYTE:.0f}",
            f"{row.disk / row.wanted:.2f}",
        ]
        for size in sorted(summary.sizes)
        for row in summary.get_scenario("limits", size)
        if row.contestant.series
    ]
    return _make_table(columns, rows)


def _count_rounds(rows: Sequence[Row]) -> str:
    counts = sorted({row.rounds for row in rows})
    number = " or ".join(map(str, counts))
    return f"Rounds: {number}."


def _format_ratio(value: float, reference: float | None) -> str:
    return _DASH if reference is None else f"{value / reference:.2f}"


def _format_speedup(summary: Summary, row: Row) -> str:
    speedup = summary.get_speedup(row)
    return _DASH if speedup is None else f"{speedup:.2f}"


def _make_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = [_rule(index, name) for index, name in enumerate(columns)]
    return "\n".join([_make_line(columns), _make_line(rule), *(_make_line(row) for row in rows)])


def _rule(index: int, name: str) -> str:
    """Numbers to the right: all columns with a name but the first."""
    return "---:" if index and name and name != "command" else "---"


def _make_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
