"""Long runs: what a process holds does not grow, and jobs share one account."""

import json
import shutil
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.service import Service
from benchmarks.soak.check import find_fault
from benchmarks.soak.conditions import CONNECTIONS, TOKEN_LIFE, begin, list_faults, make_orders
from benchmarks.soak.growth import LEAST, judge
from benchmarks.soak.jobs import find_bug
from benchmarks.soak.results import Results
from benchmarks.soak.runs import make_products, soak
from benchmarks.soak.section import BEGIN, END, find_growth, judge_all, make_section, put
from benchmarks.soak.serial import Measured, stage_serially
from sandbox.server import Sandbox
from tests.conftest import ROOT, StageIn

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

JOBS = 4
UNCOLLECTED = (
    sys.executable,
    "-c",
    "import gc; gc.disable(); from benchmarks.soak.measured import main; main()",
)
LEAKING = (
    sys.executable,
    "-c",
    "import os\n"
    "from stage_in import staging\n"
    "from benchmarks.soak.measured import main\n"
    "real, kept = staging.stage_in, []\n"
    "def leave_open(*arguments):\n"
    "    kept.append(os.dup(0))\n"
    "    return real(*arguments)\n"
    "staging.stage_in = leave_open\n"
    "main()\n",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return soak(
        serial=LEAST,
        side_by_side=2 * JOBS,
        jobs=JOBS,
        seed=5,
        folder=tmp_path_factory.mktemp("soak"),
        report=lambda line: None,
    )


@pytest.mark.slow
def test_all_arrive_though_things_go_wrong(results: Results) -> None:
    assert results.failures == []
    assert [one.number for one in results.serial] == [*range(LEAST)]
    assert sorted(job.number for job in results.jobs) == [*range(2 * JOBS)]
    for traffic in (results.serial_traffic, results.jobs_traffic):
        assert 1 <= traffic.most_granted <= CONNECTIONS
        assert traffic.renewals > 0
        assert traffic.connections <= traffic.requests
    assert results.jobs_traffic.refused > 0, "jobs side by side want more than is granted"
    struck = [sum(x.struck.values()) for x in (results.serial_traffic, results.jobs_traffic)]
    assert min(struck) > 0
    assert all(job.memory > 10_000_000 for job in results.jobs)
    assert all(one.memory > one.heap > 1_000_000 for one in results.serial)


@pytest.mark.slow
def test_process_that_goes_on_holds_what_it_held(results: Results) -> None:
    """Connections that are kept for a next request may wait until garbage is collected."""
    first, *others = results.serial[1:]
    for one in others:
        assert one.files - one.sockets == first.files - first.sockets
        assert (one.threads, one.tasks) == (first.threads, first.tasks)


@pytest.mark.slow
def test_process_that_leaves_a_file_open_is_found(results: Results, tmp_path: Path) -> None:
    safes = make_products(tmp_path / "served", LEAST)
    with Service(safes, token_life=TOKEN_LIFE) as service:
        readings = stage_serially(
            service, safes, make_orders(LEAST, 1), tmp_path, 1, lambda line: None, LEAKING
        )
    assert not any(one.failure for one in readings)
    leaked = replace(results, serial=readings)
    assert judge_all(leaked)["files"].slope == pytest.approx(100, abs=10)
    assert any(line.startswith("files") for line in find_growth(leaked))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--transport", "nodes"], ""),
        (["--transport", "zip"], ""),
        (["--transport", "nodes"], "status=400 on=download path=*IMG_DATA*$value"),
    ],
    ids=["nodes", "zip", "zip-takes-over"],
)
def test_no_file_stays_open_until_garbage_is_collected(
    platform: Sandbox, tmp_path: Path, options: list[str], fault: str
) -> None:
    """On network file systems a file that is removed while it is open leaves another behind.

    Of connections the pool is kept by the failure of which the zip took over; they may wait.
    """
    if fault:
        platform.faults.add(fault)
    held = []
    with Measured(UNCOLLECTED, tmp_path / "log") as measured:
        for number, product in enumerate(platform.products * 2):
            folder = tmp_path / str(number)
            folder.mkdir()
            arguments = ["--input-item", platform.item_url(product.name), *options]
            variables = {"CDSE_ACCESS_TOKEN": platform.mint(), **platform.environment}
            answer = measured.stage(arguments, variables, folder)
            assert answer["code"] == 0, measured.read_log()
            held.append(answer)
    files = [answer["files"] - answer["sockets"] for answer in held]
    assert files == [files[0]] * 4
    if not fault:
        assert [answer["sockets"] for answer in held] == [0] * 4
    assert [answer["threads"] for answer in held] == [1] * 4


