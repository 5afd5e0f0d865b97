"""The benchmark's machinery, on a product of some megabytes. No timing is asserted on."""

# The sign for times is meant.
# ruff: noqa: RUF001

import math
import os
import shutil
import signal
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
import rasterio

from benchmarks.bounds import get_floor, get_whole_file_bound
from benchmarks.contestants import CURL, PART, TUTORIAL
from benchmarks.page import make_page
from benchmarks.process import run
from benchmarks.product import get_sizes, make_padded_product, select_bands
from benchmarks.results import Product, Results, Run
from benchmarks.rounds import measure
from benchmarks.scenarios import CONNECTIONS, RATE, SCENARIOS
from benchmarks.sizes import FULL_TILE, SIZES, get_kind
from benchmarks.summary import Summary
from benchmarks.targets import check_targets

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MEGABYTES = 3
LIMITS = SCENARIOS["limits"].limits


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_padded_product(tmp_path_factory.mktemp("padded"), MEGABYTES * 1_000_000)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    # a part goes the same way as the whole does
    contestants = [PART, TUTORIAL]
    if shutil.which("curl") and shutil.which("unzip"):
        contestants.append(CURL)
    with pytest.MonkeyPatch.context() as patch:
        # it waits for whatever the machine is writing
        patch.setattr(os, "sync", lambda: None)
        return measure(
            sizes=[MEGABYTES],
            matrix=MEGABYTES,
            rounds=1,
            scenarios=[SCENARIOS["limits"]],
            contestants=contestants,
            folder=tmp_path_factory.mktemp("measured"),
            report=lambda line: None,
        )


def test_real_tile_is_whole() -> None:
    assert (len(SIZES), FULL_TILE) == (59, 903_100_806)


def test_two_of_five_large_files_share_a_connection() -> None:
    floor = get_floor(SIZES.values(), LIMITS)
    bound = get_whole_file_bound(SIZES.values(), LIMITS)
    assert floor == FULL_TILE / 80e6
    fourth, fifth = sorted(SIZES.values(), reverse=True)[3:5]
    assert bound == pytest.approx((fourth + fifth) / 20e6)
    assert bound / floor == pytest.approx(1.18, abs=0.01)


def test_each_file_pays_for_latency_and_lag() -> None:
    late = replace(LIMITS, latency=0.2, lag=1.0)
    # two after another on each connection; what follows the last byte does not count
    assert get_whole_file_bound([RATE] * 2 * CONNECTIONS, late) == pytest.approx(2 * 1.2 + 1)


def test_no_bound_without_limits() -> None:
    free = SCENARIOS["free"].limits
    assert get_floor([1], free) is get_whole_file_bound([1], free) is None


def test_product_has_the_sizes_of_a_tile(safe: Path) -> None:
    sizes = get_sizes(safe)
    images = {get_kind(path): size for path, size in sizes.items() if "/IMG_DATA/" in path}
    scale = MEGABYTES * 1_000_000 / FULL_TILE
    for kind, size in images.items():
        assert size == pytest.approx(SIZES[kind] * scale, abs=2000)
    assert sum(sizes.values()) >= MEGABYTES * 1_000_000 * 0.99


def test_padded_files_are_what_they_were(safe: Path) -> None:
    for path in safe.rglob("*.xml"):
        ET.parse(path)
    for path in safe.rglob("*.jp2"):
        with rasterio.open(path) as image:
            assert image.read(1).size


def test_bands_come_with_their_metadata(safe: Path) -> None:
    part = {path.rpartition("/")[2] for path in select_bands(get_sizes(safe))}
    assert {"manifest.safe", "MTD_MSIL1C.xml", "MTD_TL.xml", "MTD_DS.xml"} < part
    assert sum(name.endswith(".jp2") for name in part) == 3


def test_process_is_measured_with_its_children(tmp_path: Path) -> None:
    child = "x = bytearray(b'1') * 80_000_000; open('kept', 'wb').write(x[:3_000_000])"
    script = '"$0" -c "$1"; cat kept > other; sleep 0.5; rm other; exit 3'
    usage = run(
        ["sh", "-c", script, sys.executable, child],
        tmp_path,
        {"PATH": "/usr/bin:/bin"},
        timeout=60,
    )
    assert usage.code == 3
    assert usage.memory >= 80_000_000
    assert usage.disk >= 6_000_000
    assert usage.cpu > 0


