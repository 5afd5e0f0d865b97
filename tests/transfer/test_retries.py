import threading
from collections.abc import Iterator

import pytest

from stage_in.errors import (
    BusyError,
    NotFoundError,
    OutputError,
    ProductError,
    StageInError,
    TemporaryError,
    UnauthorizedError,
    UnknownHostError,
    VerificationError,
)
from stage_in.transfer import arrivals, retries
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.retries import Retries, retry_until_answered


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "BACKOFF_UNIT", 0.01)


class Clock:
    """A clock that only sleeping advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + 1e-6  # sums that are rounded down would never reach their end


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (arrivals, retries):
        monkeypatch.setattr(module, "time", clock)
    return clock


class Request:
    """Fails with the given errors, in turn, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self._errors: Iterator[Exception] = iter(errors)
        self.attempts = 0

    def __call__(self) -> str:
        self.attempts += 1
        for error in self._errors:
            raise error
        return "done"


@pytest.mark.parametrize("kind", [VerificationError, NotFoundError, UnauthorizedError])
def test_a_wrong_answer_is_accepted_three_times(kind: type[StageInError]) -> None:
    succeeds = Request(*[kind("x")] * 2)
    assert Retries(Arrivals(), 9)(succeeds) == "done"
    fails = Request(*[kind("x")] * 3)
    with pytest.raises(kind, match=r"^x$"):
        Retries(Arrivals(), 9)(fails)
    assert fails.attempts == 3


@pytest.mark.parametrize("kind", [ProductError, OutputError, ValueError, KeyboardInterrupt])
def test_other_failures_are_not_retried(kind: type[Exception]) -> None:
    request = Request(kind("x"))
    with pytest.raises(kind):
        Retries(Arrivals(), 9)(request)
    assert request.attempts == 1


def test_faults_of_this_machine_are_not_retried() -> None:
    """They may end in any failure, also in one of the network."""
    failure = TemporaryError("x")
    failure.__cause__ = MemoryError()
    request = Request(failure)
    with pytest.raises(TemporaryError):
        Retries(Arrivals(), 9)(request)
    assert request.attempts == 1


def test_temporary_failures_are_not_counted() -> None:
    request = Request(VerificationError("x"), *[TemporaryError("y")] * 6, VerificationError("x"))
    assert Retries(Arrivals(), 9)(request) == "done"
    assert request.attempts == 9


def test_patience_ends(clock: Clock) -> None:
    arrivals = Arrivals()
    request = Request(*[TemporaryError("status 503")] * 1000)
    with pytest.raises(TemporaryError, match=r"no new data arrived for 0.2 s.*status 503"):
        Retries(arrivals, 0.2, clock.sleep)(request)
    assert 0.2 <= arrivals.silence < 0.3
    assert 2 <= request.attempts < 100


def test_a_host_that_does_not_exist_is_given_up_soon(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(retries, "UNKNOWN_HOST_PATIENCE", 0.2)
    request = Request(*[UnknownHostError("Name or service not known")] * 1000)
    with pytest.raises(TemporaryError, match=r"not known\. Check the name of the host"):
        Retries(Arrivals(), 60, clock.sleep)(request)
    assert 2 <= request.attempts < 100
    slept: list[float] = []
    assert Retries(Arrivals(), 600, slept.append)(Request(*[UnknownHostError("x")] * 50)) == "done"
    assert max(slept) <= retries.MAX_UNKNOWN_HOST_WAIT


def test_a_host_that_is_unknown_now_and_then(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Other failures in between show that there is a host, or that the network is down."""
    monkeypatch.setattr(retries, "UNKNOWN_HOST_PATIENCE", 0.05)
    failures = [UnknownHostError("x"), TemporaryError("y")] * 3
    slow = iter([*failures, UnknownHostError("x")])

    def request() -> str:
        clock.sleep(0.03)
        for error in slow:
            raise error
        return "done"

    assert Retries(Arrivals(), 60, clock.sleep)(request) == "done"


def test_new_data_renews_patience(clock: Clock) -> None:
    """A wait ends when patience does, so without new data the second attempt is the last one."""
    arrivals = Arrivals()
    request = Request(*[TemporaryError("x", 60)] * 8)

    def receive() -> str:
        arrivals.record("url", request.attempts + 1)
        return request()

    assert Retries(arrivals, 0.1, clock.sleep)(receive) == "done"
    assert request.attempts == 9


def test_data_downloaded_again_does_not_renew_patience(clock: Clock) -> None:
    arrivals = Arrivals()

    def receive_the_first_bytes() -> None:
        arrivals.record("url", 100)
        raise TemporaryError("cut")

    with pytest.raises(TemporaryError, match="no new data arrived"):
        Retries(arrivals, 0.2, clock.sleep)(receive_the_first_bytes)


def test_the_server_says_how_long_to_wait(clock: Clock) -> None:
    slept: list[float] = []
    request = Request(TemporaryError("x", 7), TemporaryError("x", 500))
    assert Retries(Arrivals(), 60, slept.append)(request) == "done"
    assert slept == [7, 60]  # the last attempt is made when patience ends


def test_a_server_that_asks_for_no_wait_is_not_flooded() -> None:
    slept: list[float] = []
    Retries(Arrivals(), 60, slept.append)(Request(*[TemporaryError("x", 0.0)] * 9))
    assert sum(slept) > 0


def test_pacing_waits_for_a_download_slot_instead() -> None:
    slept: list[float] = []
    assert Retries(Arrivals(), 60, slept.append)(Request(BusyError("x", 7))) == "done"
    assert slept == [0]


def test_a_request_that_hangs_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "CONNECT_TIMEOUT", 0.1)
    monkeypatch.setattr(retries, "STALL_TIMEOUT", 0.1)
    released = threading.Event()

    def hang() -> bool:
        return released.wait(60)

    with pytest.raises(TemporaryError, match="the last request has not ended"):
        retry_until_answered([hang], Arrivals(), 0.2)
    assert not released.is_set()
    released.set()
