"""`python -m benchmarks`: measure, and write the page."""

import sys
from pathlib import Path

import click

from benchmarks.contestants import CONTESTANTS
from benchmarks.page import make_page
from benchmarks.results import Results
from benchmarks.rounds import LARGE, LARGE_ROUNDS, measure
from benchmarks.scenarios import SCENARIOS
from benchmarks.summary import Summary

ROOT = Path(__file__).parents[1]
QUICK = 100  # megabytes


class _Names(click.ParamType):
    """Words with commas between."""

    name = "names"

    def __init__(self, choices: list[str]) -> None:
        self._choices = choices

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        words = str(value).split(",")
        for word in words:
            if word not in self._choices:
                self.fail(f"expected some of {','.join(self._choices)}, found {word}", param, ctx)
        return words


class _Sizes(click.ParamType):
    """Whole numbers with commas between."""

    name = "sizes"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[int]:
        try:
            sizes = [int(word) for word in str(value).split(",")]
        except ValueError:
            self.fail(f"expected numbers such as 100,500, found {value}", param, ctx)
        if min(sizes) < 1:
            self.fail(f"expected at least 1 MB, found {min(sizes)}", param, ctx)
        return sorted(set(sizes))


@click.command()
@click.option(
    "--sizes",
    type=_Sizes(),
    default="100,500,2000",
    metavar="MB,MB",
    help="Sizes of the products.  [default: 100,500,2000]",
)
@click.option(
    "--matrix",
    type=int,
    default=500,
    metavar="MB",
    show_default=True,
    help="The size at which all contestants are measured in all scenarios; at the others, the "
    "series is in the first.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help=f"How often; at most {LARGE_ROUNDS} from {LARGE} MB on.",
)
@click.option(
    "--scenarios",
    type=_Names(list(SCENARIOS)),
    default=",".join(SCENARIOS),
    metavar="KEY,KEY",
    show_default=True,
    help="Conditions of the service.",
)
@click.option(
    "--contestants",
    type=_Names(list(CONTESTANTS)),
    default=",".join(CONTESTANTS),
    metavar="KEY,KEY",
    show_default=True,
    help="Who is measured.",
)
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where products and outputs are meanwhile; needs four times the largest product. "
    "Default: the system's folder for temporary files.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where docs/benchmarks.md, docs/benchmarks.svg and benchmarks/results.json go. Default: "
    "this repository; with --quick, build/quick in it.",
)
@click.option("--quick", is_flag=True, help=f"One round with {QUICK} MB only, not to be published.")
@click.option("--render", is_flag=True, help="Measure nothing; write the page from the results.")
def main(
    sizes: list[int],
    matrix: int,
    rounds: int,
    scenarios: list[str],
    contestants: list[str],
    folder: Path | None,
    output: Path | None,
    quick: bool,
    render: bool,
) -> None:
    """Measure what staging costs, against what users do today, and write docs/benchmarks.md."""
    if quick:
        sizes, matrix, rounds = [QUICK], QUICK, 1
    if matrix not in sizes:
        raise click.BadParameter(f"expected one of --sizes, found {matrix}", param_hint="--matrix")
    target = output or (ROOT / "build" / "quick" if quick else ROOT)
    kept = target / "benchmarks" / "results.json"
    if not render:
        try:
            results = measure(
                sizes=sizes,
                matrix=matrix,
                rounds=rounds,
                scenarios=[SCENARIOS[key] for key in scenarios],
                contestants=[CONTESTANTS[key] for key in contestants],
                folder=folder,
                report=lambda line: click.echo(line, err=True),
            )
        except RuntimeError as error:
            raise click.ClickException(str(error)) from error
        results.write(kept)
    summary = Summary(Results.read(kept))
    page = target / "docs" / "benchmarks.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(make_page(summary))

    # Only here: without it, there are results all the same.
    from benchmarks.plot import draw

    draw(summary, page.with_suffix(".svg"))
    click.echo(page)
    sys.exit(bool(summary.failures))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
