"""Products one after another, in one process."""

import json
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.product import MEGABYTE
from benchmarks.service import Service
from benchmarks.soak.check import find_fault
from benchmarks.soak.conditions import TOKEN_LIFE, Order, admit
from benchmarks.soak.jobs import TIMEOUT, find_bug, get_environment
from benchmarks.soak.results import Reading

MEASURED = (sys.executable, "-m", "benchmarks.soak.measured")
ROOT = Path(__file__).parents[2]
_END = 30.0  # seconds that the process has to end when there are no more orders


def stage_serially(
    service: Service,
    safes: Sequence[Path],
    orders: Sequence[Order],
    folder: Path,
    seed: int,
    report: Callable[[str], None],
    command: Sequence[str] = MEASURED,
) -> list[Reading]:
    """Stage products one after another in one process; check and delete each.

    Args:
        service: the platform.
        safes: the products that it serves.
        orders: how they are to be staged.
        folder: where they go.
        seed: what the ages of tokens are drawn from.
        report: is told one line for each product.
        command: what runs in the process.

    Raises:
        RuntimeError: the process has ended, or hangs.
    """
    draw = random.Random(seed)
    readings: list[Reading] = []
    with Measured(command, folder / "log") as measured:
        for order in orders:
            safe = safes[order.number]
            left = draw.uniform(0, TOKEN_LIFE)
            item, variables = service.ask(partial(admit, order, safe.name, left))
            output = folder / "output"
            output.mkdir()
            arguments = ["--input-item", item, *order.options]
            answer = measured.stage(arguments, variables, output)
            code, log = answer.pop("code"), measured.read_log()
            failure = find_bug(code, log) or find_fault(output, safe, part=order.part)
            readings.append(Reading(order.number, failure=failure, **answer))
            report(_tell(order, readings[-1]))
            shutil.rmtree(output)
    return readings


class Measured:
    """The process that is looked at, for as long as the context lasts."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._log = log
        self._read = 0
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=get_environment({}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._process.kill()
        with self._process as process:
            try:
                with suppress(BrokenPipeError):
                    process.communicate(timeout=_END)
            finally:
                process.kill()

    def stage(
        self, arguments: list[str], variables: Mapping[str, str], folder: Path
    ) -> dict[str, Any]:
        """Let it stage one product; return what it answers."""
        order = {"arguments": arguments, "variables": dict(variables), "folder": str(folder)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        watch = threading.Timer(TIMEOUT, self._process.kill)
        watch.start()
        line = ""
        try:
            with suppress(BrokenPipeError):
                self._process.stdin.write(f"{json.dumps(order)}\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
        finally:
            watch.cancel()
        if not line:
            raise RuntimeError(
                f"expected an answer within {TIMEOUT:.0f} s of the process that stages, found its "
                f"end: {self.read_log()[-2000:]}"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def read_log(self) -> str:
        """Return what it has logged since this was last asked for."""
        with self._log.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        self._read += len(new)
        return new.decode("utf-8", "replace")


def _tell(order: Order, reading: Reading) -> str:
    held = f"{reading.files} files  {reading.tasks} threads  {reading.memory / MEGABYTE:.1f} MB"
    return f"{order}  {reading.wall:6.2f} s  {held}  {reading.failure}".rstrip()
