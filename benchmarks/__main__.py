"""`python -m benchmarks`: measure, and write the figures into the pages."""

from functools import partial

import click

from benchmarks.measure import measure
from benchmarks.pages import ROOT, describe_run, update_pages, write_json
from benchmarks.tables import RESULTS, show
from benchmarks.worlds import PLAN, QUICK, WORLDS


@click.command()
@click.option("--quick", is_flag=True, help="A small product, one round: for a minute.")
@click.option(
    "--world",
    "worlds",
    type=click.Choice(list(WORLDS)),
    multiple=True,
    help="Measure only in this world. May be given more than once.",
)
@click.option("--trial", is_flag=True, help="Leave the published figures as they are.")
def main(quick: bool, worlds: tuple[str, ...], trial: bool) -> None:
    """Measure what staging costs, compared with what users do today.

    Writes benchmarks/results.json and updates the pages that show its figures; with any option,
    writes only build/benchmarks.json. Exits with 1 and writes nothing if a contestant fails.
    """
    plan = [group for group in (QUICK if quick else PLAN) if group.world in (worlds or WORLDS)]
    partly = quick or worlds or trial
    results = ROOT / "build/benchmarks.json" if partly else RESULTS
    try:
        runs = measure(plan, partial(click.echo, err=True))
    except RuntimeError as error:
        raise click.ClickException(str(error)) from error
    write_json(results, {**describe_run(), "runs": runs})
    if not partly:
        update_pages()
    for part in ("targets", "worlds"):
        click.echo(show(part, results))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
