"""Retries: how often a failed request is made again, and how long before."""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from stage_in.errors import BusyError, StageInError, TemporaryError, UnknownHostError
from stage_in.logger import logger
from stage_in.machine import is_machine_fault
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.quota import MAX_CONNECTIONS
from stage_in.transfer.response import STALL_TIMEOUT
from stage_in.transfer.session import CONNECT_TIMEOUT
from stage_in.transfer.workers import Workers

MAX_ATTEMPTS = 3  # of one request, if it fails for another reason than a TemporaryError
BACKOFF_UNIT = 1.0  # seconds; the random waits grow in multiples of it,
MAX_WAIT = 60.0  # seconds, up to this
# Seconds after which a host that never existed is given up, and between two attempts until then.
UNKNOWN_HOST_PATIENCE = 45.0
MAX_UNKNOWN_HOST_WAIT = 5.0

T = TypeVar("T")


class Retries:
    """Repeats a request until it succeeds, or its answer is wrong three times.

    Temporary failures of the service or the network are not counted: they end the run when no new
    data has arrived for `patience` seconds, or a host has not been found for less than a minute. A
    slow service delays a run but does not end it. How long to wait after a refusal for lack of
    download slots is decided in `pacing`.
    """

    def __init__(
        self,
        arrivals: Arrivals,
        patience: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._arrivals = arrivals
        self._sleep = sleep
        self._patience = patience
        self._backoff = wait_random_exponential(multiplier=BACKOFF_UNIT, max=MAX_WAIT)

    def __call__(self, request: Callable[[], T]) -> T:
        """Return what `request` returns when it succeeds.

        Raises:
            StageInError: the last failure of `request`; TemporaryError after `patience` seconds
                without new data, or if there is no such host.
        """
        failures = 0
        unknown_since = math.inf

        def should_stop(state: RetryCallState) -> bool:
            nonlocal failures, unknown_since
            error = _get_error(state)
            now = time.monotonic()
            is_unknown = isinstance(error, UnknownHostError)
            unknown_since = min(unknown_since, now) if is_unknown else math.inf
            if now - unknown_since >= UNKNOWN_HOST_PATIENCE:
                return True
            if isinstance(error, TemporaryError):
                return self._arrivals.silence >= self._patience
            failures += 1
            return failures >= MAX_ATTEMPTS

        retrying = Retrying(
            retry=retry_if_exception(_is_retryable),
            stop=should_stop,
            wait=self._get_wait,
            sleep=self._sleep,
            before_sleep=_log_failure,
            reraise=True,
        )
        try:
            return retrying(request)
        except UnknownHostError as error:
            raise TemporaryError(
                f"{error}. Check the name of the host, and the network of this machine"
            ) from error
        except TemporaryError as error:
            raise TemporaryError(
                f"no new data arrived for {self._patience:g} s; the last failure was: {error}"
            ) from error

    def watch(self) -> None:
        """Check from another thread that no request hangs in spite of all time-outs.

        Raises:
            TemporaryError: no new data has arrived for `patience` seconds, and the last request
                should have ended by now.
        """
        silence = self._arrivals.silence
        last_request = min(CONNECT_TIMEOUT, self._patience) + min(STALL_TIMEOUT, self._patience)
        if silence >= self._patience + last_request:
            raise TemporaryError(
                f"no new data arrived for {silence:.0f} s, and the last request has not ended"
            )

    def _get_wait(self, state: RetryCallState) -> float:
        """Return the seconds to wait: what the server asks for, or more with each attempt.

        No wait at all, as after a Retry-After in the past, would flood a server that is overloaded.
        It is cut so that there is a last attempt after `patience` seconds. After a refusal for lack
        of download slots the wait is 0 here, because all workers wait for a slot together.
        """
        error = _get_error(state)
        if isinstance(error, BusyError):
            return 0.0
        wait = getattr(error, "retry_after", None) or self._backoff(state)
        if isinstance(error, UnknownHostError):
            wait = min(wait, MAX_UNKNOWN_HOST_WAIT)
        return max(min(wait, self._patience - self._arrivals.silence), 0.0)


def retry_until_answered(
    requests: Sequence[Callable[[], T]], arrivals: Arrivals, patience: float
) -> list[T]:
    """Make requests with retries, in threads that are abandoned if they hang.

    Returns:
        The answers, in the order of the requests.

    Raises:
        StageInError: as `Retries` raises it.
    """
    workers = Workers(min(len(requests), MAX_CONNECTIONS))
    retries = Retries(arrivals, patience, workers.sleep)
    answers: dict[int, T] = {}

    def answer(number: int, request: Callable[[], T]) -> None:
        answers[number] = retries(partial(_wait, workers, request))

    for number, request in enumerate(requests):
        workers.add(partial(answer, number, request))
    workers.run(retries.watch)
    return [answers[number] for number in range(len(requests))]


def wait_for_answer(request: Callable[[], T], arrivals: Arrivals, patience: float) -> T:
    """Make one request without retries, in a thread that is abandoned if it hangs.

    Raises:
        StageInError: as `request` raises it; TemporaryError if it hangs.
    """
    workers = Workers(1)
    return workers.call(partial(_wait, workers, request), Retries(arrivals, patience).watch)


def _wait(workers: Workers, request: Callable[[], T]) -> T:
    with workers.waiting():
        return request()


def _get_error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, StageInError) and error.retryable and not is_machine_fault(error)


def _log_failure(state: RetryCallState) -> None:
    wait = state.next_action.sleep if state.next_action else 0.0
    error = _get_error(state)
    if not isinstance(error, BusyError):  # `Pacing` logs it
        logger.warning(
            "Attempt {attempt} failed, the next is in {wait:.1f} s: {error}",
            event="retry",
            attempt=state.attempt_number,
            wait=round(wait, 3),
            error=error,
        )
