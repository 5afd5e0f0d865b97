"""Long runs: a process does not hold more and more, and jobs share one account's quota."""

import gc
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.service import serve
from benchmarks.soak import stage
from benchmarks.soak.__main__ import soak
from benchmarks.soak.conditions import Order, SoakService, make_orders, make_products
from benchmarks.soak.stage import find_failure, set_up, stage_serially
from benchmarks.soak.tables import MIN_PRODUCTS, find_growth
from sandbox.server import Sandbox
from tests.conftest import StageIn

pytestmark = pytest.mark.skipif(not hasattr(psutil, "heap_info"), reason="needs mallinfo2")


@pytest.mark.slow
def test_everything_is_staged_while_faults_happen() -> None:
    results = soak(MIN_PRODUCTS, 4, seed=5)
    runs = [*results["serial"], *results["jobs"]]
    assert [run["failure"] for run in runs] == [""] * 2 * MIN_PRODUCTS
    assert find_growth(results["serial"]) == []
    for way in ("serial", "jobs"):
        traffic = results[f"{way}_traffic"]
        assert 1 <= traffic["downloads open at the same time, at most"] <= 4
        assert traffic["access tokens renewed"] > 0
        assert traffic["requests struck by a fault"] > 0
    assert results["jobs_traffic"]["downloads refused (429) as no slot was free"] > 0


def leak(log: str) -> None:
    """Let the command leave a file open each time."""
    set_up(log)
    command = stage.command

    def leave_open(*arguments: Any, **options: Any) -> Any:
        os.dup(0)
        return command(*arguments, **options)

    stage.command = leave_open


@pytest.mark.slow
def test_process_that_leaves_files_open_is_found(tmp_path: Path) -> None:
    safes = make_products(tmp_path, MIN_PRODUCTS)
    with serve(SoakService, safes, seed=1) as service:
        readings = stage_serially(service, safes, make_orders(MIN_PRODUCTS, 1), leak)
    assert [line.partition(" grew")[0] for line in find_growth(readings)] == [
        "open file descriptors"
    ]


@pytest.mark.slow
def test_failure_is_found(platform: Sandbox) -> None:
    platform.faults.add("status=404")
    safes = [product.folder for product in platform.products]
    order = Order(0, "new", "nodes", False, "", 0)
    (reading,) = stage_serially(Undisturbed(platform), safes, [order])
    assert reading["failure"].startswith("exit code 66: ")


class Undisturbed:
    """Admits orders to a sandbox of this process."""

    def __init__(self, platform: Sandbox) -> None:
        self._platform = platform

    def admit(self, order: Order, name: str) -> tuple[str, dict[str, str]]:
        """Return the URL of the item and the variables."""
        token = {"CDSE_ACCESS_TOKEN": self._platform.mint()}
        return self._platform.item_url(name), {**token, **self._platform.environment}


def keep_garbage(log: str) -> None:
    """Let no garbage be collected."""
    set_up(log)
    gc.disable()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("transport", "fault"),
    [
        ("nodes", ""),
        ("zip", ""),
        ("nodes", "status=400 on=download path=*IMG_DATA*$value"),
    ],
    ids=["nodes", "zip", "fallback-to-zip"],
)
def test_no_file_stays_open_until_garbage_is_collected(
    platform: Sandbox, transport: str, fault: str
) -> None:
    """On network file systems, a file that is removed while it is open leaves another one behind.

    The sockets of a connection pool may stay open after a failure.
    """
    if fault:
        platform.faults.add(fault)
    safes = [product.folder for product in platform.products]
    orders = [Order(number % 2, "new", transport, False, "", 0) for number in range(4)]
    readings = stage_serially(Undisturbed(platform), safes, orders, keep_garbage)
    assert [reading["failure"] for reading in readings] == [""] * 4
    held = "files" if fault else "descriptors"
    assert len({reading[held] for reading in readings}) == 1
    assert len({reading["threads"] for reading in readings}) == 1


@pytest.mark.parametrize(
    ("make", "grows"),
    [
        (lambda x: 5, False),
        (lambda x: 5 + x // 20, True),
        (lambda x: 5 + 3 * (x % 11 == 0), False),
        (lambda x: 5 + min(x, 15), False),
        (lambda x: 5 + 2 * (x >= 100), True),
    ],
    ids=["constant", "one-in-twenty", "for-a-moment", "until-warm", "a-step"],
)
def test_growth(make: Callable[[int], int], grows: bool) -> None:
    held = {"threads": 1, "memory": 1, "heap": 1, "blocks": 1}
    found = find_growth([{**held, "descriptors": make(x)} for x in range(200)])
    assert bool(found) is grows


def change_byte(folder: Path) -> None:
    path = next(folder.glob("catalog/*/*.SAFE/GRANULE/*/IMG_DATA/*_B02.jp2"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def remove_file(folder: Path) -> None:
    next(folder.glob("catalog/*/*.SAFE/MTD_MSIL1C.xml")).unlink()


def remove_thumbnail(folder: Path) -> None:
    next(folder.glob("catalog/*/thumbnail.png")).unlink()


def rename_item(folder: Path) -> None:
    item = next(folder.glob("catalog/*/*.json"))
    item.write_text(item.read_text().replace('"id": "', '"id": "X'))


def leave_staging(folder: Path) -> None:
    (folder / ".catalog.staging").mkdir()


def add_band(folder: Path) -> None:
    path = next(folder.glob("catalog/*/*.SAFE/GRANULE/*/IMG_DATA/*_B02.jp2"))
    path.with_name(path.name.replace("B02", "B05")).write_bytes(path.read_bytes())


@pytest.mark.parametrize("bands_only", [False, True], ids=["whole", "bands"])
def test_outputs_that_differ_are_found(stage_in: StageIn, new: Path, bands_only: bool) -> None:
    order = Order(0, "new", "nodes", bands_only, "", 0)
    assert stage_in(stage_in.platform.item_url(new.name), *order.options).code == 0
    assert find_failure(0, "", stage_in.folder, new, order) == ""
    assert find_failure(0, "Exception ignored in: x", stage_in.folder, new, order)
    for damage in (
        change_byte, remove_file, remove_thumbnail, rename_item, leave_staging, add_band,
    ):  # fmt: skip
        folder = stage_in.folder.with_name(damage.__name__)
        shutil.copytree(stage_in.folder, folder)
        damage(folder)
        assert find_failure(0, "", folder, new, order), damage.__name__
