import threading
import time

import pytest

from stage_in.errors import BusyError
from stage_in.transfer.pacing import Pacing


def refuse(pacing: Pacing, retry_after: float | None = None) -> None:
    with pytest.raises(BusyError), pacing.slot():
        raise BusyError("full", retry_after)


def serve(pacing: Pacing) -> None:
    with pacing.slot() as granted:
        granted()


def test_no_more_slots_than_connections() -> None:
    pacing = Pacing(2)
    entered = []

    def enter() -> None:
        with pacing.slot() as granted:
            granted()
            entered.append(1)

    with pacing.slot(), pacing.slot():
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join(0.2)
        assert not entered
    thread.join(5)
    assert entered


def test_other_jobs_hold_slots() -> None:
    pacing = Pacing(4)
    with pacing.slot() as granted:
        granted()
        refuse(pacing)
        assert (pacing.limit, pacing.lag) == (1, 0.0)


def test_a_count_that_lags() -> None:
    """If a download is refused right after four have ended, these are still counted."""
    pacing = Pacing(4)
    for _ in range(4):
        serve(pacing)
    refuse(pacing)
    assert pacing.limit == 4
    assert 0 < pacing.lag < 1


@pytest.mark.parametrize("retry_after", [None, 0.0, 1e300])
def test_a_wait_is_bounded(retry_after: float | None) -> None:
    """However often a download is refused, and whatever the server asks for."""
    pacing = Pacing(1, max_wait=0.001)
    for _ in range(1100):
        refuse(pacing, retry_after)
    assert pacing.is_starved
    serve(pacing)
    assert not pacing.is_starved


def test_waiting_downloads_fail_when_another_source_starts() -> None:
    pacing = Pacing(1)
    outcome: list[str] = []

    def wait() -> None:
        try:
            with pacing.slot():
                outcome.append("granted")
        except BusyError:
            outcome.append("failed")

    with pacing.slot() as granted:
        granted()
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.1)
        pacing.start_over()
        thread.join(5)
    assert outcome == ["failed"]
