"""The bytes that arrive: how many of each product, and how long nothing new has."""

import threading
import time
from collections.abc import Callable

PAUSE = 1.0  # seconds between two chunks after which the connection counts as silent

# Called with the number of bytes received and the number expected.
OnNews = Callable[[int, int], object]


class Silence:
    """Measures how long a run has received no new data."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.restart()

    @property
    def seconds(self) -> float:
        """Seconds without new data. The time in which known bytes arrive again does not count."""
        return self._past + time.monotonic() - self._last_arrival

    def restart(self) -> None:
        """Measure from now on: new data have arrived, or the run did not wait for any."""
        with self._lock:
            self._past = 0.0
            self._last_arrival = time.monotonic()

    def go_on(self, *, starts_again: bool) -> None:
        """Note that known bytes have arrived again.

        Args:
            starts_again: whether they are the first of a body.
        """
        with self._lock:
            now = time.monotonic()
            gap = now - self._last_arrival
            self._past += gap if starts_again or gap > PAUSE else 0.0
            self._last_arrival = now


class Arrivals:
    """Counts the bytes of one product that arrive.

    Bytes downloaded again do not count. So a transfer that is cut at the same position again and
    again makes no progress, and ends after `patience` seconds.

    Attributes:
        turn: of the products that wait for a connection, the one with the lowest gets it.
        expected: bytes that are expected in total.
        received: bytes that have arrived.
    """

    def __init__(
        self,
        on_news: OnNews = lambda received, expected: None,
        silence: Silence | None = None,
        turn: int = 0,
    ) -> None:
        """Start with nothing received.

        Args:
            on_news: called when new bytes have arrived or the expected number has changed.
            silence: measures the silence of the whole run.
            turn: the number of the product in the run.
        """
        self._on_news = on_news
        self._furthest: dict[str, int] = {}
        self._latest: dict[str, int] = {}
        self._lock = threading.Lock()
        self._silence = silence or Silence()
        self.turn = turn
        self.expected = 0
        self.received = 0

    @property
    def silence(self) -> float:
        """Seconds without new data, of any product of the run."""
        return self._silence.seconds

    def restart_silence(self) -> None:
        """Measure the silence from now on, after work that did not wait for a server."""
        self._silence.restart()

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
            new = position - self._furthest.get(url, 0)
            if new <= 0:
                self._silence.go_on(starts_again=position <= self._latest.get(url, 0))
                self._latest[url] = position
                return
            self._silence.restart()
            self._furthest[url] = self._latest[url] = position
            self.received += new
            self._on_news(self.received, self.expected)


class Totals:
    """Adds up what arrives for the products of a run."""

    def __init__(self, on_news: OnNews = lambda received, expected: None) -> None:
        """Start with no product.

        Args:
            on_news: called with the sums whenever they change.
        """
        self._on_news = on_news
        self._numbers: list[tuple[int, int]] = []
        self._lock = threading.Lock()
        self._silence = Silence()

    def make_uncounted(self) -> Arrivals:
        """Return what notices the bytes of documents, which are not expected beforehand."""
        return Arrivals(silence=self._silence)

    def add(self, expected: int = 0) -> Arrivals:
        """Return what counts the bytes of one more product.

        Args:
            expected: bytes that the product probably has.
        """
        turn = len(self._numbers)
        self._numbers.append((0, expected))

        def update(received: int, expected: int) -> None:
            with self._lock:
                self._numbers[turn] = (received, expected)
                all_received, all_expected = zip(*self._numbers, strict=True)
                self._on_news(sum(all_received), sum(all_expected))

        arrivals = Arrivals(update, self._silence, turn)
        arrivals.expected = expected
        return arrivals


def megabytes(size: float) -> str:
    """Write a number of bytes in megabytes (10^6 bytes)."""
    return f"{size / 1e6:.1f} MB" if size < 1e8 else f"{size / 1e6:.0f} MB"
