"""The section of docs/reliability.md that tells the figures."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from benchmarks.product import BANDS, MEGABYTE
from benchmarks.soak.conditions import (
    CHANGE_EVERY,
    CONNECTIONS,
    FAULTS,
    LAG,
    LATENCY,
    RATE,
    TOKEN_LIFE,
    Traffic,
)
from benchmarks.soak.growth import Growth, judge
from benchmarks.soak.results import Results

BEGIN, END = "<!-- soak -->", "<!-- /soak -->"
# How much more there may be after the last products than after the first. The resident set has,
# beside what is in use, what malloc keeps of what was freed, the more of it the more it is in bits.
ALLOWED = {"memory": 0.1, "heap": 0.05, "blocks": 0.05}
ENOUGH = 50  # products, of which something can be told of memory


def put(page: str, section: str) -> str:
    """Return a page with the section between its marks replaced.

    Raises:
        ValueError: the marks are not there, once each and in this order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in after:
        raise ValueError(f"expected {BEGIN} and {END} in the page, once each")
    return f"{before}{BEGIN}\n{section}{END}{after}"


def judge_all(results: Results) -> dict[str, Growth]:
    """Tell of each figure of the process that goes on whether it grows."""
    names = ("files", "threads", "tasks", "heap", "blocks", "memory")
    return {name: judge([getattr(one, name) for one in results.serial]) for name in names}


def find_growth(results: Results) -> list[str]:
    """Tell what grows that must not, one line each."""
    return [
        f"{name}: {growth.first:,.0f} after the first products, {growth.last:,.0f} after the last"
        for name, growth in judge_all(results).items()
        if (name not in ALLOWED or len(results.serial) >= ENOUGH)
        and growth.exceeds(ALLOWED.get(name, 0.0))
    ]


def make_section(results: Results) -> str:
    """Return the section, as Markdown."""
    serial, jobs = results.serial_traffic, results.jobs_traffic
    lines = [f"- {one}" for one in [*results.failures, *find_growth(results)]]
    went_wrong = "\nWhat went wrong:\n\n" + "\n".join(lines) + "\n" if lines else ""
    what = textwrap.fill(
        f"`make soak` stages {len(results.serial)} products one after another in one process, then "
        f"{len(results.jobs)} side by side by {results.side_by_side} jobs that share one account, "
        "from the sandbox in a process of its own. Each product is another one; old and new ones, "
        f"items of both APIs, nodes and zip, the whole and three bands ({', '.join(BANDS)}) take "
        "turns. Each output is compared with the product that was served, its catalog is opened, "
        f"and it is deleted. About {100 * FAULTS:g} % of all requests, at each service, are struck "
        f"by some fault. Measured on {results.date} with the seed {results.seed}; the figures of "
        "each product are in [soak.json](../benchmarks/soak.json).",
        width=100,
        break_on_hyphens=False,
    )
    machine = textwrap.fill(f"Measured on: {', '.join(_list_machine(results))}.", width=100)
    return f"""\
{what}
{went_wrong}
| the platform |  |
| --- | --- |
| downloads at once, of all jobs | {CONNECTIONS} |
| rate of each | {RATE / MEGABYTE:g} MB/s |
| latency | {LATENCY[0] * 1000:g} to {LATENCY[1] * 1000:g} ms, another every {CHANGE_EVERY:g} s |
| a download that has ended counts for | {LAG[0]:g} to {LAG[1]:g} s more, likewise |
| life of access tokens | {TOKEN_LIFE:g} s, the first one's up to that |
| they are renewed by | refresh token, password, or both |
| products | {_products(results)} |

{_make_traffic(results, serial, jobs)}

A process that goes on, after each product: the medians of the first quarter and of the last, once
it is warm (after a tenth of the products), and the slope over all between.

{_make_growth(results)}

Resident memory has, beside what is in use, what malloc keeps of what was freed.

![What the process holds after each product](soak.svg)

The jobs side by side start a process of the command for each product:

{_make_jobs(results)}

Faults, and how many requests they struck:

{_make_faults(serial, jobs)}

{machine}

    make soak                            # all of it; takes a quarter of an hour
    python -m benchmarks.soak --seed N   # with the chances of another run
    python -m benchmarks.soak --quick    # a minute
"""


