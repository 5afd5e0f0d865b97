"""The progress that a user sees: a bar on a terminal, lines in a log elsewhere."""

import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from stage_in.logger import logger
from stage_in.transfer.arrivals import megabytes

DRAW_INTERVAL = 0.1  # seconds between two updates of the bar
LOG_INTERVAL = 10.0  # seconds between two lines of a log


class Progress:
    """Shows how many bytes have arrived. It is called by `Arrivals`, one thread at a time."""

    def __init__(self, *, bar: bool) -> None:
        """Start the clock; nothing is shown before bytes are expected.

        Args:
            bar: whether to draw a bar on standard error instead of logging lines.
        """
        self._show_bar = bar
        self._bar: Any = None
        self._received = 0
        self._drawn = 0
        self._last_drawn = 0.0
        self._started = self._last_logged = time.monotonic()

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

    def __call__(self, received: int, expected: int) -> None:
        """Show that `received` of `expected` bytes have arrived."""
        self._received = received
        now = time.monotonic()
        if self._show_bar:
            if self._bar is None or self._bar.length != expected:
                self._resize_bar(expected)
            elif now - self._last_drawn >= DRAW_INTERVAL:
                self._draw()
        elif expected and now - self._last_logged >= LOG_INTERVAL:
            self._last_logged = now
            logger.info(self.summary(received, expected))

    def summary(self, received: int, expected: int) -> str:
        """Return one line: what has arrived, at which rate, and how long the rest may take."""
        rate = received / max(time.monotonic() - self._started, 1e-3)
        left = max(expected - received, 0) / max(rate, 1.0)
        return (
            f"{megabytes(received)} of {megabytes(expected)} "
            f"({received / max(expected, 1):.0%}), {megabytes(rate)}/s, {left:.0f} s left"
        )

    def _resize_bar(self, expected: int) -> None:
        if self._bar is None:
            import click

            self._bar = click.progressbar(
                length=expected, label="Receiving", file=sys.stderr, show_pos=False
            )
        self._bar.length = expected
        with suppress(OSError):  # the terminal may have gone away
            self._bar.render_progress()

    def _draw(self) -> None:
        self._last_drawn = time.monotonic()
        with suppress(OSError):
            self._bar.update(self._received - self._drawn)
        self._drawn = self._received
