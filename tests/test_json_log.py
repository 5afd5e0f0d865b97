"""The log of the command in JSON."""

import ast
import json
import logging
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from loguru import logger as global_logger

import stage_in
from sandbox.server import Sandbox
from stage_in import log
from stage_in.json_log import JsonLog
from stage_in.logger import logger
from stage_in.secrets import register
from tests.conftest import ROOT, StageIn, slow_after

JSON = ("--log-format", "json")
CALL = re.compile(r"logger\.(debug|info|warning|error|success|bind|contextualize)")


def read(text: str) -> list[dict[str, Any]]:
    """Return the lines of a log, each of which must be an object with the fields of all."""
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        assert line["level"] in {"debug", "info", "warning", "error"}
        assert datetime.fromisoformat(line["time"]).utcoffset() is not None
        assert isinstance(line["message"], str)
    assert [line for line in lines if "exit_code" in line] == lines[-1:]
    return lines


@pytest.fixture
def in_json(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Log in JSON in this process; undone afterwards."""
    monkeypatch.setattr(log._Format, "json", JsonLog())
    monkeypatch.setattr(logging.root, "handlers", [])
    log.set_up_log("INFO")
    yield
    logging.captureWarnings(False)
    global_logger.remove()
    global_logger.add(sys.stderr)


def test_a_run(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    platform.faults.add("on=stac status=503 times=1")
    # So few files are left then that the zip is not faster on any machine.
    platform.faults.add("on=download path=*INSPIRE* status=429 times=2")
    platform.faults.add("on=download path=*B06* corrupt=middle times=1")
    run = stage_in(platform.item_url(new.name), "--verbose", *JSON)
    assert run.code == 0, run.log
    lines = read(run.log)
    assert not [line for line in lines if "secret" in line["message"]]

    item, band = [line for line in lines if line.get("event") == "retry"]
    assert (item["level"], item["attempt"]) == ("warning", 1)
    assert "503" in item["error"]
    assert band["product"] == new.stem
    assert band["file"].endswith("_B06.jp2")

    verified = [line for line in lines if line.get("event") == "file"]
    sizes = {line["file"]: line["bytes"] for line in verified}
    assert sizes[band["file"]] == (new / band["file"]).stat().st_size

    (product,) = lines[-1].pop("products")
    files = [path for path in new.rglob("*") if path.is_file()]
    assert product["product"] == new.stem
    assert (product["source"], product["kept"]) == ("nodes", 0)
    assert product["files"] == product["by_digest"] + product["by_size"] == len(files) - 1
    assert product["by_digest"] > product["by_size"]
    last = lines[-1]
    assert 0 < last.pop("seconds") < 100
    assert {key: last[key] for key in last if key not in {"time", "message"}} == {
        **{"level": "info", "exit_code": 0, "retries": 2, "too_many_requests": 2},
    }


def test_several_products(stage_in: StageIn, platform: Sandbox, old: Path, new: Path) -> None:
    items = (platform.item_url(new.name), "--input-item", platform.item_url(old.name))
    for source in ("zip", None):  # a second run stages nothing
        run = stage_in(*items, "--transport", "zip", *JSON)
        assert run.code == 0, run.log
        *_, catalog, last = read(run.log)
        assert (catalog["event"], catalog["catalog"]) == ("catalog", "catalog/catalog.json")
        products = {product["product"]: product["source"] for product in last["products"]}
        assert products == {new.stem: source, old.stem: source}


def test_a_failure(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    platform.faults.add("on=download path=*B05* corrupt=middle")
    run = stage_in(platform.item_url(new.name), *JSON)
    last = read(run.log)[-1]
    assert (run.code, last["exit_code"], last["level"]) == (65, 65, "error")
    assert "B05" in last["message"]
    assert "Run the command again to resume" in last["message"]
    assert last["products"] == []
    assert last["retries"] >= 2


@pytest.mark.parametrize(
    "options",
    slow_after(3, [["--bogus"], [], ["--connections", "x"], ["a"], ["--assets", "B99"]]),
    ids=str,
)
@pytest.mark.parametrize("place", ["before", "after"])
def test_misuse(options: list[str], place: str) -> None:
    arguments = [*JSON, *options] if place == "before" else [*options, *JSON]
    run = subprocess.run(
        [sys.executable, "-m", "app.app", *arguments], capture_output=True, text=True
    )
    (line,) = read(run.stderr)
    assert (run.returncode, line["exit_code"]) == (2, 2)
    assert run.stdout == ""


def test_signal(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    platform.faults.add("on=download path=*B05* stall=60")
    with stage_in.start(platform.item_url(new.name), "--verbose", *JSON) as process:
        platform.log.wait(lambda exchange: "B05" in exchange.path, timeout=60)
        process.send_signal(signal.SIGTERM)
        _, text = process.communicate(timeout=60)
    last = read(text)[-1]
    assert (process.returncode, last["exit_code"], last["signal"]) == (143, 143, "SIGTERM")


def test_bug(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from stage_in import cli\n"
        "class Broken:\n"
        "    def __del__(self):\n"
        "        raise ValueError('unraisable')\n"
        "def fail(*arguments, **options):\n"
        "    Broken()\n"
        "    raise ZeroDivisionError('a bug near hunter2-hunter2')\n"
        "cli._stage = fail\n"
        "sys.argv = ['stage-in', '--input-item', 'x', '--log-format', 'json']\n"
        "cli.run()\n"
    )
    environment = {"CDSE_PASSWORD": "hunter2-hunter2"}
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    unraisable, line = read(run.stderr)
    assert unraisable["traceback"][-1] == "ValueError: unraisable"
    assert (run.returncode, line["exit_code"], line["level"]) == (1, 1, "error")
    assert line["traceback"][0].startswith("Traceback")
    assert line["traceback"][-1] == "ZeroDivisionError: a bug near [secret]"


@pytest.mark.usefixtures("in_json")
def test_fields_hold_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    register("hunter2-hunter2")
    fields = {
        "text": "xhunter2-hunter2x",
        "path": Path("/hunter2-hunter2"),
        "error": ValueError("hunter2-hunter2\x1b[2J"),
        "nested": [{"list": ("hunter2-hunter2", 1)}],
        "other": {"hunter2-hunter2"},
        "bytes": "\udcff é",
    }
    with logger.contextualize(context="hunter2-hunter2"):
        logger.bind(bound="hunter2-hunter2").info("A {text}", **fields)
    shown = capsys.readouterr().err
    assert "hunter2" not in shown
    line = json.loads(shown)
    assert line["error"] == "[secret] [2J"
    assert line["nested"] == [{"list": ["[secret]", 1]}]
    assert line["context"] == line["bound"] == "[secret]"


@pytest.mark.usefixtures("in_json")
def test_what_libraries_log(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("rasterio._env").warning("found %s", "a\nb é")
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["library"]) == ("warning", "rasterio._env")
    assert line["message"].startswith("found a b")


@pytest.mark.usefixtures("in_json")
def test_nothing_follows_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Other threads may still be at work while the process ends."""
    logger.error("The end", exit_code=75)
    logger.warning("Attempt 3 failed")
    (line,) = read(capsys.readouterr().err)
    assert line["message"] == "The end"


def test_all_events_and_fields_are_documented() -> None:
    """The page has just those that the code has."""
    page = (ROOT / "docs/log.md").read_text()
    documented = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    summary = {*JsonLog()._summarize()}
    used: set[str | None] = {"time", "level", "message", "exit_code", *summary}
    for path in Path(str(stage_in.__file__)).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and CALL.fullmatch(ast.unparse(call.func)):
                for word in call.keywords:
                    used.add(ast.literal_eval(word.value) if word.arg == "event" else word.arg)
    assert documented == used - {None}
