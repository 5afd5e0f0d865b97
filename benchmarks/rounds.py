"""The runs, in order: sizes, scenarios, rounds, contestants."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.contestants import Contestant
from benchmarks.machine import describe_machine
from benchmarks.process import run
from benchmarks.product import MEGABYTE, get_sizes, make_padded_product, select_bands
from benchmarks.results import Product, Results, Run
from benchmarks.scenarios import Scenario
from benchmarks.service import Service
from sandbox.limits import Limits

LARGE = 1000  # megabytes from which a round takes minutes
LARGE_ROUNDS = 3
_WARM_UP = 3  # megabytes
_SLOWEST = 1 * MEGABYTE  # bytes per second below which a run is given up
_START = 120.0  # seconds that a run has beyond that

Report = Callable[[str], None]


def measure(
    *,
    sizes: Sequence[int],
    matrix: int,
    rounds: int,
    scenarios: Sequence[Scenario],
    contestants: Sequence[Contestant],
    folder: Path | None,
    report: Report,
) -> Results:
    """Measure all contestants in all scenarios at one size, and a series over the others.

    Contestants take turns: a disturbance of the machine hits all of them, and none twice.

    Args:
        sizes: of the products, in megabytes.
        matrix: the size at which everything is measured. At the others, it is the first scenario
            for the contestants of the series.
        rounds: how often; at most 3 from 1 GB on.
        scenarios: conditions of the service.
        contestants: who.
        folder: where products and outputs are, meanwhile; None for the system's choice.
        report: is told one line for each run.

    Raises:
        RuntimeError: a contestant does not work at all, or this system cannot be measured on.
    """
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    products: list[Product] = []
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=folder) as name:
        place = Path(name)
        machine = describe_machine(place)
        _warm_up(contestants, place)
        for size in sizes:
            whole = size == matrix
            stage = _Stage(place, size)
            products.append(stage.product)
            with Service([stage.safe]) as service:
                for scenario in scenarios if whole else scenarios[:1]:
                    lined_up = [x for x in contestants if whole or x.series]
                    for number in range(rounds if size < LARGE else min(rounds, LARGE_ROUNDS)):
                        turn = number % len(lined_up)
                        for contestant in lined_up[turn:] + lined_up[:turn]:
                            done = stage.run(service, scenario, contestant, number + 1)
                            runs.append(done)
                            report(_tell(done))
            stage.remove()
    return Results(date, machine, matrix, products, runs)


class _Stage:
    """A product, and the folder in which contestants get it."""

    def __init__(self, place: Path, size: int) -> None:
        self.safe = make_padded_product(place / "served", size * MEGABYTE)
        self._files = get_sizes(self.safe)
        self._part = select_bands(self._files)
        self._folder = place / "run"
        self.product = Product(size, list(self._files.values()), list(self._part.values()))

    def run(self, service: Service, scenario: Scenario, contestant: Contestant, number: int) -> Run:
        """Let a contestant get the product."""
        output = self._folder / "output"
        temporary = output / "tmp"
        shutil.rmtree(self._folder, ignore_errors=True)
        temporary.mkdir(parents=True)
        # What others have written reaches the disk now, not while the next one is measured.
        os.sync()
        time.sleep(scenario.limits.lag)
        service.reset(scenario.limits)
        address = service.address
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(output),
            "TMPDIR": str(temporary),
            "LANG": "C.UTF-8",
            **address.environment,
        }
        command = contestant.get_command(address.item, address.archive)
        timeout = _START + sum(self.product.files) / _SLOWEST
        usage = run(command, output, environment, timeout)
        traffic = service.get_traffic()
        failure = ""
        if usage.code:
            failure = f"exit code {usage.code}: {usage.log.strip()[-500:]}"
        elif missing := self._find_missing(output, contestant, address.name):
            failure = f"{len(missing)} files missing, {missing[0]} first"
        return Run(
            scenario.key,
            self.product.size,
            contestant.key,
            number,
            usage.wall,
            usage.cpu,
            usage.memory,
            usage.disk,
            failure=failure,
            **asdict(traffic),
        )

    def remove(self) -> None:
        """Remove product and outputs."""
        shutil.rmtree(self.safe.parent)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _find_missing(self, output: Path, contestant: Contestant, name: str) -> list[str]:
        wanted = self._part if contestant.part else self._files
        found = next((get_sizes(path) for path in output.rglob(name) if path.is_dir()), {})
        return [path for path, size in wanted.items() if found.get(path) != size]


def _warm_up(contestants: Sequence[Contestant], place: Path) -> None:
    """Run each once, so that programs and libraries are compiled and in memory for all."""
    stage = _Stage(place, _WARM_UP)
    with Service([stage.safe]) as service:
        for contestant in contestants:
            done = stage.run(service, Scenario("free", "Warm-up", Limits()), contestant, 0)
            if done.failure:
                raise RuntimeError(f"{contestant.title} does not work: {done.failure}")
    stage.remove()


def _tell(done: Run) -> str:
    place = f"{done.scenario:7} {done.size:5} MB  round {done.round}  {done.contestant:9}"
    return f"{place} {done.wall:8.2f} s  {done.failure}".rstrip()
