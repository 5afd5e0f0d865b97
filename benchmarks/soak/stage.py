"""Stages products one after another in one process, and side by side by several jobs."""

import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import pystac

from app.app import main as command
from benchmarks.measure import run
from benchmarks.product import BANDS, get_sizes, is_needed_for_bands
from benchmarks.soak.conditions import Order

TIMEOUT = 300  # seconds


def stage_side_by_side(
    service: Any, safes: Sequence[Path], orders: Sequence[Order], jobs: int
) -> list[dict[str, Any]]:
    """Stage products by several jobs, each by a process of its own; return what these took."""

    def stage(order: Order) -> dict[str, Any]:
        safe = safes[order.number]
        item, variables = service.admit(order, safe.name)
        arguments = [sys.executable, "-m", "app.app", "--input-item", item, *order.options]
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            usage = run(arguments, Path(folder), {"PYTHONWARNINGS": "error", **variables}, TIMEOUT)
            failure = find_failure(usage.code, usage.log, Path(folder), safe, order)
        return {"wall": usage.wall, "cpu": usage.cpu, "memory": usage.memory, "failure": failure}

    with ThreadPoolExecutor(jobs) as pool:
        return [*pool.map(stage, orders)]


def set_up(log: str) -> None:
    """Prepare the process that stages serially: a log for its errors, which warnings are, too."""
    os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND), 2)
    warnings.simplefilter("error")


def stage_serially(
    service: Any,
    safes: Sequence[Path],
    orders: Sequence[Order],
    set_up: Callable[[str], None] = set_up,
) -> list[dict[str, Any]]:
    """Stage products one after another in one process; return what it held after each."""
    readings = []
    with (
        tempfile.NamedTemporaryFile() as log,
        get_context("spawn").Pool(1, set_up, [log.name]) as pool,
    ):
        for order in orders:
            safe = safes[order.number]
            item, variables = service.admit(order, safe.name)
            with tempfile.TemporaryDirectory(prefix="soak-") as folder:
                arguments = (["--input-item", item, *order.options], variables, folder)
                code, reading = pool.apply_async(_stage_here, arguments).get(TIMEOUT)
                text = Path(log.name).read_text()
                failure = find_failure(code, text, Path(folder), safe, order)
            readings.append({**reading, "failure": failure})
            os.truncate(log.name, 0)
    return readings


def _stage_here(
    arguments: list[str], variables: dict[str, str], folder: str
) -> tuple[int, dict[str, Any]]:
    """Run the command in this process; return its exit code, and what the process holds then."""
    os.chdir(folder)
    code = 0
    start = time.monotonic()
    try:
        with patch.dict(os.environ, {"PATH": os.environ["PATH"], **variables}, clear=True):
            command(arguments, standalone_mode=False)
    except SystemExit as end:
        code = int(end.code or 0)
    wall = time.monotonic() - start
    while threading.active_count() > 1 and time.monotonic() < start + wall + 2:
        time.sleep(0.01)  # threads that have nothing left to do may take a moment to end
    process, heap = psutil.Process(), psutil.heap_info()
    return code, {
        "wall": wall,
        "descriptors": process.num_fds(),
        "files": len(process.open_files()),
        "threads": process.num_threads(),
        "memory": process.memory_info().rss,
        "heap": heap.heap_used + heap.mmap_used,
        "blocks": sys.getallocatedblocks(),
    }


def find_failure(code: int, log: str, folder: Path, safe: Path, order: Order) -> str:
    """Return what is wrong with a run: its exit code, its log, or what it left in its folder."""
    lines = [line for line in log.splitlines() if line.strip()] or ["(no output)"]
    if code or any(line.startswith(("Traceback", "Exception ignored")) for line in lines):
        return f"exit code {code}: {lines[-1]}"
    name = safe.name.removesuffix(".SAFE")
    staged = folder / "catalog" / name / safe.name
    diff = subprocess.run(["diff", "-rq", safe, staged], capture_output=True, text=True)
    wrong = (diff.stdout + diff.stderr).splitlines()
    if order.bands_only:
        wrong = [line for line in wrong if not line.startswith(f"Only in {safe}")]
        needed = filter(is_needed_for_bands, get_sizes(safe))
        wrong += [path for path in needed if not (staged / path).exists()]
        images = len([*staged.glob("GRANULE/*/IMG_DATA/*.jp2")])
        wrong += [f"{images} images"] if images != len(BANDS) else []
    wrong += [path.name for path in folder.iterdir() if path.name != "catalog"]
    if wrong:
        return f"{len(wrong)} files differ: {wrong[0]}"
    catalog = pystac.Catalog.from_file(str(folder / "catalog/catalog.json"))
    items = [*catalog.get_items(recursive=True)]
    hrefs = [asset.get_absolute_href() or "" for item in items for asset in item.assets.values()]
    missing = [href for href in hrefs if not Path(href).is_file()]
    if [item.id for item in items] != [name] or missing or not hrefs:
        return f"expected one item {name} with its assets, found {items} without {missing}"
    return ""
