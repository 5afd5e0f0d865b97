"""How many connections now: what is known of the platform's count of a user's sessions."""

import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from loguru import logger

from app.errors import BusyError

LONGEST_LAG = 3.0  # seconds for which a closed connection is believed to be counted, at most
LONGEST_WAIT = 30.0  # seconds between two requests for a place
FIRST_WAIT = 0.1  # seconds
RAISE_AFTER = 2.0  # seconds without a refusal after which one more connection is tried
STARVED_AFTER = 6  # refusals in a row while nothing of ours is open


class Pacing:
    """Hands out places: a connection is opened only where one is believed to be free.

    The platform grants a user a few sessions, for all jobs together, and its count lags: a session
    that has ended is still counted for a while, so that even small files one after another are
    refused (CS-SI/eodag issue 2019). Neither the lag nor what other jobs hold can be asked for;
    both are learned from refusals, which hold for all workers together.
    """

    def __init__(self, connections: int) -> None:
        self._most = self._limit = connections
        self._open = 0
        self._closed: deque[float] = deque(maxlen=connections)
        self._lag = 0.0
        self._refusals = 0
        self._not_before = 0.0
        self._raise_after = RAISE_AFTER
        self._changed = time.monotonic()
        self._condition = threading.Condition()

    @property
    def starved(self) -> bool:
        """Whether there is no place to be had: asked for one at a time, refused time and again."""
        return self._refusals >= STARVED_AFTER

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for one download, once there is one.

        A BusyError that passes through is a refusal, and tells something about the count.
        """
        self._enter()
        try:
            yield
        except BusyError as error:
            self._refuse(error.retry_after)
            raise
        except BaseException:
            self._leave(well=False)
            raise
        self._leave(well=True)

    def _enter(self) -> None:
        with self._condition:
            while (wait := self._get_wait()) > 0:
                self._condition.wait(wait)
            self._open += 1

    def _get_wait(self) -> float:
        """Return how many seconds at least there will be no place."""
        now = time.monotonic()
        if now < self._not_before:
            return self._not_before - now
        lingering = [end - now for end in self._get_ends() if end > now]
        if self._open + len(lingering) < self._limit:
            return 0.0
        return min(lingering, default=1.0)

    def _get_ends(self) -> list[float]:
        return [closed + self._lag for closed in self._closed]

    def _leave(self, *, well: bool) -> None:
        with self._condition:
            now = time.monotonic()
            self._open -= 1
            self._closed.append(now)
            if well:
                self._refusals = 0
                if self._limit < self._most and now - self._changed > self._raise_after:
                    self._limit += 1
                    self._changed = now
                    logger.debug("Trying {} connections again", self._limit)
            self._condition.notify_all()

    def _refuse(self, retry_after: float | None) -> None:
        with self._condition:
            now = time.monotonic()
            self._open -= 1
            if not self._open:
                self._refusals += 1
            # The youngest session that was believed to be over may be counted still. If there is
            # none, others hold the places.
            ages = [now - closed for closed in self._closed]
            youngest = min((age for age in ages if age >= self._lag), default=LONGEST_LAG)
            if youngest < LONGEST_LAG:
                self._lag = min(youngest + FIRST_WAIT, LONGEST_LAG)
            elif self._open < self._limit:
                # Each lowering that comes soon after a raise makes the next raise wait longer.
                soon = now - self._changed < 2 * self._raise_after
                self._raise_after = min(self._raise_after * 2 if soon else RAISE_AFTER, 60.0)
                self._limit = max(self._open, 1)
                self._changed = now
                logger.info("The platform is busy: going on with {} connections", self._limit)
            wait = min(FIRST_WAIT * 2**self._refusals, LONGEST_WAIT)
            wait *= random.uniform(0.5, 1)  # noqa: S311 (jitter, no secret)
            self._not_before = now + (wait if retry_after is None else retry_after)
            self._condition.notify_all()
