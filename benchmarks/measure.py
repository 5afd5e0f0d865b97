"""Runs contestants and measures them; GNU time does the timing."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.product import MEGABYTE, get_sizes, is_needed_for_bands, make_padded_product
from benchmarks.service import Service, serve
from benchmarks.worlds import CONTESTANTS, WORLDS, Contestant, Group, World
from sandbox.limits import Limits


class Usage(NamedTuple):
    """How a command ended, and what it took from its start to its exit."""

    code: int
    log: str  # standard output and standard error
    wall: float  # seconds
    cpu: float  # seconds of user and system time, child processes included
    memory: int  # bytes of the largest resident set of all its processes
    disk: int  # bytes that the files below its folder occupied at the peak


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
) -> Usage:
    """Run a command in a folder, and kill it after `timeout` seconds."""
    disk = 0
    with tempfile.NamedTemporaryFile("r") as figures, tempfile.TemporaryFile("w+") as log:
        timed = ("/usr/bin/time", "--format=%e %U %S %M", f"--output={figures.name}", *command)
        process = subprocess.Popen(
            ["timeout", "--kill-after=5", str(timeout), *timed],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                disk = max(disk, get_allocated(folder))
                time.sleep(0.1)
        finally:
            process.terminate()
        disk = max(disk, get_allocated(folder))
        log.seek(0)
        # Before the figures, a line may give the exit code. After a time-out there are no figures.
        last = (figures.read().splitlines() or ["0 0 0 0"])[-1]
        wall, user, system, memory = map(float, last.split())
        return Usage(process.returncode, log.read(), wall, user + system, int(memory) * 1024, disk)


def get_allocated(folder: Path) -> int:
    """Return the bytes that the files below a folder occupy, even while files come and go."""
    blocks = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                status = Path(parent, name).lstat()
                blocks[status.st_ino] = status.st_blocks
    return 512 * sum(blocks.values())


def measure(plan: Iterable[Group], report: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure a plan, report each run by one line, and return the runs as results.json keeps them.

    Contestants take turns, so that a disturbance of the machine hits all of them. If one fails, the
    RuntimeError names it and has the last line of its log.
    """
    with _preparing(3) as course:
        for contestant in CONTESTANTS.values():
            course.run(contestant, World("warm-up", Limits()))
    runs = []
    for world, size, rounds, contestants, products in plan:
        with _preparing(size, products) as course:
            for number in range(rounds):
                turn = number % len(contestants)
                for key in contestants[turn:] + contestants[:turn]:
                    figures = course.run(CONTESTANTS[key], WORLDS[world])
                    report(f"{world} {size} MB, round {number + 1}: {key} {figures['wall']:.2f} s")
                    runs.append(
                        {
                            **{"world": world, "size": size, "products": products},
                            **{"contestant": key, "round": number + 1, **figures},
                        }
                    )
    return runs


@contextmanager
def _preparing(size: int, products: int = 1) -> Iterator["_Course"]:
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        safes = [
            make_padded_product(Path(name, "served"), size * MEGABYTE, number)
            for number in range(products)
        ]
        with serve(Service, safes) as service:
            yield _Course(safes, service, Path(name, "run"), timeout=120 + size * products)


class _Course(NamedTuple):
    """Products, the service that serves them, and the folder in which contestants run."""

    safes: list[Path]
    service: Any
    folder: Path
    timeout: float

    def run(self, contestant: Contestant, world: World) -> dict[str, Any]:
        """Let a contestant get the products; return its figures."""
        temporary = self.folder / "tmp"
        shutil.rmtree(self.folder, ignore_errors=True)
        temporary.mkdir(parents=True)
        os.sync()  # so that what others have written is not flushed during this run
        time.sleep(world.limits.lag)  # until all slots are released
        urls, variables = self.service.prepare(world.limits)
        environment = {"HOME": str(self.folder), "TMPDIR": str(temporary), **variables}
        usage = run(contestant.get_command(urls), self.folder, environment, self.timeout)
        wanted: dict[str, int] = {}
        found: dict[str, int] = {}
        for safe in self.safes:
            for path, size in get_sizes(safe).items():
                if not contestant.bands_only or is_needed_for_bands(path):
                    wanted[f"{safe.name}/{path}"] = size
            staged = get_sizes(next(self.folder.rglob(safe.name), self.folder))
            found |= {f"{safe.name}/{path}": size for path, size in staged.items()}
        wrong = [path for path, size in wanted.items() if found.get(path) != size]
        if usage.code or wrong:
            why = f"exit code {usage.code}" if usage.code else f"{wrong[0]} is missing or differs"
            last = (usage.log.strip().splitlines() or ["(no output)"])[-1]
            raise RuntimeError(f"{contestant.title} failed in {world.title}: {why}: {last}")
        return {
            **{name: getattr(usage, name) for name in ("wall", "cpu", "memory", "disk")},
            **self.service.get_traffic(),
            "wanted": sum(wanted.values()),
            "bound": world.get_bound(wanted.values()),
        }
