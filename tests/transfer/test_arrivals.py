import time

import pytest

from stage_in.transfer.arrivals import Arrivals, Totals


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, as the only element of a list."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_bytes_of_an_earlier_run_do_not_count() -> None:
    arrivals = Arrivals()
    arrivals.expect(500, "zip", 400)
    assert (arrivals.received, arrivals.expected) == (0, 100)
    arrivals.record("zip", 450)
    assert (arrivals.received, arrivals.expected) == (50, 100)


def test_bytes_of_an_earlier_attempt_do_not_count() -> None:
    arrivals = Arrivals()
    arrivals.expect(500, "zip")
    arrivals.record("zip", 300)
    arrivals.expect(500, "zip")
    assert (arrivals.received, arrivals.expected) == (300, 500)
    arrivals.record("zip", 200)
    assert arrivals.received == 300


def test_bytes_that_arrived_before_are_expected_in_addition() -> None:
    arrivals = Arrivals()
    arrivals.record("manifest", 30)
    arrivals.expect(500)
    arrivals.record("band", 500)
    assert (arrivals.received, arrivals.expected) == (530, 530)


def test_each_change_is_reported() -> None:
    news: list[tuple[int, int]] = []
    arrivals = Arrivals(lambda received, expected: news.append((received, expected)))
    arrivals.expect(500)
    arrivals.record("band", 100)
    arrivals.record("band", 50)  # downloaded again
    arrivals.record("band", 500)
    assert news == [(0, 500), (100, 500), (500, 500)]


def test_silence_lasts_until_new_bytes_arrive(clock: list[float]) -> None:
    arrivals = Arrivals()
    clock[0] = 7
    assert arrivals.silence == 7
    arrivals.record("band", 100)
    assert arrivals.silence == 0
    clock[0] = 10
    assert arrivals.silence == 3
    arrivals.restart_silence()
    assert arrivals.silence == 0


def test_bytes_downloaded_again_do_not_end_the_silence(clock: list[float]) -> None:
    """The time before a new attempt counts; the time in which known bytes arrive does not."""
    arrivals = Arrivals()
    arrivals.record("band", 1000)
    clock[0] = 5
    arrivals.record("band", 100)
    assert arrivals.silence == 5
    for position in range(200, 1000, 100):
        clock[0] += 0.5
        arrivals.record("band", position)
    assert arrivals.silence == 5
    clock[0] += 3
    arrivals.record("band", 1000)  # after a pause
    assert arrivals.silence == 8
    arrivals.record("band", 1001)
    assert arrivals.silence == 0


def test_products_of_a_run_add_up(clock: list[float]) -> None:
    """What one of them receives ends the silence of all."""
    news: list[tuple[int, int]] = []
    totals = Totals(lambda received, expected: news.append((received, expected)))
    first, second = totals.add(), totals.add(300)
    first.expect(500)
    clock[0] = 7
    second.record("band", 100)
    second.expect(150)
    first.record("band", 20)
    assert news == [(0, 800), (100, 800), (100, 750), (120, 750)]
    assert (first.turn, second.turn) == (0, 1)
    assert first.silence == 0
