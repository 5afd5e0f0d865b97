"""What has arrived, how fast, and since when nothing has."""

import sys
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from loguru import logger

SILENCE = 1.0  # seconds between two chunks from which on nothing is coming
DRAW_EVERY = 0.1  # seconds between two looks of the bar
REPORT_EVERY = 10.0  # seconds between two lines of a log that is not a terminal


class Progress:
    """Counts the bytes that arrive and shows them: as a bar on a terminal, as lines elsewhere.

    A byte counts once: what a second try brings again is no progress. So a transfer that is cut
    at the same place for ever gets nowhere, and patience with it ends.

    Attributes:
        expected: bytes that will have arrived in the end.
        received: bytes that have.
    """

    def __init__(self, *, bar: bool = False) -> None:
        self._furthest: dict[str, int] = {}
        self._latest: dict[str, int] = {}
        self._lock = threading.Lock()
        self._show_bar = bar
        self._bar: Any = None
        self._drawn = 0
        self._last_drawn = 0.0
        self._silence = 0.0
        self.expected = 0
        self.received = 0
        self._started = self._last_arrival = self._last_report = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._draw()
            with suppress(OSError):
                self._bar.render_finish()

    @property
    def idle(self) -> float:
        """Seconds of silence since a byte arrived that had not arrived before.

        While what has arrived before is coming again, time stands still.
        """
        return self._silence + time.monotonic() - self._last_arrival

    def begin(self) -> None:
        """Begin to wait for news: what this machine did before was no silence of the others."""
        with self._lock:
            self._silence = 0.0
            self._last_arrival = time.monotonic()

    def expect(self, size: int, url: str = "", start: int = 0) -> None:
        """Tell how many bytes are to arrive from now on, and show what arrives.

        Args:
            size: in bytes.
            url: where from, if it is one body: then what a former try has brought is left out.
            start: how many of that body's bytes an earlier run has left.
        """
        with self._lock:
            if start:
                self._furthest.setdefault(url, start)
            self.expected = self.received + size - self._furthest.get(url, 0)
        if self._show_bar and self._bar is None:
            import click

            self._bar = click.progressbar(
                length=self.expected, label="Receiving", file=sys.stderr, show_pos=False
            )
        if self._bar is not None:
            self._bar.length = self.expected
            with suppress(OSError):  # the terminal may have gone away
                self._bar.render_progress()

    def arrived(self, url: str, position: int) -> None:
        """Take note that the body of `url` has arrived up to `position` bytes."""
        with self._lock:
            now = time.monotonic()
            gap = now - self._last_arrival
            self._last_arrival = now
            news = position - self._furthest.get(url, 0)
            if news <= 0:
                begins_again = position <= self._latest.get(url, 0)
                self._silence += gap if begins_again or gap > SILENCE else 0.0
                self._latest[url] = position
                return
            self._silence = 0.0
            self._furthest[url] = self._latest[url] = position
            self.received += news
            if self._bar is not None:
                if now - self._last_drawn >= DRAW_EVERY:
                    self._draw()
            elif self.expected and self._last_arrival - self._last_report >= REPORT_EVERY:
                self._last_report = self._last_arrival
                logger.info(self.summary())

    def _draw(self) -> None:
        self._last_drawn = time.monotonic()
        with suppress(OSError):  # the terminal may have gone away
            self._bar.update(self.received - self._drawn)
        self._drawn = self.received

    def summary(self) -> str:
        """Say in one line what has arrived, at which rate, and how long the rest may take."""
        rate = self.received / max(time.monotonic() - self._started, 1e-3)
        left = max(self.expected - self.received, 0) / max(rate, 1.0)
        return (
            f"{megabytes(self.received)} of {megabytes(self.expected)} "
            f"({self.received / max(self.expected, 1):.0%}), {megabytes(rate)}/s, {left:.0f} s left"
        )


def megabytes(size: float) -> str:
    """Write a number of bytes in megabytes (10^6 bytes)."""
    return f"{size / 1e6:.1f} MB" if size < 1e8 else f"{size / 1e6:.0f} MB"
