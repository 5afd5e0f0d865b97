"""Rounds put together: one row for each contestant, scenario and size."""

from dataclasses import dataclass
from statistics import median

from benchmarks.bounds import get_floor, get_whole_file_bound
from benchmarks.contestants import CONTESTANTS, Contestant
from benchmarks.results import Product, Results, Run
from benchmarks.scenarios import SCENARIOS, Scenario


@dataclass(frozen=True)
class Row:
    """What a contestant needed for a product.

    Attributes:
        contestant: who.
        scenario: under which conditions.
        product: what.
        wanted: bytes that it had to get.
        rounds: how often it was tried.
        failures: why it failed, for each time that it did; these runs are not in the rest.
        wall: seconds, the median.
        shortest: seconds of the shortest run.
        longest: seconds of the longest run.
        cpu: seconds of processor time, the median.
        sent: bytes on the wire, the median.
        memory: peak bytes, the largest of all rounds.
        disk: peak bytes, the largest of all rounds.
        most_open: the largest number of downloads open at once.
        fastest: bytes per second of the fastest download, or None.
        refused: answers 429, the median.
        floor: seconds that the wanted bytes take at least, or None.
        bound: seconds that the wanted files take at least if each comes whole, or None.
    """

    contestant: Contestant
    scenario: Scenario
    product: Product
    wanted: int
    rounds: int
    failures: list[str]
    wall: float
    shortest: float
    longest: float
    cpu: float
    sent: float
    memory: int
    disk: int
    most_open: int
    fastest: float | None
    refused: float
    floor: float | None
    bound: float | None


class Summary:
    """The rows of results, found by contestant, scenario, and size."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.sizes = [product.size for product in results.products]
        groups: dict[tuple[str, str, int], list[Run]] = {}
        for run in results.runs:
            groups.setdefault((run.contestant, run.scenario, run.size), []).append(run)
        products = {product.size: product for product in results.products}
        self._rows = {
            key: row
            for key, runs in groups.items()
            if (row := _make_row(runs, products[key[2]])) is not None
        }
        self.failures = [
            f"{CONTESTANTS[run.contestant].title}, {run.size} MB, round {run.round}, "
            f"{SCENARIOS[run.scenario].title}: {run.failure}"
            for run in results.runs
            if run.failure
        ]

    def get(self, contestant: str, scenario: str, size: int) -> Row | None:
        """Return a row; None where nothing was measured, or no run did its job."""
        return self._rows.get((contestant, scenario, size))

    def get_scenario(self, scenario: str, size: int) -> list[Row]:
        """Return the rows of a scenario, in the order of the contestants."""
        found = (self.get(contestant, scenario, size) for contestant in CONTESTANTS)
        return [row for row in found if row is not None]

    def get_all(self, contestant: str) -> list[Row]:
        """Return all rows of a contestant."""
        return [row for row in self._rows.values() if row.contestant.key == contestant]

    def get_speedup(self, row: Row, contestant: str = "tutorial") -> float | None:
        """Return how many times faster a row is than another contestant's for the same."""
        other = self.get(contestant, row.scenario.key, row.product.size)
        return None if other is None else other.wall / row.wall


def _make_row(runs: list[Run], product: Product) -> Row | None:
    done = [run for run in runs if not run.failure]
    if not done:
        return None
    contestant, scenario = CONTESTANTS[runs[0].contestant], SCENARIOS[runs[0].scenario]
    files = product.part if contestant.part else product.files
    walls = [run.wall for run in done]
    return Row(
        contestant=contestant,
        scenario=scenario,
        product=product,
        wanted=sum(files),
        rounds=len(runs),
        failures=[run.failure for run in runs if run.failure],
        wall=median(walls),
        shortest=min(walls),
        longest=max(walls),
        cpu=median(run.cpu for run in done),
        sent=median(run.sent for run in done),
        memory=max(run.memory for run in done),
        disk=max(run.disk for run in done),
        most_open=max(run.most_open for run in done),
        fastest=max((run.fastest for run in done if run.fastest is not None), default=None),
        refused=median(run.refused for run in done),
        floor=get_floor(files, scenario.limits),
        bound=get_whole_file_bound(files, scenario.limits),
    )
