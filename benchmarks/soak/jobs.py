"""Products side by side: processes of the command, which share one account."""

import os
import queue
import random
import shutil
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.process import run
from benchmarks.product import MEGABYTE
from benchmarks.service import Service
from benchmarks.soak.check import find_fault
from benchmarks.soak.conditions import TOKEN_LIFE, Order, admit
from benchmarks.soak.results import Job

TIMEOUT = 300.0  # seconds after which a product is given up


def stage_side_by_side(
    service: Service,
    safes: Sequence[Path],
    orders: Sequence[Order],
    number: int,
    folder: Path,
    seed: int,
    report: Callable[[str], None],
) -> list[Job]:
    """Let a number of jobs stage products, each the next one; check and delete each product.

    Args:
        service: the platform.
        safes: the products that it serves.
        orders: how they are to be staged.
        number: of the jobs.
        folder: where they work.
        seed: what the ages of tokens are drawn from.
        report: is told one line for each product.
    """
    draw = random.Random(seed)
    waiting: queue.SimpleQueue[tuple[Order, float]] = queue.SimpleQueue()
    for order in orders:
        waiting.put((order, draw.uniform(0, TOKEN_LIFE)))
    done: list[Job] = []
    stopped = threading.Event()

    def work(job: int) -> None:
        while not stopped.is_set():
            try:
                order, left = waiting.get_nowait()
            except queue.Empty:
                return
            output = folder / f"job-{job}"
            output.mkdir()
            done.append(_stage(service, safes[order.number], order, left, output))
            report(_tell(job, order, done[-1]))
            shutil.rmtree(output)

    with ThreadPoolExecutor(number) as pool:
        try:
            for future in [pool.submit(work, job) for job in range(number)]:
                future.result()
        finally:
            stopped.set()
    return done


def get_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return a clean environment, in which what Python warns of is an error."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONWARNINGS": "error", **variables}


def find_bug(code: int, log: str) -> str:
    """Return why a process has failed, or the bug that it tells of in spite of success."""
    lines = [line for line in log.splitlines() if line.strip()]
    if code:
        return f"exit code {code}: {lines[-1] if lines else 'no reason given'}"
    bugs = [line for line in lines if line.startswith(("Traceback", "Exception ignored"))]
    return f"{bugs[0]} … {lines[-1]}" if bugs else ""


def _stage(service: Service, safe: Path, order: Order, left: float, output: Path) -> Job:
    item, variables = service.ask(partial(admit, order, safe.name, left))
    command = [sys.executable, "-m", "app.app", "--input-item", item, *order.options]
    usage = run(command, output, get_environment(variables), TIMEOUT)
    failure = find_bug(usage.code, usage.log) or find_fault(output, safe, part=order.part)
    return Job(order.number, usage.wall, usage.cpu, usage.memory, failure)


def _tell(job: int, order: Order, done: Job) -> str:
    took = f"{done.wall:6.2f} s  {done.memory / MEGABYTE:.1f} MB"
    return f"{order}  job {job + 1}  {took}  {done.failure}".rstrip()