@pytest.mark.slow
def test_failure_is_told(tmp_path: Path) -> None:
    """A product that the platform does not have, whoever is asked for it."""
    safes = make_products(tmp_path / "served", 1)
    with Service(safes) as service:
        service.ask(lose_products)
        (reading,) = stage_serially(
            service, safes, make_orders(1, 1), tmp_path, 1, lambda line: None
        )
    assert reading.failure.startswith("exit code 66: ")


def lose_products(sandbox: Sandbox) -> None:
    sandbox.faults.add("status=404")


@pytest.mark.parametrize("command", ["pass", "import time; time.sleep(0.5)", "input(); input()"])
def test_process_that_ends_is_told(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.soak.serial.TIMEOUT", 1.0)
    with (
        pytest.raises(RuntimeError, match="expected an answer within 1 s"),
        Measured([sys.executable, "-c", command], tmp_path / "log") as measured,
    ):
        measured.stage([], {}, tmp_path)


def test_process_that_does_not_listen_is_told(tmp_path: Path) -> None:
    command = "import os, time; os.close(0); os.write(2, b'deaf'); time.sleep(60)"
    with (
        pytest.raises(RuntimeError, match="found its end: deaf"),
        Measured([sys.executable, "-c", command], tmp_path / "log") as measured,
    ):
        stage_once_it_has_spoken(measured, tmp_path)


def stage_once_it_has_spoken(measured: Measured, folder: Path) -> None:
    until = time.monotonic() + 10
    while not (folder / "log").read_text() and time.monotonic() < until:
        time.sleep(0.01)
    measured.stage([], {}, folder)


@pytest.mark.parametrize(
    ("make", "grows"),
    [
        (lambda x: 5, False),
        (lambda x: 5 + x // 20, True),
        (lambda x: 5 + 3 * (x % 11 == 0), False),
        (lambda x: 5 + min(x, 30), False),
        (lambda x: 5 + 20 * (x == 199), False),
        (lambda x: 5 - x // 100, False),
        (lambda x: 5 + 2 * (x >= 100), True),
    ],
    ids=[
        "constant",
        "one-in-twenty",
        "for-a-moment",
        "until-warm",
        "at-the-end",
        "fewer",
        "a-step",
    ],
)
def test_growth_of_counts(make: Callable[[int], float], grows: bool) -> None:
    assert judge([make(x) for x in range(200)]).exceeds() is grows


def test_growth_of_memory() -> None:
    growth = judge([100e6 + 1e6 * x for x in range(200)])
    assert growth.slope == pytest.approx(100e6)
    assert growth.exceeds(0.05)
    noisy = judge([100e6 + 1e6 * (x * 7919 % 13) for x in range(200)])
    assert abs(noisy.slope) < 1e6
    assert not noisy.exceeds(0.05)


def test_few_products_tell_nothing() -> None:
    with pytest.raises(ValueError, match="at least 10 products, found 9"):
        judge([1.0] * 9)


def test_orders_take_turns_at_everything() -> None:
    orders = make_orders(200, 1)
    assert [order.number for order in orders] == [*range(200)]
    kinds = {(x.generation, x.transport, x.part, x.credentials) for x in orders}
    assert len(kinds) == 2 * 2 * 2 * 4
    assert {order.era for order in orders} == {"new", "old"}
    assert orders == make_orders(200, 1)
    assert orders != make_orders(200, 2)


def test_faults_are_understood() -> None:
    sandbox = Sandbox()
    begin(1, sandbox)
    rules = sandbox.faults.rules
    assert len(rules) == len([*list_faults()])
    assert all(0 < rule.fault.chance < 0.01 for rule in rules)
    refusing = {rule.fault.on for rule in rules if rule.fault.status == 401}
    assert refusing == {"catalogue", "stac", "download"}


@pytest.mark.parametrize(
    ("code", "log", "why"),
    [
        (0, "INFO  Staging\nSUCCESS  Staged\n", ""),
        (75, "INFO  Staging\nERROR  nothing new arrived\n", "exit code 75: ERROR  nothing new"),
        (-9, "", "exit code -9: no reason given"),
        (0, "Exception ignored in: <socket>\nResourceWarning: unclosed\n", "Exception ignored"),
        (0, "INFO\nTraceback (most recent call last):\n  File\nKeyError: 1\n", "Traceback"),
    ],
)
def test_bugs_are_found_in_the_log(code: int, log: str, why: str) -> None:
    found = find_bug(code, log)
    assert found.startswith(why)
    assert bool(found) is bool(why)


def change_byte(folder: Path) -> None:
    path = next(folder.glob("catalog/*/*.SAFE/GRANULE/*/IMG_DATA/*_B02.jp2"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def remove_file(folder: Path) -> None:
    next(folder.glob("catalog/*/*.SAFE/MTD_MSIL1C.xml")).unlink()


def remove_file_and_asset(folder: Path) -> None:
    path = next(folder.glob("catalog/*/*.SAFE/INSPIRE.xml"))
    path.unlink()
    item = next(folder.glob("catalog/*/*.json"))
    content = json.loads(item.read_text())
    assets = content["assets"]
    content["assets"] = {k: v for k, v in assets.items() if not v["href"].endswith(path.name)}
    assert len(content["assets"]) < len(assets)
    item.write_text(json.dumps(content))


def rename_item(folder: Path) -> None:
    item = next(folder.glob("catalog/*/*.json"))
    item.write_text(item.read_text().replace('"id": "', '"id": "X'))


def remove_folder(folder: Path) -> None:
    next(folder.glob("catalog/*/*.SAFE/rep_info")).rmdir()


def remove_thumbnail(folder: Path) -> None:
    next(folder.glob("catalog/*/thumbnail.png")).unlink()


def leave_staging(folder: Path) -> None:
    (folder / ".catalog.staging").mkdir()


def add_band(folder: Path) -> None:
    path = next(folder.glob("catalog/*/*.SAFE/GRANULE/*/IMG_DATA/*_B02.jp2"))
    path.with_name(path.name.replace("B02", "B05")).write_bytes(path.read_bytes())


@pytest.mark.parametrize("part", [False, True], ids=["whole", "part"])
def test_outputs_that_differ_are_found(stage_in: StageIn, new: Path, part: bool) -> None:
    options = ["--assets", "B02,B03,B04"] if part else []
    assert stage_in(stage_in.platform.item_url(new.name), *options).code == 0
    assert find_fault(stage_in.folder, new, part=part) == ""
    assert part or find_fault(stage_in.folder, new, part=True)
    damages = [change_byte, remove_file, remove_file_and_asset, remove_thumbnail]
    damages += [rename_item, leave_staging, add_band, *([] if part else [remove_folder])]
    for damage in damages:
        folder = stage_in.folder.with_name(damage.__name__)
        shutil.copytree(stage_in.folder, folder)
        damage(folder)
        assert find_fault(folder, new, part=part), damage.__name__


@pytest.mark.slow
def test_results_survive_being_written(results: Results, tmp_path: Path) -> None:
    results.write(tmp_path / "soak.json")
    assert Results.read(tmp_path / "soak.json") == results


@pytest.mark.slow
def test_failures_and_growth_are_told(results: Results) -> None:
    failed = replace(results.jobs[0], failure="exit code 75: nothing came")
    grown = [replace(one, tasks=one.tasks + one.number) for one in results.serial]
    section = make_section(replace(results, serial=grown, jobs=[failed, *results.jobs[1:]]))
    assert f"- side by side, product {failed.number + 1}: exit code 75: nothing came" in section
    assert "- tasks: " in section
    assert f"{len(results.jobs) - 1} of {len(results.jobs)}" in section
    assert "What went wrong" not in make_section(replace(results, serial=results.serial[:1] * 10))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "share", "grows"), [(200, 0.2, True), (200, 0.01, False), (10, 0.2, False)]
)
def test_memory_may_grow_a_little(results: Results, number: int, share: float, grows: bool) -> None:
    """And of few products nothing is told: the first ones take what is kept for good."""
    one = replace(results.serial[-1], files=5)
    for name in ("memory", "heap", "blocks"):
        start = getattr(one, name)
        values = [round(start * (1 + share * step / number)) for step in range(number)]
        series = [replace(one, **{name: value}) for value in values]
        found = find_growth(replace(results, serial=series))
        assert [line.partition(":")[0] for line in found] == ([name] if grows else [])


@pytest.mark.slow
def test_plot_is_a_function_of_the_results(results: Results, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.soak.picture import draw

    drawn = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for path in drawn:
        draw(results, path)
    assert drawn[0].read_bytes() == drawn[1].read_bytes()
    assert ET.parse(drawn[0]).getroot().tag.endswith("svg")


def test_section_is_put_between_its_marks() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert put(page, "new\n") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    for wrong in ("no marks", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{BEGIN}\n{END}\n"):
        with pytest.raises(ValueError, match="expected <!-- soak -->"):
            put(wrong, "new\n")


def test_page_tells_what_was_measured() -> None:
    measured = Results.read(ROOT / "benchmarks/soak.json")
    page = (ROOT / "docs/reliability.md").read_text()
    assert put(page, make_section(measured)) == page
    assert measured.failures == []
    assert find_growth(measured) == []
