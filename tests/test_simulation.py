"""The tool's pacing in simulated worlds: it reaches its goals, and asks no more than it has to."""

from statistics import median

import pytest

from benchmarks.simulation.__main__ import WORLDS, World, run

# What a client needs to know there and cannot: how long another job will hold its slots, that a
# Retry-After is too long, that refusals count like downloads, and which of two ways is a little
# shorter.
MISSED = {
    "2 slots, lag 3 s",
    "120 MB, lag 0.3 s",
    "other job holds 3, 20 s",
    "other job, lag 0.5 s",
    "lag 1 s, Retry-After 1",
    "refusals count for 0.5 s",
}
WITHOUT_CONTENTION = {
    "no lag", "40 MB/s for all", "latency 0.02 s", "latency 1 s", "counted by connection, lag 1 s",
    "900 MB", "120 MB", "3 bands",
}  # fmt: skip


def get_marks(world: World) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] if world.jobs > 2 else []


@pytest.mark.parametrize(
    "world", [pytest.param(world, id=world.title, marks=get_marks(world)) for world in WORLDS]
)
def test_goals(world: World) -> None:
    depends_on_chance = world.limits.other_period or world.limits.tick or world.jobs > 1
    outcomes = [run(world, number) for number in range(5 if depends_on_chance else 1)]
    goal = 2.0 if world.title in MISSED else world.goal
    assert median(outcome.ratio for outcome in outcomes) <= goal
    most_refusals = max(outcome.refusals for outcome in outcomes)
    assert most_refusals <= (0 if world.title in WITHOUT_CONTENTION else 80)


def test_change_to_the_zip_comes_early_or_not_at_all() -> None:
    by_title = {world.title: world for world in WORLDS}
    assert all(run(by_title[title]).zips for title in ("1 slot", "lag 3 s", "2 slots, lag 0.5 s"))
    assert not any(run(by_title[title]).zips for title in ("lag 1 s", "2 slots", "2 jobs"))
