"""The bytes that arrive: how many, and how long nothing new has."""

import threading
import time
from collections.abc import Callable

PAUSE = 1.0  # seconds between two chunks after which the connection counts as silent

# Called with the number of bytes received and the number expected.
OnNews = Callable[[int, int], None]


class Arrivals:
    """Counts the bytes that arrive and measures the silence since the last new one.

    Bytes downloaded again do not count. So a transfer that is cut at the same position again and
    again makes no progress, and ends after `patience` seconds.

    Attributes:
        expected: bytes that will have arrived in the end.
        received: bytes that have arrived.
    """

    def __init__(self, on_news: OnNews = lambda received, expected: None) -> None:
        """Start with nothing received.

        Args:
            on_news: called when new bytes have arrived or the expected number has changed.
        """
        self._on_news = on_news
        self._furthest: dict[str, int] = {}
        self._latest: dict[str, int] = {}
        self._lock = threading.Lock()
        self._silence = 0.0
        self._last_arrival = time.monotonic()
        self.expected = 0
        self.received = 0

    @property
    def silence(self) -> float:
        """Seconds without new data. The time in which known bytes arrive again does not count."""
        return self._silence + time.monotonic() - self._last_arrival

    def restart_silence(self) -> None:
        """Measure the silence from now on, after work that did not wait for a server."""
        with self._lock:
            self._silence = 0.0
            self._last_arrival = time.monotonic()

    def expect(self, size: int, url: str = "", start: int = 0) -> None:
        """Set how many bytes are expected from now on.

        Args:
            size: bytes.
            url: where they come from, if they are one body: what an earlier attempt has received
                of it is then not expected again.
            start: how many bytes of that body an earlier run has left.
        """
        with self._lock:
            if start:
                self._furthest.setdefault(url, start)
            self.expected = self.received + size - self._furthest.get(url, 0)
            self._on_news(self.received, self.expected)

    def record(self, url: str, position: int) -> None:
        """Record that the body of `url` has arrived up to `position` bytes."""
        with self._lock:
            now = time.monotonic()
            gap = now - self._last_arrival
            self._last_arrival = now
            new = position - self._furthest.get(url, 0)
            if new <= 0:
                starts_again = position <= self._latest.get(url, 0)
                self._silence += gap if starts_again or gap > PAUSE else 0.0
                self._latest[url] = position
                return
            self._silence = 0.0
            self._furthest[url] = self._latest[url] = position
            self.received += new
            self._on_news(self.received, self.expected)


def megabytes(size: float) -> str:
    """Write a number of bytes in megabytes (10^6 bytes)."""
    return f"{size / 1e6:.1f} MB" if size < 1e8 else f"{size / 1e6:.0f} MB"
