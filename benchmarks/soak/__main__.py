"""`python -m benchmarks.soak`: stage for long, and write the figures into the pages."""

import secrets
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks.pages import ROOT, describe_run, update_pages, write_json
from benchmarks.service import serve
from benchmarks.soak.conditions import SoakService, make_orders, make_products
from benchmarks.soak.stage import stage_serially, stage_side_by_side
from benchmarks.soak.tables import MIN_PRODUCTS, RESULTS, find_growth, show


def soak(products: int, jobs: int, seed: int) -> dict[str, Any]:
    """Stage products one after another, then by jobs side by side; return what soak.json keeps."""
    results: dict[str, Any] = {**describe_run(), "seed": seed, "side_by_side": jobs}
    stage_by_jobs = partial(stage_side_by_side, jobs=jobs)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        safes = make_products(Path(folder), products)
        orders = make_orders(products, seed)
        for way, stage in (("serial", stage_serially), ("jobs", stage_by_jobs)):
            with serve(SoakService, safes, seed=seed) as service:
                start = time.monotonic()
                results[way] = stage(service, safes, orders)
                results[f"{way}_seconds"] = time.monotonic() - start
                results[f"{way}_traffic"] = service.get_traffic()
    return results


@click.command()
@click.option("--seed", type=int, help="Decides what fails when. Default: random.")
@click.option("--quick", is_flag=True, help="10 products by 4 jobs: for a minute.")
@click.option("--trial", is_flag=True, help="Leave the published figures as they are.")
def main(seed: int | None, quick: bool, trial: bool) -> None:
    """Stage 200 products in one process, then 200 by eight jobs side by side, while faults happen.

    Writes benchmarks/soak.json and updates the pages that show its figures; with --quick or
    --trial, writes only build/soak.json. Exits with 1 if a product is not staged, or if the process
    grows.
    """
    path = ROOT / "build/soak.json" if quick or trial else RESULTS
    products, jobs = (MIN_PRODUCTS, 4) if quick else (200, 8)
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    results = soak(products, jobs, seed)
    write_json(path, results)
    if path == RESULTS:
        update_pages()
    click.echo(show(path))
    failures = [run["failure"] for run in (*results["serial"], *results["jobs"]) if run["failure"]]
    sys.exit("\n".join([*failures, *find_growth(results["serial"])]) or None)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.soak")
