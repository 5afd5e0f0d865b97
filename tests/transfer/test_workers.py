import threading
import time

import pytest

from stage_in.errors import TemporaryError
from stage_in.transfer.workers import Stopped, Workers


def test_tasks_run_heaviest_first() -> None:
    done: list[int] = []
    workers = Workers(1)
    for weight in (1, 3, 2):
        workers.add(lambda weight=weight: done.append(weight), weight)
    workers.add(lambda: workers.add(lambda: done.append(0)), 9)
    workers.run()
    assert done == [3, 2, 1, 0]


def test_tasks_run_in_parallel() -> None:
    barrier = threading.Barrier(3)

    def meet() -> None:
        barrier.wait(60)

    workers = Workers(3)
    for _ in range(3):
        workers.add(meet)
    workers.run()
    assert not barrier.broken


def test_tasks_without_a_connection_have_a_thread_of_their_own() -> None:
    """They run in order, while the other threads are busy, and are waited for."""
    workers = Workers(1)
    done: list[int] = []
    released = threading.Event()

    def work() -> None:
        for number in range(3):
            workers.add_later(lambda number=number: done.append(number))
        workers.add_later(released.set)
        assert released.wait(60)
        workers.add_later(lambda: time.sleep(0.05))
        workers.add_later(lambda: done.append(3))

    workers.add(work)
    workers.run()
    assert done == [0, 1, 2, 3]


def test_without_another_thread_a_worker_runs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers(1)
    done: list[str] = []

    def work() -> None:
        def refuse(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        workers.add(lambda: done.append("task"))
        workers.add_later(lambda: done.append("later"))

    workers.add(work)
    workers.run()
    assert done == ["later", "task"]


def test_the_first_failure_stops_the_other_tasks() -> None:
    workers = Workers(2)
    begun: list[str] = []
    done: list[str] = []

    def fail() -> None:
        raise ValueError("first")

    workers.add(fail, 2)

    def work() -> None:
        begun.append("x")
        workers.sleep(60)
        done.append("x")

    for _ in range(50):
        workers.add(work)
    with pytest.raises(ValueError, match="first"):
        workers.run()
    assert len(begun) <= 1
    assert not done


def test_a_waiting_task_is_abandoned_and_never_continues() -> None:
    """It does not even handle an error of its own: another run may use its file by then."""
    workers = Workers(2)
    answered = threading.Event()
    seen: list[BaseException] = []

    def wait_for_server() -> None:
        try:
            with workers.waiting():
                assert answered.wait(60)
                raise OSError("the server has hung up")  # noqa: TRY301
        except BaseException as error:
            seen.append(error)
            raise

    def fail() -> None:
        raise ValueError("first")

    workers.add(wait_for_server, 2)
    workers.add(fail)
    with pytest.raises(ValueError, match="first"):
        workers.run()
    assert not seen  # so `run` has not waited for it
    answered.set()
    while not seen:
        time.sleep(0.01)
    assert isinstance(seen[0], Stopped)


def test_a_writing_task_is_waited_for() -> None:
    workers = Workers(2)
    written = threading.Event()
    started = threading.Event()

    def write() -> None:
        started.set()
        time.sleep(0.3)
        written.set()

    def fail() -> None:
        started.wait(60)
        raise ValueError("first")

    workers.add(write, 2)
    workers.add(fail)
    with pytest.raises(ValueError, match="first"):
        workers.run()
    assert written.is_set()


def test_chunks_stop_when_the_task_must_not_continue() -> None:
    workers = Workers(1)
    received: list[bytes] = []

    def receive() -> None:
        for chunk in workers.stoppable([b"a", b"b", b"c"]):
            received.append(chunk)
            if chunk == b"b":
                workers.stop()

    workers.add(receive)
    with pytest.raises(Stopped):
        workers.run()
    assert received == [b"a", b"b"]


def test_watch_ends_tasks_that_wait_in_vain() -> None:
    workers = Workers(1)
    released = threading.Event()

    def wait_for_server() -> None:
        with workers.waiting():
            released.wait(60)

    def watch() -> None:
        raise TemporaryError("patience has ended")

    workers.add(wait_for_server)
    with pytest.raises(TemporaryError, match="patience has ended"):
        workers.run(watch)
    assert not released.is_set()
    released.set()


@pytest.mark.parametrize("late", [False, True])
def test_workers_of_a_task_stop_with_it(late: bool) -> None:
    """The failure of one task stops what other tasks have started, also if that begins later."""
    parent = Workers(2)
    began, ended = threading.Event(), threading.Event()

    def fail() -> None:
        began.wait(60)
        raise TemporaryError("failed")

    def run_others() -> None:
        child = Workers(1, parent)
        child.add(lambda: child.sleep(60))
        if late:
            began.set()
            while not parent._stopped.is_set():
                time.sleep(0.01)
        child.add(began.set)
        with pytest.raises(Stopped):  # it has not done its work
            child.run()
        ended.set()

    parent.add(run_others)
    parent.add(fail)
    if not late:
        threading.Timer(0.2, began.set).start()
    with pytest.raises(TemporaryError, match="failed"):
        parent.run()
    assert ended.is_set()


@pytest.mark.parametrize("allowed", [0, 1])
def test_the_system_allows_few_threads(monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    start = threading.Thread.start
    left = [None] * allowed

    def start_if_allowed(thread: threading.Thread) -> None:
        if not left:
            raise RuntimeError("can't start new thread")
        left.pop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_if_allowed)
    workers = Workers(4)
    if allowed:
        assert workers.call(lambda: "done") == "done"
    else:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            workers.call(lambda: "done")
