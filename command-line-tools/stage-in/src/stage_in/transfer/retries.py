"""How often and how long a failed try is made again."""

import time
from collections.abc import Callable
from typing import TypeVar

from loguru import logger
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from stage_in.errors import BusyError, StageInError, TemporaryError
from stage_in.progress import Progress
from stage_in.transfer.client import CONNECT_TIMEOUT, STALL_TIMEOUT

MAX_FAILURES = 3  # of one thing, where the answer is wrong rather than late
FIRST_WAIT = 1.0  # seconds
MAX_WAIT = 60.0  # seconds

T = TypeVar("T")


class Retries:
    """Makes tries until one succeeds, the answer is wrong three times, or patience ends.

    Failures of the service or the network are not counted: they end when nothing new has arrived
    for `patience` seconds. So a slow day costs time and not the product.
    """

    def __init__(
        self,
        progress: Progress,
        patience: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._progress = progress
        self._sleep = sleep
        self._patience = patience
        self._backoff = wait_random_exponential(multiplier=FIRST_WAIT, max=MAX_WAIT)

    def __call__(self, attempt: Callable[[], T]) -> T:
        """Return what `attempt` returns when it succeeds.

        Raises:
            StageInError: as `attempt` raised it last; TemporaryError when patience ended.
        """
        failures = 0

        def give_up(state: RetryCallState) -> bool:
            nonlocal failures
            if isinstance(_error(state), TemporaryError):
                return self._progress.idle >= self._patience
            failures += 1
            return failures >= MAX_FAILURES

        retrying = Retrying(
            retry=retry_if_exception(_is_passing),
            stop=give_up,
            wait=self._wait,
            sleep=self._sleep,
            before_sleep=_report,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except TemporaryError as error:
            raise TemporaryError(
                f"nothing new arrived for {self._patience:g} s, last because of: {error}; run it "
                "again to go on from what has arrived"
            ) from error

    def watch(self) -> None:
        """Look from outside whether a try hangs in spite of all time-outs.

        Raises:
            TemporaryError: patience has ended, and the last try should have by now.
        """
        idle = self._progress.idle
        last_try = min(CONNECT_TIMEOUT, self._patience) + min(STALL_TIMEOUT, self._patience)
        if idle >= self._patience + last_try:
            raise TemporaryError(
                f"nothing new arrived for {idle:.0f} s, and the last request has not ended; run it "
                "again to go on from what has arrived"
            )

    def _wait(self, state: RetryCallState) -> float:
        """Wait as long as the server asks, otherwise longer with each try.

        At most until patience ends: the last try is made then. A place for a connection is waited
        for elsewhere, by all workers together.
        """
        error = _error(state)
        if isinstance(error, BusyError):
            return 0.0
        retry_after = getattr(error, "retry_after", None)
        wait = self._backoff(state) if retry_after is None else retry_after
        return max(min(wait, self._patience - self._progress.idle), 0.0)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _is_passing(error: BaseException) -> bool:
    return isinstance(error, StageInError) and error.passing


def _report(state: RetryCallState) -> None:
    wait = state.next_action.sleep if state.next_action else 0.0
    error = _error(state)
    level = "DEBUG" if isinstance(error, BusyError) else "WARNING"
    logger.log(level, "Try {}: {}; again in {:.0f} s", state.attempt_number, error, wait)
