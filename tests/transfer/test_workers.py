import threading
import time

import pytest

from stage_in.transfer.workers import Stopped, Workers


def test_all_tasks_run_heaviest_first() -> None:
    done: list[int] = []
    workers = Workers(1)
    for weight in (1, 3, 2):
        workers.add(lambda weight=weight: done.append(weight), weight)
    workers.add(lambda: workers.add(lambda: done.append(0)), 9)
    workers.run()
    assert done == [3, 2, 1, 0]


def test_side_by_side() -> None:
    barrier = threading.Barrier(3)

    def meet() -> None:
        barrier.wait(5)

    workers = Workers(3)
    for _ in range(3):
        workers.add(meet)
    workers.run()
    assert not barrier.broken


def test_the_first_failure_stops_the_others() -> None:
    workers = Workers(2)
    done: list[str] = []

    def fail() -> None:
        raise ValueError("first")

    workers.add(fail, 2)

    def work() -> None:
        workers.sleep(0.01)
        done.append("x")

    for _ in range(50):
        workers.add(work)
    with pytest.raises(ValueError, match="first"):
        workers.run()
    assert len(done) < 50


def test_who_waits_for_others_is_left_behind_and_never_goes_on() -> None:
    """Not even to tidy up after an error of its own: others may be at the same file by then."""
    workers = Workers(2)
    served = threading.Event()
    seen: list[BaseException] = []

    def ask() -> None:
        try:
            with workers.waiting():
                served.wait(10)
                raise OSError("the server has hung up")  # noqa: TRY301
        except BaseException as error:
            seen.append(error)
            raise

    def fail() -> None:
        raise ValueError("first")

    workers.add(ask, 2)
    workers.add(fail)
    started = time.monotonic()
    with pytest.raises(ValueError, match="first"):
        workers.run()
    assert time.monotonic() - started < 5
    assert not seen
    served.set()
    while not seen:
        time.sleep(0.01)
    assert isinstance(seen[0], Stopped)


def test_who_writes_is_waited_for() -> None:
    workers = Workers(2)
    written = threading.Event()
    began = threading.Event()

    def write() -> None:
        began.set()
        time.sleep(0.3)
        written.set()

    def fail() -> None:
        began.wait(5)
        raise ValueError("first")

    workers.add(write, 2)
    workers.add(fail)
    with pytest.raises(ValueError, match="first"):
        workers.run()
    assert written.is_set()
