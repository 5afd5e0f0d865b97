"""Download slots: how many downloads may be open now."""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from loguru import logger

from stage_in.errors import BusyError
from stage_in.transfer.quota import MAX_CONNECTIONS

MAX_LAG = 3.0  # seconds for which the platform may still count a closed download
MAX_WAIT = 60.0  # seconds between two requests for a slot, whatever the server asks for
MIN_WAIT = 0.1  # seconds
RAISE_AFTER = 2.0  # seconds without a refusal after which one more download is tried
SETTLED_AFTER = 5.0  # seconds after which a lower limit counts as lasting
TRIAL = 1.0  # seconds after raising the limit in which a refusal means that it was too high
LAG_DECAY = 0.99  # factor by which the lag shrinks with each download that succeeds
STARVED_AFTER = 6  # refusals in a row while no download of this process is open


@dataclass
class _Slot:
    """A slot for one download.

    Attributes:
        requested: when it was requested, by the monotonic clock.
        lag: the estimated lag at that time, in seconds.
        granted: whether the platform has granted it.
    """

    requested: float
    lag: float
    granted: bool = False


class Pacing:
    """Hands out download slots: a request is sent only if the platform probably has a free slot.

    The platform grants a user a few downloads over all jobs, and its count lags: a download that
    has ended is still counted for a while, so that even small files one after another are refused
    (CS-SI/eodag issue 2019). Neither the lag nor the downloads of other jobs can be queried. Both
    are learned from refusals, which apply to all workers together.

    Attributes:
        limit: maximum number of parallel downloads now.
        lag: seconds for which a closed download is probably still counted.
    """

    def __init__(self, connections: int, max_wait: float = MAX_WAIT) -> None:
        """Start with the maximum number of downloads and no lag.

        Args:
            connections: maximum number of parallel downloads.
            max_wait: maximum number of seconds between two requests for a slot.
        """
        self.limit = self._max_limit = connections
        self._open = 0
        self._downloading = 0
        self._closed: deque[float] = deque(maxlen=MAX_CONNECTIONS)
        self.lag = 0.0
        self._refusals = 0
        self._not_before = 0.0
        self._raise_after = RAISE_AFTER
        self._changed = time.monotonic()
        self._raised = False
        self._max_wait = max_wait
        self._generation = 0
        self._condition = threading.Condition()

    @property
    def is_starved(self) -> bool:
        """Whether single requests were refused time and again while no download was open."""
        return self._refusals >= STARVED_AFTER

    @property
    def expected_limit(self) -> int:
        """How many parallel downloads to expect; a lower limit counts only once it has lasted."""
        settled = time.monotonic() - self._changed > SETTLED_AFTER
        return self.limit if settled else self._max_limit

    @contextmanager
    def slot(self) -> Iterator[Callable[[], None]]:
        """Hold a slot for one download, after waiting for it.

        It yields a function to call when the platform has granted the download. A BusyError that
        passes through counts as a refusal.
        """
        slot = self._enter()
        try:
            yield lambda: self._grant(slot)
        except BusyError as error:
            self._refuse(slot, error.retry_after)
            raise
        except BaseException:
            self._leave(slot, succeeded=False)
            raise
        self._leave(slot, succeeded=True)

    def start_over(self) -> None:
        """Let everyone who waits for a slot fail, and forget refusals: another source starts."""
        with self._condition:
            self._generation += 1
            self._refusals = 0
            self._not_before = 0.0
            self._condition.notify_all()

    def _enter(self) -> _Slot:
        with self._condition:
            generation = self._generation
            while (wait := self._get_wait()) > 0:
                self._condition.wait(wait)
                if generation != self._generation:
                    raise BusyError("another source has started")
            self._open += 1
            return _Slot(time.monotonic(), self.lag)

    def _get_wait(self) -> float:
        """Return how many seconds to wait before looking for a slot again; 0 if one is free."""
        now = time.monotonic()
        if now < self._not_before:
            return self._not_before - now
        lingering = [left for closed in self._closed if (left := closed + self.lag - now) > 0]
        if self._open + len(lingering) < self.limit:
            return 0.0
        return min(lingering, default=1.0)

    def _grant(self, slot: _Slot) -> None:
        with self._condition:
            slot.granted = True
            self._downloading += 1

    def _leave(self, slot: _Slot, *, succeeded: bool) -> None:
        with self._condition:
            now = time.monotonic()
            self._open -= 1
            self._downloading -= slot.granted
            self._closed.append(now)
            if succeeded:
                self._refusals = 0
                self.lag *= LAG_DECAY
                if self.limit < self._max_limit and now - self._changed > self._raise_after:
                    self.limit += 1
                    self._changed = now
                    self._raised = True
                    logger.debug("Maximum number of parallel downloads: {}", self.limit)
            self._condition.notify_all()

    def _refuse(self, slot: _Slot, retry_after: float | None) -> None:
        with self._condition:
            now = time.monotonic()
            self._open -= 1
            if not self._open:
                self._refusals += 1
            ages = [slot.requested - closed for closed in self._closed]
            recent = [age for age in ages if age < MAX_LAG]
            over = [age for age in recent if age >= slot.lag]
            # A lag explains the refusal if the downloads of this process, with those that closed
            # recently, fill all slots. Otherwise, or right after raising the limit, other jobs
            # hold some.
            tried_more = self._raised and now - self._changed < TRIAL
            if over and self._downloading + len(recent) >= MAX_CONNECTIONS and not tried_more:
                self.lag = max(self.lag, min(over) + MIN_WAIT)
            elif max(self._open, 1) < self.limit:
                # After each trial that failed, the next one comes later.
                self._raise_after = min(self._raise_after * 2, 60.0) if tried_more else RAISE_AFTER
                self.limit = max(self._open, 1)
                self._changed = now
                self._raised = False
                logger.info(
                    "The platform is busy. Maximum number of parallel downloads: {}", self.limit
                )
            wait = MIN_WAIT * 2 ** min(self._refusals, 10)
            wait *= random.uniform(0.5, 1)  # noqa: S311 (jitter, not a secret)
            self._not_before = now + min(max(wait, retry_after or 0.0), self._max_wait)
            self._condition.notify_all()
