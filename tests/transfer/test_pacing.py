import threading
import time

import pytest

from stage_in.errors import BusyError
from stage_in.transfer.pacing import Pacing


def refuse(pacing: Pacing, retry_after: float | None = None) -> None:
    with pytest.raises(BusyError), pacing.place():
        raise BusyError("full", retry_after)


def serve(pacing: Pacing) -> None:
    with pacing.place() as granted:
        granted()


def test_no_more_places_than_connections() -> None:
    pacing = Pacing(2)
    entered = []

    def enter() -> None:
        with pacing.place() as granted:
            granted()
            entered.append(1)

    with pacing.place(), pacing.place():
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join(0.2)
        assert not entered
    thread.join(5)
    assert entered


def test_others_hold_places() -> None:
    pacing = Pacing(4)
    with pacing.place() as granted:
        granted()
        refuse(pacing)
        assert (pacing.limit, pacing.lag) == (1, 0.0)


def test_a_count_that_lags() -> None:
    """Four of ours have just ended: if one more is refused, they are counted still."""
    pacing = Pacing(4)
    for _ in range(4):
        serve(pacing)
    refuse(pacing)
    assert pacing.limit == 4
    assert 0 < pacing.lag < 1


@pytest.mark.parametrize("retry_after", [None, 0.0, 1e300])
def test_a_wait_is_bounded(retry_after: float | None) -> None:
    """However often it is refused, and whatever the server asks."""
    pacing = Pacing(1, longest_wait=0.001)
    for _ in range(1100):
        refuse(pacing, retry_after)
    assert pacing.starved
    started = time.monotonic()
    serve(pacing)
    assert time.monotonic() - started < 5
    assert not pacing.starved


def test_who_waits_is_sent_away_when_another_source_takes_over() -> None:
    pacing = Pacing(1)
    outcome: list[str] = []

    def wait() -> None:
        try:
            with pacing.place():
                outcome.append("in")
        except BusyError:
            outcome.append("away")

    with pacing.place() as granted:
        granted()
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.1)
        pacing.begin_anew()
        thread.join(5)
    assert outcome == ["away"]
