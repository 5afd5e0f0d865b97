"""What a user sees of the bytes that arrive."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from sandbox.server import Sandbox
from stage_in import progress
from stage_in.progress import Progress
from tests.conftest import StageIn, slow_after
from tests.terminals import run_on_terminal, show

DRAWS = """
from stage_in import progress
from stage_in.log import set_up_log
progress.DRAW_INTERVAL = 0
log = set_up_log("INFO")
with progress.Progress(bar=True) as shown:
    for step in range(101):
        shown(step * 10**7, 10**9)
        if step == 50:
            log.info("Half")
    log.info("Verified")
print("after")
"""


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """The lines that are logged."""
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message} {extra[bytes]} {extra[expected]}")
    yield lines
    logger.remove(sink)


def test_summary() -> None:
    summary = Progress(bar=False).summary(50_000_000, 200_000_000)
    assert summary.startswith("50.0 MB of 200 MB (25%), ")
    assert summary.endswith(" s left")
    assert Progress(bar=False).summary(0, 0).startswith("0.0 MB of 0.0 MB (0%), ")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (90, r"\[#+-+\] 50\.0 MB of 200 MB \(25%\), [\d.]+ MB/s, \d+ s left"),
        (50, r"50\.0 MB of 200 MB \(25%\), [\d.]+ MB/s, \d+ s left"),
        (44, r"50\.0 MB of 200 MB, [\d.]+ MB/s, \d+ s left"),
        (32, r"25%, [\d.]+ MB/s, \d+ s left"),
        (16, r"25%, \d+ s left"),
        (4, "25%"),
        (2, ""),
    ],
)
def test_line(columns: int, expected: str) -> None:
    shown = Progress(bar=True)
    shown._started -= 0.5
    assert re.fullmatch(expected, shown.line(50_000_000, 200_000_000, columns))


def test_lines_of_a_log(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    with Progress(bar=False) as shown:
        shown(1, 100)  # the interval has not passed yet
        assert lines == []
        monkeypatch.setattr(progress, "LOG_INTERVAL", 0)
        shown(50, 0)  # nobody knows how much is expected
        assert lines == []
        shown(50, 100)
        assert len(lines) == 1
        assert "(50%)" in lines[0]
        assert lines[0].endswith(" 50 100\n")


@pytest.mark.parametrize("columns", [20, 40, 65, 200])
def test_bar(columns: int) -> None:
    """It fills the line at most, shows what there is room for, and disappears."""
    code, written = run_on_terminal([sys.executable, "-c", DRAWS], columns)
    assert code == 0
    drawn = re.findall(r"\r\x1b\[K([^\r\n\x1b]*(?:%|left)[^\r\n\x1b]*)", written)
    assert len(drawn) == 101
    assert max(map(len, drawn)) < columns
    assert all(("MB/s" in line) == (columns >= 40) for line in drawn[1:])
    assert all("MB of 1000 MB" in line for line in drawn) or columns < 65
    assert all(line.startswith("[") == (columns >= 65) for line in drawn)
    assert " left" in drawn[50]
    screen = show(written, columns)
    assert [line[9:] for line in screen[:2]] == ["Half", "Verified"]
    assert screen[2:] == ["after", ""]


@pytest.mark.parametrize("columns", slow_after(1, [30, 200]))
def test_bar_of_a_run(stage_in: StageIn, platform: Sandbox, new: Path, columns: int) -> None:
    platform.faults.add("on=download slow=100000")
    command = [sys.executable, "-m", "app.app", "--input-item", platform.item_url(new.name)]
    code, written = run_on_terminal(
        [*command], columns, cwd=stage_in.folder, env=stage_in.environment()
    )
    assert code == 0, written
    assert len(re.findall(r"\r\x1b\[K[^\r\n\x1b]*\d%", written)) > 3
    screen = "".join(show(written, columns))
    assert "%" not in screen
    assert screen.endswith("catalog/catalog.json")


def test_the_bar_ends_with_a_signal(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    """No thread draws it again after the last line."""
    platform.faults.add("on=download slow=20000")
    code, written = run_on_terminal(
        [sys.executable, "-m", "app.app", "--input-item", platform.item_url(new.name)],
        answers={},
        interrupt_after=r"\d%",
        cwd=stage_in.folder,
        env=stage_in.environment(),
    )
    assert code == 130
    *_, last, end = show(written, 80)
    assert "Stopped by SIGINT" in last
    assert end == ""