def test_process_that_hangs_is_killed(tmp_path: Path) -> None:
    usage = run(["sleep", "60"], tmp_path, {"PATH": "/usr/bin:/bin"}, timeout=0.2)
    assert usage.code == -signal.SIGKILL


@pytest.mark.slow
def test_figures_are_sane(results: Results) -> None:
    product = results.products[0]
    assert {done.contestant for done in results.runs} >= {"bands", "tutorial"}
    for done in results.runs:
        wanted = sum(product.part if done.contestant == "bands" else product.files)
        assert done.failure == ""
        assert wanted <= done.sent <= 1.2 * wanted
        assert wanted <= done.disk <= 2.3 * wanted
        assert done.memory > 1_000_000
        assert 1 <= done.most_open <= CONNECTIONS
        assert done.refused == 0
        assert done.fastest is None or done.fastest <= RATE * 1.01


@pytest.mark.slow
def test_results_survive_being_written(results: Results, tmp_path: Path) -> None:
    results.write(tmp_path / "results.json")
    assert Results.read(tmp_path / "results.json") == results


@pytest.mark.slow
def test_page_tells_each_contestant(results: Results) -> None:
    page = make_page(Summary(results))
    for done in results.runs:
        assert f"| {done.wall:.2f} |" in page
    assert "nan" not in page
    assert str(Path.home()) not in page


@pytest.mark.slow
def test_plot_is_a_function_of_the_results(results: Results, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.plot import draw

    drawn = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for path in drawn:
        draw(Summary(results), path)
    assert drawn[0].read_bytes() == drawn[1].read_bytes()
    assert ET.parse(drawn[0]).getroot().tag.endswith("svg")


def made_up(contestant: str, scenario: str, wall: float, failure: str = "", **facts: int) -> Run:
    figures = {"memory": 100, "disk": 1000, "sent": 1000, "most_open": 4, "refused": 0} | facts
    return Run(scenario, 500, contestant, 1, wall, 1.0, fastest=19e6, failure=failure, **figures)


def check(*runs: Run) -> dict[str, bool]:
    files = [100_000_000] * 4
    results = Results("2026-01-01", {}, 500, [Product(500, files, files[:1])], list(runs))
    return {target.what: target.reached for target in check_targets(Summary(results))}


@pytest.mark.parametrize(("wall", "reached"), [(5.4, True), (5.6, False)])
def test_bound_decides_about_speed(wall: float, reached: bool) -> None:
    found = check(made_up("nodes", "limits", wall), made_up("tutorial", "limits", 16.5))
    assert found["(a) wall time, 500 MB: × the whole-file bound"] is reached


@pytest.mark.parametrize(("wall", "reached"), [(1.0, True), (1.1, False)])
def test_tutorial_decides_about_unthrottled_speed(wall: float, reached: bool) -> None:
    found = check(made_up("nodes", "free", wall), made_up("tutorial", "free", 1.0))
    assert found["(c) wall time, 500 MB: × faster than the tutorial's way"] is reached


def test_fifth_connection_misses_the_target() -> None:
    assert check(made_up("nodes", "limits", 5))["(a), (b) downloads open at once, ours"]
    found = check(made_up("nodes", "limits", 5, most_open=5))
    assert not found["(a), (b) downloads open at once, ours"]


def test_failed_runs_are_told_and_left_out() -> None:
    runs = [made_up("nodes", "limits", 5.0), made_up("nodes", "limits", 99.0, "exit code 75: x")]
    summary = Summary(Results("2026-01-01", {}, 500, [Product(500, [1], [1])], runs))
    row = summary.get("nodes", "limits", 500)
    assert row is not None
    assert (row.wall, row.rounds, len(row.failures)) == (5.0, 2, 1)
    assert "exit code 75: x" in make_page(summary)
    assert math.isfinite(row.cpu)
