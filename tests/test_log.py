"""The log on standard error."""

import io
import logging
import re
import sys
from collections.abc import Callable, Iterator

import pytest
from loguru import logger

from stage_in.log import set_up_log
from stage_in.secrets import register


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


ReadLog = Callable[[], str]


@pytest.fixture
def read_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[ReadLog]:
    """Return what was written to standard error, which is no terminal. Reset the log afterwards."""
    yield lambda: capsys.readouterr().err
    logger.remove()
    monkeypatch.undo()
    logger.add(sys.stderr)


def test_lines_have_date_and_level(read_log: ReadLog) -> None:
    set_up_log("INFO").warning("Attempt {} failed", 1)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4} WARNING  Attempt 1 failed\n",
        read_log(),
    )


def test_lines_on_a_terminal_are_short(read_log: ReadLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """They replace a progress bar on the same line."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    set_up_log("INFO").info("Staging")
    line = terminal.getvalue()
    assert line.startswith("\r\x1b[K")
    assert re.search(r"\d\d:\d\d:\d\d.* .*Staging", line)
    assert "INFO" not in line


@pytest.mark.parametrize(
    ("level", "expected"),
    [("DEBUG", "debug info warning"), ("INFO", "info warning"), ("WARNING", "warning")],
)
def test_levels(read_log: ReadLog, level: str, expected: str) -> None:
    log = set_up_log(level)
    log.debug("debug")
    log.info("info")
    log.warning("warning")
    assert [line.split()[-1] for line in read_log().splitlines()] == expected.split()


def test_secrets_are_struck(read_log: ReadLog) -> None:
    register("hunter2-hunter2")
    set_up_log("INFO").info("the server quotes xhunter2-hunter2x")
    assert read_log().endswith("the server quotes x[secret]x\n")


def test_what_libraries_log_is_cleaned(read_log: ReadLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """GDAL's messages quote files, and Python would write them to standard error as they are."""
    monkeypatch.setattr(logging.root, "handlers", [])
    register("hunter2-hunter2")
    try:
        set_up_log("INFO")
        logging.getLogger("rasterio._env").warning("found %s", "hunter2-hunter2\x1b[2J")
        logging.getLogger("urllib3").debug("a header")
    finally:
        logging.captureWarnings(False)
    (line,) = read_log().splitlines()
    assert line.endswith("WARNING  found [secret] [2J")


def test_control_characters_become_spaces(read_log: ReadLog) -> None:
    set_up_log("INFO").info("{}", "a\nb\x1b[2Jc\u202ed\0e")
    (line,) = read_log().split("\n")[:-1]
    assert line.endswith(" INFO     a b [2Jc d e")


def test_a_message_has_limited_length(read_log: ReadLog) -> None:
    set_up_log("INFO").info("{}", "x" * 1_000_000)
    assert 9_000 < read_log().count("x") <= 10_000
