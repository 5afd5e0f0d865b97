"""How many connections now: what is known of the platform's count of a user's sessions."""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from loguru import logger

from stage_in.errors import BusyError
from stage_in.transfer.quota import CONNECTIONS

MAX_LAG = 3.0  # seconds for which a closed connection is believed to be counted, at most
MAX_WAIT = 60.0  # seconds between two requests for a place, whatever the server asks
FIRST_WAIT = 0.1  # seconds
RAISE_AFTER = 2.0  # seconds without a refusal after which one more connection is tried
SETTLED = 5.0  # seconds after which the number of connections is taken for lasting
TRIAL = 1.0  # seconds after that in which a refusal means that it was one too many
LAG_FADES = 0.99  # by each download that succeeds, lest a lag that is over slows all that follows
STARVED_AFTER = 6  # refusals in a row while nothing of ours is open


@dataclass
class _Place:
    """A place for one connection.

    Attributes:
        asked: when it was asked for, by the monotonic clock.
        lag: what was believed of the lag then, in seconds.
        granted: whether the platform has granted it.
    """

    asked: float
    lag: float
    granted: bool = False


class Pacing:
    """Hands out places: a connection is opened only where one is believed to be free.

    The platform grants a user a few sessions, for all jobs together, and its count lags: a session
    that has ended is still counted for a while, so that even small files one after another are
    refused (CS-SI/eodag issue 2019). Neither the lag nor what other jobs hold can be asked for;
    both are learned from refusals, which hold for all workers together.

    Attributes:
        limit: how many connections are used at once, at most.
        lag: seconds for which a connection that was closed is believed to be counted.
    """

    def __init__(self, connections: int, longest_wait: float = MAX_WAIT) -> None:
        """Set up.

        Args:
            connections: to use at once, at most.
            longest_wait: seconds between two requests for a place, at most.
        """
        self.limit = self._most = connections
        self._open = 0
        self._downloading = 0
        self._closed: deque[float] = deque(maxlen=CONNECTIONS)
        self.lag = 0.0
        self._refusals = 0
        self._not_before = 0.0
        self._raise_after = RAISE_AFTER
        self._changed = time.monotonic()
        self._raised = False
        self._longest_wait = longest_wait
        self._generation = 0
        self._condition = threading.Condition()

    @property
    def starved(self) -> bool:
        """Whether there is no place to be had: asked for one at a time, refused time and again."""
        return self._refusals >= STARVED_AFTER

    @property
    def prospect(self) -> int:
        """How many connections to reckon with: a lowering must have lasted before it counts."""
        settled = time.monotonic() - self._changed > SETTLED
        return self.limit if settled else self._most

    @contextmanager
    def place(self) -> Iterator[Callable[[], None]]:
        """Hold a place for one download, once there is one.

        What it gives is to be called when the download has been granted. A BusyError that passes
        through is a refusal, and tells something about the count.
        """
        place = self._enter()
        try:
            yield lambda: self._grant(place)
        except BusyError as error:
            self._refuse(place, error.retry_after)
            raise
        except BaseException:
            self._leave(place, well=False)
            raise
        self._leave(place, well=True)

    def begin_anew(self) -> None:
        """Send away who waits for a place: from now on another source asks for one.

        How often a place was refused is forgotten too.
        """
        with self._condition:
            self._generation += 1
            self._refusals = 0
            self._not_before = 0.0
            self._condition.notify_all()

    def _enter(self) -> _Place:
        """Wait for a place, and take it."""
        with self._condition:
            generation = self._generation
            while (wait := self._get_wait()) > 0:
                self._condition.wait(wait)
                if generation != self._generation:
                    raise BusyError("another source is asking now")
            self._open += 1
            return _Place(time.monotonic(), self.lag)

    def _get_wait(self) -> float:
        """Return how many seconds to wait before looking for a place again; 0 if there is one."""
        now = time.monotonic()
        if now < self._not_before:
            return self._not_before - now
        lingering = [left for closed in self._closed if (left := closed + self.lag - now) > 0]
        if self._open + len(lingering) < self.limit:
            return 0.0
        return min(lingering, default=1.0)

    def _grant(self, place: _Place) -> None:
        with self._condition:
            place.granted = True
            self._downloading += 1

    def _leave(self, place: _Place, *, well: bool) -> None:
        with self._condition:
            now = time.monotonic()
            self._open -= 1
            self._downloading -= place.granted
            self._closed.append(now)
            if well:
                self._refusals = 0
                self.lag *= LAG_FADES
                if self.limit < self._most and now - self._changed > self._raise_after:
                    self.limit += 1
                    self._changed = now
                    self._raised = True
                    logger.debug("Connections at once: {}", self.limit)
            self._condition.notify_all()

    def _refuse(self, place: _Place, retry_after: float | None) -> None:
        with self._condition:
            now = time.monotonic()
            self._open -= 1
            if not self._open:
                self._refusals += 1
            ages = [place.asked - closed for closed in self._closed]
            recent = [age for age in ages if age < MAX_LAG]
            over = [age for age in recent if age >= place.lag]
            # A count that lags explains a refusal if, with it, ours alone fill all places. If not,
            # or if one connection more has just been tried, others hold some.
            tried_more = self._raised and now - self._changed < TRIAL
            if over and self._downloading + len(recent) >= CONNECTIONS and not tried_more:
                self.lag = max(self.lag, min(over) + FIRST_WAIT)
            elif max(self._open, 1) < self.limit:
                # After each trial that failed the next one waits longer.
                self._raise_after = min(self._raise_after * 2, 60.0) if tried_more else RAISE_AFTER
                self.limit = max(self._open, 1)
                self._changed = now
                self._raised = False
                logger.info("The platform is busy: connections at once: {}", self.limit)
            wait = FIRST_WAIT * 2 ** min(self._refusals, 10)
            wait *= random.uniform(0.5, 1)  # noqa: S311 (jitter, no secret)
            self._not_before = now + min(max(wait, retry_after or 0.0), self._longest_wait)
            self._condition.notify_all()
