"""Download slots: how many downloads may be open now, as the platform's answers have shown."""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from stage_in.errors import BusyError
from stage_in.logger import logger

MAX_WAIT = 60.0  # seconds between two requests for a slot, whatever the server asks for
MIN_BACKOFF = 0.1  # seconds after a refusal; twice as long after each further one in a row,
MAX_BACKOFF = 5.0  # up to this
LAGS = (0.0, *(0.1 * 1.2**step for step in range(23)))  # seconds, up to 5.5
# Seconds in which an answer loses half of its weight, because other jobs come and go.
HALF_LIFE = 2.0
TOLERANCE = 0.5  # wrong predictions by which a hypothesis may exceed the best and is tried anyway
SMALL_FILE = 0.5  # seconds that a small file takes, to sort the hypotheses by their throughput
MIN_ANSWERS = 3  # after which the latency is known
STARVED_AFTER = 16  # refusals in a row, which take about 50 seconds
RECOVERY = 10.0  # seconds after which one more download is tried than the service allows
CHECK_INTERVAL = 0.05  # seconds; old answers fade, so a slot may become free while nothing happens

# Number of slots for this process; seconds for which the platform still counts a closed download.
Hypothesis = tuple[int, float]


class Pacing:
    """Hands out download slots: a request is sent only if the platform probably has a free slot.

    The platform grants a user a few downloads over all jobs, and still counts a download for a
    while after it has ended (CS-SI/eodag issue 2019). Neither that lag nor the downloads of other
    jobs can be queried. So there are hypotheses: pairs of a number of slots and a lag. Each
    predicts the answer to each request, and a wrong prediction counts against it. Old predictions
    fade. Of the hypotheses that are hardly worse than the best one, the one with the highest
    throughput is used, so that a better situation is discovered by itself.

    A simulation of some hundred platforms chose this model and its constants.

    Attributes:
        max_wait: maximum number of seconds between two requests for a slot.
        latency: seconds between a request that was granted and its answer, at least.
        was_refused: whether any request was refused.
    """

    def __init__(
        self, connections: int, max_wait: float = MAX_WAIT, *, in_order: bool = False
    ) -> None:
        """Start with all slots and no lag.

        Args:
            connections: maximum number of parallel downloads.
            max_wait: maximum number of seconds between two requests for a slot.
            in_order: whether the first to wait gets the next slot, so that no large file waits
                behind small ones. Otherwise the thread that has just finished a
                download may get it, which shows sooner how long the platform counts closed
                downloads.
        """
        hypotheses = [(slots, lag) for slots in range(1, connections + 1) for lag in LAGS]
        hypotheses.sort(key=lambda hypothesis: (hypothesis[1] + SMALL_FILE) / hypothesis[0])
        self._errors = dict.fromkeys(hypotheses, 0.0)  # the highest throughput first
        self._last_answer = time.monotonic()
        self._connections = self._limit = connections
        self._limited = 0.0  # when a service requested fewer downloads
        self.max_wait = max_wait
        self._open = self._unanswered = self._refusals = 0
        self._waiting: list[tuple[int, int]] = []  # turn and order of those who wait
        self._order = count()
        self._in_order = in_order
        self._closed: deque[float] = deque(maxlen=32)
        self._not_before = 0.0
        self.latency = 0.0
        self.was_refused = False
        self._granted = 0
        self._generation = 0
        self._condition = threading.Condition()

    @property
    def is_starved(self) -> bool:
        """Whether many requests in a row were refused while no download was open."""
        return self._refusals >= STARVED_AFTER and self._open <= self._unanswered

    def estimate(self, count: int, seconds: float) -> float | None:
        """Return the seconds in which files will arrive.

        Args:
            count: number of files.
            seconds: how long their bytes need on one connection.

        Returns:
            The estimate; None while little is known, or while requests are refused and no download
            is open: then a zip would have to wait for a slot as well.
        """
        with self._condition:
            if self._refusals and self._open <= self._unanswered:
                return None
            if self._granted < MIN_ANSWERS and not self.was_refused:
                return None
            slots, lag = self._choose()
            return (seconds + count * (lag + self.latency)) / slots

    @contextmanager
    def slot(self, turn: int = 0) -> Iterator[Callable[[], None]]:
        """Hold a slot for one download, after waiting for it.

        It yields a function to call when the platform has granted the download. A BusyError that
        passes through counts as a refusal.

        Args:
            turn: of the downloads that wait, one with the lowest gets the next slot.
        """
        requested, predictions = self._enter(turn)
        answers: list[bool] = []

        def record(granted: bool) -> None:
            answers.append(granted)
            self._learn(requested, predictions, granted)

        try:
            yield lambda: record(True)
        except BusyError as error:
            record(False)
            self._back_off(error.retry_after or 0.0)
            logger.debug("No free download slot: {error}", event="refused", error=error)
            raise
        finally:
            self._leave(answers)

    def slow_down(self) -> None:
        """Halve the number of downloads, as the service is overloaded.

        Downloads that are open at the same time are often all told so, which counts once.
        """
        with self._condition:
            now = time.monotonic()
            if now - self._limited >= 1.0:
                self._limit = max(self._limit // 2, 1)
                self._limited = now
                logger.debug(
                    "Parallel downloads: at most {}, because the service is overloaded", self._limit
                )

    def start_over(self) -> None:
        """Let everyone who waits for a slot fail: another source starts."""
        with self._condition:
            self._generation += 1
            self._condition.notify_all()

    def _enter(self, turn: int) -> tuple[float, dict[Hypothesis, bool]]:
        """Wait for a slot and take it; return the time and the predictions of the answer."""
        with self._condition:
            generation = self._generation
            place = turn, next(self._order) if self._in_order else 0
            self._waiting.append(place)
            try:
                while place > min(self._waiting) or not self._may_request():
                    self._condition.wait(CHECK_INTERVAL)
                    if generation != self._generation:
                        raise BusyError("another source has started")
            finally:
                self._waiting.remove(place)
                self._condition.notify_all()  # there may be a slot for the next one, too
            now = time.monotonic()
            counted = {lag: self._count_closed(lag, now) for lag in LAGS}
            predictions = {
                (slots, lag): self._open + counted[lag] < slots for slots, lag in self._errors
            }
            self._open += 1
            self._unanswered += 1
            return now, predictions

    def _may_request(self) -> bool:
        now = time.monotonic()
        if self._limit < self._connections and now - self._limited >= RECOVERY:
            self._limit, self._limited = self._limit + 1, now
        if self._open >= self._limit or now < self._not_before:
            return False
        if self._refusals and self._unanswered:  # one request at a time until one is granted
            return False
        slots, lag = self._choose()
        return self._open + self._count_closed(lag, now) < slots

    def _count_closed(self, lag: float, now: float) -> int:
        """Return the number of closed downloads that still count if the lag is so long."""
        return sum(now - closed < lag for closed in self._closed)

    def _choose(self) -> Hypothesis:
        fade = 0.5 ** ((time.monotonic() - self._last_answer) / HALF_LIFE)
        limit = min(self._errors.values()) * fade + TOLERANCE
        return next(
            hypothesis for hypothesis, errors in self._errors.items() if errors * fade < limit
        )

    def _learn(self, requested: float, predictions: dict[Hypothesis, bool], granted: bool) -> None:
        with self._condition:
            now = time.monotonic()
            before = self._choose()
            fade = 0.5 ** ((now - self._last_answer) / HALF_LIFE)
            self._last_answer = now
            self._unanswered -= 1
            for hypothesis, errors in self._errors.items():
                self._errors[hypothesis] = errors * fade + (predictions[hypothesis] != granted)
            self._refusals = 0 if granted else self._refusals + 1
            self.was_refused |= not granted
            if granted:
                # The machine may be busy when a single answer comes.
                elapsed = now - requested
                self.latency = min(self.latency, elapsed) if self._granted else elapsed
                self._granted += 1
            if (now_chosen := self._choose()) != before:
                slots, lag = now_chosen
                logger.debug(
                    "Parallel downloads: {}, with a pause of {:.1f} s after each", slots, lag
                )

    def _back_off(self, min_wait: float) -> None:
        """After a refusal, send no request for a while."""
        with self._condition:
            wait = min(MAX_BACKOFF, MIN_BACKOFF * 2 ** min(self._refusals - 1, 10))
            wait = max(wait * random.uniform(0.7, 1), min_wait)  # noqa: S311 (jitter, not a secret)
            until = time.monotonic() + min(wait, self.max_wait)
            self._not_before = max(self._not_before, until)

    def _leave(self, answers: list[bool]) -> None:
        with self._condition:
            self._open -= 1
            self._unanswered -= not answers
            if answers != [False]:  # a refused request leaves no session behind
                self._closed.append(time.monotonic())
            self._condition.notify_all()
