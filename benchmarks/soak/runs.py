"""The two long runs, one after the other."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.machine import describe_machine
from benchmarks.service import Service
from benchmarks.soak.conditions import TOKEN_LIFE, Traffic, begin, make_orders, summarise
from benchmarks.soak.jobs import stage_side_by_side
from benchmarks.soak.results import Results
from benchmarks.soak.serial import MEASURED, stage_serially
from sandbox.product import NEW, OLD, make_product

PIXELS = 192  # of the 10 m rasters: products of half a megabyte
_MACHINE = ("Processor", "Memory", "System", "Python", "stage-in", "requests")

Report = Callable[[str], None]
T = TypeVar("T")


def soak(
    *,
    serial: int,
    side_by_side: int,
    jobs: int,
    seed: int,
    folder: Path | None,
    report: Report,
    command: Sequence[str] = MEASURED,
) -> Results:
    """Stage products one after another in one process, then side by side by several.

    Args:
        serial: products one after another.
        side_by_side: products of all jobs together.
        jobs: processes at once.
        seed: what chance is drawn from.
        folder: where products and outputs are, meanwhile; None for the system's choice.
        report: is told one line for each product.
        command: what runs in the process that stages one after another.

    Raises:
        RuntimeError: that process has ended, or hangs.
    """
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    with tempfile.TemporaryDirectory(prefix="soak-", dir=folder) as name:
        place = Path(name)
        machine = describe_machine(place)
        report(f"Seed {seed}; making {max(serial, side_by_side)} products")
        safes = make_products(place / "served", max(serial, side_by_side))
        one_after_another, serial_seconds, serial_traffic = _measure(
            safes[:serial],
            seed,
            lambda service: stage_serially(
                service, safes, make_orders(serial, seed), place, seed, report, command
            ),
        )
        together, jobs_seconds, jobs_traffic = _measure(
            safes[:side_by_side],
            seed + 1,
            lambda service: stage_side_by_side(
                service, safes, make_orders(side_by_side, seed + 1), jobs, place, seed + 1, report
            ),
        )
    return Results(
        date,
        {key: machine[key] for key in _MACHINE},
        seed,
        jobs,
        one_after_another,
        serial_seconds,
        serial_traffic,
        together,
        jobs_seconds,
        jobs_traffic,
    )


def make_products(folder: Path, number: int) -> list[Path]:
    """Make products of both eras, no two the same."""
    recipes = [
        replace(
            era,
            pixels=PIXELS,
            seed=number,
            satellite="AB"[number // 2 % 2],
            sensing=era.sensing + timedelta(hours=number),
        )
        for number, era in ((number, OLD if number % 2 else NEW) for number in range(number))
    ]
    return [make_product(folder, recipe) for recipe in recipes]


def _measure(
    safes: Sequence[Path], seed: int, stage: Callable[[Service], T]
) -> tuple[T, float, Traffic]:
    """Let products be staged from a platform of their own."""
    with Service(safes, token_life=TOKEN_LIFE, seed=seed) as service:
        service.ask(partial(begin, seed))
        started = time.perf_counter()
        staged = stage(service)
        seconds = time.perf_counter() - started
        return staged, seconds, service.ask(summarise)
