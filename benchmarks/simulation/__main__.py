"""`python -m benchmarks.simulation`: how the tool waits for download slots, in many worlds."""

import random
import tomllib
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import click
from loguru import logger

from benchmarks.product import FULL_TILE, MEGABYTE, SIZES
from benchmarks.simulation.job import simulate
from benchmarks.worlds import download
from sandbox.limits import Limits

_TABLES = tomllib.loads(Path(__file__).with_name("worlds.toml").read_text())
_PHASE = 7.3  # seconds between the beginnings of two runs, by the periods of the limits
_MASKS = 5  # files beside the image of each band


class World(NamedTuple):
    """Limits of the service, and what is downloaded there.

    Attributes:
        title: a few words.
        limits: see `sandbox.limits`.
        size: bytes of the whole product.
        images: the number of images that are wanted; None for all files.
        jobs: runs of the same user at the same time.
    """

    title: str
    limits: Limits
    size: int = 600 * MEGABYTE
    images: int | None = None
    jobs: int = 1

    @property
    def goal(self) -> float:
        """The seconds divided by the best possible, at most."""
        if self.jobs > 1:
            return 1.25
        if self.limits.tick:
            return 1.6
        return 1.3 if self.limits.other_period else 1.2

    @property
    def files(self) -> list[int]:
        """The bytes of each file that is wanted."""
        sizes = sorted((size * self.size // FULL_TILE for size in SIZES.values()), reverse=True)
        if self.images is None:
            return sizes
        return sizes[: self.images] + sizes[-_MASKS * self.images :]


class Outcome(NamedTuple):
    """What came of a world, and the best possible there in seconds."""

    seconds: float
    refusals: int
    zips: int
    whole_files: float
    zip: float

    @property
    def ratio(self) -> float:
        """The seconds divided by the best possible."""
        return self.seconds / min(self.whole_files, self.zip)


def run(world: World, number: int = 0) -> Outcome:
    """Simulate a world; the number sets the phase of its periods, and its random waits."""
    limits, phase = world.limits, _PHASE * number
    jobs = simulate(limits, world.files, world.size, phase=phase, jobs=world.jobs, seed=number)
    assert all(job.end is not None for job in jobs), f"a job does not end in {world.title}"
    return Outcome(
        max(job.end or 0.0 for job in jobs) - phase,
        max(job.refusals for job in jobs),
        sum(job.zipped for job in jobs),
        download(limits, world.files * world.jobs, phase),
        download(limits, [world.size * world.jobs], phase),
    )


def make_world(title: str, fields: dict[str, Any]) -> World:
    """Return a world from its fields in worlds.toml: those of `Limits`, and of `World`."""
    own = {name: fields[name] for name in ("size", "images", "jobs") if name in fields}
    limits = {name: value for name, value in fields.items() if name not in own}
    if "size" in own:
        own["size"] *= MEGABYTE
    return World(title, Limits(**_TABLES["usual"] | limits), **own)


WORLDS = [make_world(title, fields) for title, fields in _TABLES["worlds"].items()]


def draw(count: int, seed: int) -> Iterator[World]:
    """Draw worlds at random."""
    rng = random.Random(seed)
    for number in range(count):
        fields = {name: rng.choice(values) for name, values in _TABLES["random"].items()}
        yield make_world(f"{number}", {name: value for name, value in fields.items() if value})


@click.command()
@click.option("--runs", default=5, help="Runs of each world, at different phases of its periods.")
@click.option("--random", "count", default=0, help="Draw so many worlds instead, one run each.")
@click.option("--seed", default=0, help="Seed of the worlds that are drawn.")
def main(runs: int, count: int, seed: int) -> None:
    """Print how long the tool takes for its downloads, compared with the best possible.

    The best possible is the shorter of two: whole files, requested at the moment at which the
    service grants them, and one zip.
    """
    logger.remove()
    click.echo(f"{'':32s}  files    zip |  tool ratio  most goal  429 zip")
    missed = 0
    for world in draw(count, seed) if count else WORLDS:
        outcomes = [run(world, number) for number in range(1 if count else runs)]
        found = Outcome(*map(median, zip(*outcomes, strict=True)))
        ratios = [outcome.ratio for outcome in outcomes]
        is_missed = median(ratios) > world.goal
        missed += is_missed
        click.echo(
            f"{world.title:32s} {found.whole_files:6.1f} {found.zip:6.1f} | {found.seconds:5.1f} "
            f"{median(ratios):5.2f} {max(ratios):5.2f} {world.goal:4.2f} {found.refusals:4.0f} "
            f"{found.zips:3.0f}{' missed' if is_missed else ''}"
        )
    click.echo(f"{missed} goals missed")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.simulation")
