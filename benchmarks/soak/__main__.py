"""`python -m benchmarks.soak`: stage for long, and write the section of docs/reliability.md."""

import secrets
import sys
from pathlib import Path

import click

from benchmarks.soak.growth import LEAST
from benchmarks.soak.results import Results
from benchmarks.soak.runs import soak
from benchmarks.soak.section import BEGIN, END, find_growth, make_section, put

ROOT = Path(__file__).parents[2]
QUICK = (LEAST, 8, 4)  # products one after another, products side by side, jobs


@click.command()
@click.option(
    "--products",
    type=click.IntRange(LEAST),
    default=200,
    metavar="N",
    show_default=True,
    help="One after another, and as many side by side.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=8,
    metavar="N",
    show_default=True,
    help="Processes side by side.",
)
@click.option("--seed", type=int, metavar="N", help="What chance is drawn from. Default: any.")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where products and outputs are meanwhile. Default: the system's folder for temporary "
    "files.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where docs/reliability.md, docs/soak.svg and benchmarks/soak.json go. Default: this "
    "repository; with --quick, build/quick in it.",
)
@click.option(
    "--quick",
    is_flag=True,
    help="{} products one after another, {} over {} jobs; not to be published.".format(*QUICK),
)
@click.option("--render", is_flag=True, help="Stage nothing; write the section from the results.")
def main(
    products: int,
    jobs: int,
    seed: int | None,
    folder: Path | None,
    output: Path | None,
    quick: bool,
    render: bool,
) -> None:
    """Stage many products in one process and by many, while things go wrong."""
    target = output or (ROOT / "build" / "quick" if quick else ROOT)
    kept = target / "benchmarks" / "soak.json"
    if not render:
        serial, side_by_side, number = QUICK if quick else (products, products, jobs)
        try:
            results = soak(
                serial=serial,
                side_by_side=side_by_side,
                jobs=number,
                seed=secrets.randbelow(1_000_000) if seed is None else seed,
                folder=folder,
                report=lambda line: click.echo(line, err=True),
            )
        except RuntimeError as error:
            raise click.ClickException(str(error)) from error
        results.write(kept)
    results = Results.read(kept)
    page = target / "docs" / "reliability.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    text = page.read_text() if page.exists() else f"# Reliability\n\n{BEGIN}\n{END}\n"
    page.write_text(put(text, make_section(results)))

    # Only here: without it, there are results all the same.
    from benchmarks.soak.picture import draw

    draw(results, page.with_name("soak.svg"))
    click.echo(page)
    wrong = [*results.failures, *find_growth(results)]
    for line in wrong:
        click.echo(line, err=True)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.soak")