def _list_machine(results: Results) -> Iterator[str]:
    for name, value in results.machine.items():
        yield value if name in ("Processor", "System") else f"{name} {value}"


def _products(results: Results) -> str:
    sent = results.serial_traffic.sent + results.jobs_traffic.sent
    return f"half a megabyte in 61 or 100 files; {sent / MEGABYTE:.0f} MB were sent"


def _make_traffic(results: Results, serial: Traffic, jobs: Traffic) -> str:
    ends = ((results.serial, serial), (results.jobs, jobs))
    rows = [
        ("staged and verified", *(f"{_count(those)} of {len(those)}" for those, _ in ends)),
        ("seconds for all", f"{results.serial_seconds:.0f}", f"{results.jobs_seconds:.0f}"),
        ("seconds for one, median", *(_median([x.wall for x in those]) for those, _ in ends)),
        ("seconds for one, at most", *(f"{max(x.wall for x in those):.1f}" for those, _ in ends)),
        *_list_traffic(serial, jobs),
    ]
    head = ("", "one after another", f"{results.side_by_side} side by side")
    return f"{_make_head(head)}\n{_make_rows(rows)}"


def _list_traffic(serial: Traffic, jobs: Traffic) -> Iterator[tuple[str, ...]]:
    for title, name in (
        ("requests", "requests"),
        ("connections", "connections"),
        ("files and zips that arrived", "downloads"),
        ("downloads refused (429), all places being taken", "refused"),
        ("downloads open at once, at most", "most_granted"),
        ("access tokens renewed", "renewals"),
    ):
        yield title, *(f"{getattr(traffic, name):,}" for traffic in (serial, jobs))
    yield "requests struck by a fault", *(f"{sum(x.struck.values()):,}" for x in (serial, jobs))


def _make_growth(results: Results) -> str:
    titles = {
        "files": ("open file descriptors", 1),
        "threads": ("threads of Python", 1),
        "tasks": ("threads of the kernel", 1),
        "heap": ("memory that malloc has given (MB)", MEGABYTE),
        "blocks": ("blocks of memory that Python has given (thousands)", 1000),
        "memory": ("resident memory (MB)", MEGABYTE),
    }
    rows = []
    for name, growth in judge_all(results).items():
        title, unit = titles[name]
        digits = 0 if unit == 1 else 1
        first, last = (f"{x / unit:.{digits}f}" for x in (growth.first, growth.last))
        rows.append((title, first, last, f"{growth.share:+.1%}", f"{growth.slope / unit:+.2f}"))
    return f"{_make_head(('', 'first', 'last', 'change', 'per 100 products'))}\n{_make_rows(rows)}"


def _make_jobs(results: Results) -> str:
    rows = [
        (title, f"{min(those):.1f}", f"{median(those):.1f}", f"{max(those):.1f}")
        for title, those in (
            ("peak memory (MB)", [job.memory / MEGABYTE for job in results.jobs]),
            ("CPU (s)", [job.cpu for job in results.jobs]),
            ("wall time (s)", [job.wall for job in results.jobs]),
        )
    ]
    return f"{_make_head(('', 'least', 'median', 'most'))}\n{_make_rows(rows)}"


def _make_faults(serial: Traffic, jobs: Traffic) -> str:
    rows = [
        (f"`{kind}`", str(serial.struck[kind]), str(jobs.struck[kind])) for kind in serial.struck
    ]
    return f"{_make_head(('', 'one after another', 'side by side'))}\n{_make_rows(rows)}"


def _count(those: Sequence[object]) -> int:
    return sum(not getattr(one, "failure", "") for one in those)


def _median(values: Sequence[float]) -> str:
    return f"{median(values):.1f}"


def _make_head(cells: Sequence[str]) -> str:
    rule = ["---", *("---:" for _ in cells[1:])]
    return f"| {' | '.join(cells)} |\n| {' | '.join(rule)} |"


def _make_rows(rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
