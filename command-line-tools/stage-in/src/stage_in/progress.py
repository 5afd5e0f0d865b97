"""The progress that a user sees: a line on a terminal, which is drawn again and again, or a log."""

import os
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import loguru

from stage_in.logger import logger
from stage_in.transfer.arrivals import megabytes

DRAW_INTERVAL = 0.1  # seconds between two updates of the line on a terminal
LOG_INTERVAL = 10.0  # seconds between two lines of a log
MIN_BAR, MAX_BAR = 8, 40  # columns of the bar
_ERASE = "\r\x1b[K"


class Progress:
    """Shows how many bytes have arrived. It is called by `Arrivals`, one thread at a time."""

    def __init__(self, *, bar: bool) -> None:
        """Prepare; nothing is shown before bytes are expected.

        Args:
            bar: whether to draw a bar on standard error, a terminal, instead of logging lines.
        """
        self._show_bar = bar
        self._last_drawn = 0.0
        self._started = self._last_logged = time.monotonic()
        self._start: int | None = None  # bytes that had arrived when the first were expected

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._last_drawn:
            _write(_ERASE)

    def __call__(self, received: int, expected: int) -> None:
        """Show that `received` of `expected` bytes have arrived."""
        if not expected:
            return
        expected = max(expected, received)  # some small files are not expected
        now = time.monotonic()
        if self._start is None:
            self._start, self._started = received, now
        if self._show_bar:
            if now - self._last_drawn >= DRAW_INTERVAL:
                self._last_drawn = now
                _write(f"{_ERASE}{self.line(received, expected, _count_columns() - 1)}")
        elif now - self._last_logged >= LOG_INTERVAL:
            self._last_logged = now
            rate, left = self._measure(received, expected)
            logger.info(
                "{}",
                self.summary(received, expected),
                event="progress",
                bytes=received,
                expected=expected,
                rate=round(rate),
                seconds_left=round(left),
            )

    def summary(self, received: int, expected: int) -> str:
        """Return one line: what has arrived, at which rate, and how long the rest may take."""
        rate, left = self._measure(received, expected)
        return (
            f"{megabytes(received)} of {megabytes(expected)} "
            f"({received / max(expected, 1):.0%}), {megabytes(rate)}/s, {left:.0f} s left"
        )

    def line(self, received: int, expected: int, columns: int) -> str:
        """Return the most that fits a terminal: a bar, bytes, the rate and the time left."""
        share = min(received / max(expected, 1), 1.0)
        return next(
            line
            for line in self._list_lines(received, expected, share, columns)
            if len(line) <= columns
        )

    def _list_lines(
        self, received: int, expected: int, share: float, columns: int
    ) -> Iterator[str]:
        rate, left = self._measure(received, expected)
        whole = self.summary(received, expected)
        width = min(columns - len(whole) - 3, MAX_BAR)
        if width >= MIN_BAR:
            yield f"[{'#' * round(share * width):-<{width}}] {whole}"
        yield whole
        speed, rest = f"{megabytes(rate)}/s", f"{left:.0f} s left"
        yield f"{megabytes(received)} of {megabytes(expected)}, {speed}, {rest}"
        yield f"{share:.0%}, {speed}, {rest}"
        yield f"{share:.0%}, {rest}"
        yield f"{share:.0%}"
        yield ""

    def _measure(self, received: int, expected: int) -> tuple[float, float]:
        """Return bytes/s, and the seconds that the rest takes at that rate."""
        elapsed = max(time.monotonic() - self._started, 1e-3)
        rate = (received - (self._start or 0)) / elapsed
        return rate, max(expected - received, 0) / max(rate, 1.0)


def _write(text: str) -> None:
    """Write to the terminal by way of the log, so that no line is drawn into one of the log."""
    loguru.logger.opt(raw=True).info(text)


def _count_columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
