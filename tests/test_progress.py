"""What a user sees of the bytes that arrive."""

import errno
import io
from collections.abc import Iterator
from contextlib import redirect_stderr

import pytest
from loguru import logger

from stage_in import progress
from stage_in.progress import Progress


class Terminal(io.StringIO):
    """A terminal, which goes away when it is told to."""

    gone = False

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.gone:
            raise OSError(errno.EIO, "the terminal has gone away")
        return super().write(text)


@pytest.fixture(autouse=True)
def draw_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DRAW_INTERVAL", 0)


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """The lines that are logged."""
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}")
    yield lines
    logger.remove(sink)


def test_summary() -> None:
    summary = Progress(bar=False).summary(50_000_000, 200_000_000)
    assert summary.startswith("50.0 MB of 200 MB (25%), ")
    assert summary.endswith(" s left")
    assert Progress(bar=False).summary(0, 0).startswith("0.0 MB of 0.0 MB (0%), ")


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


def test_bar(lines: list[str]) -> None:
    terminal = Terminal()
    with redirect_stderr(terminal), Progress(bar=True) as shown:
        shown(0, 100)
        assert " 0%" in terminal.getvalue()
        shown(50, 100)
        assert "50%" in terminal.getvalue()
        shown(50, 200)  # more is expected now
        assert "25%" in terminal.getvalue()
        shown(200, 200)
    assert "100%" in terminal.getvalue()
    assert lines == []


def test_the_terminal_goes_away() -> None:
    terminal = Terminal()
    with redirect_stderr(terminal), Progress(bar=True) as shown:
        shown(0, 100)
        terminal.gone = True
        shown(50, 100)
        shown(50, 200)
    assert "0%" in terminal.getvalue()
    assert "50%" not in terminal.getvalue()


def test_nothing_is_shown_before_bytes_are_expected() -> None:
    terminal = Terminal()
    with redirect_stderr(terminal), Progress(bar=True):
        pass
    assert terminal.getvalue() == ""
