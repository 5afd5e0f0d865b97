"""The arithmetic of docs/scale.md: how many products the platform's quota allows."""

import json
from collections.abc import Iterator

from benchmarks.pages import make_table
from benchmarks.product import FULL_TILE, MEGABYTE, SIZES
from benchmarks.soak import tables as soak
from benchmarks.tables import read_rows
from stage_in.transfer.quota import MAX_CONNECTIONS, RATE

TERABYTE = 1e12
DAY = 86_400  # seconds
VOLUME = 12 * TERABYTE  # that one user may download in 30 days (CDSE documentation, Quotas)
SLOW_RATE = 1e6  # bytes/s of the one connection that is left after that
MILLION = 1_000_000
# What users have published of the platform itself: whole zips of 346 MB over HTTP, four at a time.
PUBLIC_RATE = 6.8e6  # bytes/s
_RATES = (
    ("4 connections at 20 MB/s each, the quota's maximum", MAX_CONNECTIONS * RATE),
    ("4 connections, as one user has measured", PUBLIC_RATE),
    ("1 connection at 1 MB/s, once the 12 TB are used up", SLOW_RATE),
)


def show_rates() -> str:
    """Return the table of rates: per day, and the days until 12 TB are used up."""
    head = ("", "TB a day", "full tiles a day", "days until 12 TB")
    return f"\n{make_table(head, _list_rates())}\n"


def _list_rates() -> Iterator[tuple[str, ...]]:
    for title, rate in _RATES:
        daily = rate * DAY
        days = f"{VOLUME / daily:.1f}" if daily > VOLUME / 30 else "never"
        yield title, f"{daily / TERABYTE:.2f}", f"{daily / FULL_TILE:,.0f}", days


def show_volume() -> str:
    """Return the table of what 12 TB in 30 days are for whole products and for selected bands."""
    head = ("", "size", "products in 30 days", "years for a million")
    rows = []
    for title, share in (("full tile", 1.0), ("B02, B03, B04, B08 of a full tile", _get_share())):
        size = FULL_TILE * share
        monthly = VOLUME / size
        years = MILLION / monthly * 30 / 365.25
        rows.append((title, f"{size / MEGABYTE:,.0f} MB", f"{monthly:,.0f}", f"{years:.1f}"))
    return f"\n{make_table(head, rows)}\n"


def _get_share() -> float:
    """Return the share of four bands, with all files that are not bands, in a full tile."""
    others = sum(
        size
        for path, size in SIZES.items()
        if "/IMG_DATA/" in path and not path.endswith(("B02.jp2", "B03.jp2", "B04.jp2", "B08.jp2"))
    )
    return 1 - others / FULL_TILE


def show_account() -> str:
    """Return what several jobs on one account did in the soak, as a sentence."""
    results = json.loads(soak.RESULTS.read_text())
    runs, traffic = results["jobs"], results["jobs_traffic"]
    staged = sum(not run["failure"] for run in runs)
    return (
        f"\nOn {results['date']}, {results['side_by_side']} jobs on one account staged {staged} of "
        f"{len(runs)} products. The sandbox\nrefused "
        f"{traffic['downloads refused (429) as no slot was free']:,} of {traffic['requests']:,} "
        f"requests with 429, and never had more than "
        f"{traffic['downloads open at the same time, at most']} downloads open at\nthe same time; "
        f"faults affected {traffic['requests struck by a fault']:,} requests.\n"
    )


def show_runs() -> str:
    """Return what one run and one run for each of several products took, as a sentence."""
    together, each = (read_rows()["limits", 30, name] for name in ("together", "each"))
    return (
        f"\nOn the sandbox, {together.products} products of {together.size} MB took "
        f"{together.wall:.0f} s in one run and {each.wall:.0f} s in {each.products} runs, "
        f"with\n{together.memory / MEGABYTE:.0f} MB of memory in the larger process instead of "
        f"{each.memory / MEGABYTE:.0f} MB ([Benchmarks](benchmarks.md)).\n"
    )
