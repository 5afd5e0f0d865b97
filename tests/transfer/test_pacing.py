"""Download slots, learned from the platform's answers."""

import threading
import time

import pytest

from stage_in.errors import BusyError
from stage_in.transfer import pacing as module
from stage_in.transfer.pacing import Pacing


class Clock:
    """A clock that this test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def refuse(pacing: Pacing, retry_after: float | None = None) -> None:
    with pytest.raises(BusyError), pacing.slot():
        raise BusyError("full", retry_after)


def download(pacing: Pacing) -> None:
    with pacing.slot() as granted:
        granted()


def test_no_more_slots_than_connections() -> None:
    pacing = Pacing(2)
    entered = []

    def enter() -> None:
        with pacing.slot() as granted:
            granted()
            entered.append(1)

    with pacing.slot() as first, pacing.slot() as second:
        first()
        second()
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join(0.2)
        assert not entered
    thread.join()
    assert entered


def test_nothing_is_delayed_where_nothing_is_refused(clock: Clock) -> None:
    pacing = Pacing(4)
    for _ in range(60):
        download(pacing)
    assert pacing.estimate(10, 8.0) == 2.0


def test_a_lag_is_learned_and_forgotten(clock: Clock) -> None:
    """Of a platform that counts for a second what has ended, one file in 0.25 s can be had."""
    pacing = Pacing(4)
    counted: list[float] = []
    refusals = served = 0
    for _ in range(400):
        clock.now += 0.05
        counted = [until for until in counted if until > clock.now]
        if not pacing._may_request():
            continue
        if len(counted) >= 4:
            refuse(pacing)
            refusals += 1
        else:
            download(pacing)
            counted.append(clock.now + 1.0)
            served += 1
    assert served >= 0.8 * 4 * 20  # of those that are possible in 20 s
    assert refusals <= 40
    before = pacing.estimate(40, 0.0)
    assert before is not None
    assert 5 < before < 20
    clock.now += 60  # the platform may count otherwise by now
    after = pacing.estimate(40, 0.0)
    assert after is not None
    assert after < before


def test_slots_that_others_hold_are_learned(clock: Clock) -> None:
    pacing = Pacing(4)
    with pacing.slot() as first, pacing.slot() as second:
        first()
        second()
        for _ in range(6):
            clock.now += 0.3
            if pacing._may_request():
                refuse(pacing)
        assert pacing.estimate(0, 8.0) == 4.0


def test_the_first_of_the_lowest_turn_gets_the_next_slot() -> None:
    pacing = Pacing(1, in_order=True)
    served: list[str] = []

    def download(turn: int, name: str) -> None:
        with pacing.slot(turn) as granted:
            granted()
            served.append(name)

    threads = [
        threading.Thread(target=download, args=arguments)
        for arguments in [(3, "e"), (1, "a"), (2, "d"), (1, "b"), (1, "c")]
    ]
    with pacing.slot() as granted:
        granted()
        for number, thread in enumerate(threads):
            thread.start()
            while len(pacing._waiting) <= number:
                time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert "".join(served) == "abcde"


def test_nobody_takes_a_slot_before_those_who_wait() -> None:
    """A worker that has ended one download and starts the next one is faster than a waiting one."""
    pacing = Pacing(1, in_order=True)
    served: list[str] = []

    def wait() -> None:
        with pacing.slot() as granted:
            granted()
            served.append("waiting")

    thread = threading.Thread(target=wait)
    with pacing.slot() as granted:
        granted()
        thread.start()
        while not pacing._waiting:
            time.sleep(0.01)
    for _ in range(3):
        with pacing.slot() as granted:
            granted()
            served.append("next")
    thread.join()
    assert served == ["waiting", "next", "next", "next"]


def test_one_request_at_a_time_after_a_refusal(clock: Clock) -> None:
    pacing = Pacing(4)
    refuse(pacing)
    clock.now += 10
    with pacing.slot():
        assert not pacing._may_request()
    clock.now += 10
    with pacing.slot() as granted:
        granted()
        assert pacing._may_request()


@pytest.mark.parametrize(
    ("retry_after", "earliest", "latest"),
    [(None, 0.05, 0.2), (7.0, 7.0, 7.1), (1e300, 60.0, 60.1)],
)
def test_a_refusal_is_waited_out(
    clock: Clock, retry_after: float | None, earliest: float, latest: float
) -> None:
    """The server may ask for more, but not for more than the maximum."""
    pacing = Pacing(4)
    refuse(pacing, retry_after)
    clock.now += earliest - 0.01
    assert not pacing._may_request()
    clock.now += latest - earliest + 0.01
    assert pacing._may_request()


def test_many_refusals_back_off_up_to_a_limit(clock: Clock) -> None:
    pacing = Pacing(1)
    for _ in range(1100):
        while not pacing._may_request():
            clock.now += 1.0
        refuse(pacing)
    clock.now += module.MAX_BACKOFF
    assert pacing._may_request()


def test_nothing_is_estimated_while_nothing_is_granted(clock: Clock) -> None:
    pacing = Pacing(4)
    refuse(pacing)
    assert pacing.estimate(10, 1.0) is None
    clock.now += 1
    download(pacing)
    assert pacing.estimate(10, 1.0) is not None


def test_waiting_ends_when_another_source_starts() -> None:
    pacing = Pacing(1)
    outcome: list[str] = []

    def wait() -> None:
        try:
            with pacing.slot():
                outcome.append("in")
        except BusyError:
            outcome.append("sent away")

    with pacing.slot() as granted:
        granted()
        thread = threading.Thread(target=wait)
        thread.start()
        while not pacing._waiting:
            time.sleep(0.01)
        pacing.start_over()
        thread.join()
    assert outcome == ["sent away"]
