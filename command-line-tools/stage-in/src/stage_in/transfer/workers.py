"""Tasks side by side, on threads that keep no process alive: the first failure stops them."""

import heapq
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TypeVar

from loguru import logger

from stage_in.errors import TemporaryError

T = TypeVar("T")

LOOK_EVERY = 0.5  # seconds between two looks at whether everybody waits in vain


class Stopped(BaseException):
    """A task was told to stop; not an Exception, as it is no failure of the task's."""


class Workers:
    """Runs tasks on a number of threads, heaviest first.

    The threads are daemons: one that waits for a server keeps nobody from ending the process. When
    `run` is over, none of them touches a file any more: a task says where it waits for others, and
    only there it may be left behind; it learns so before it goes on.

    No time-out of a socket bounds what a server can do, which may send its header line by line, or
    what a resolver of names does: so who waits is watched from outside.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._tasks: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._unfinished = 0
        self._busy = 0
        self._failure: BaseException | None = None
        self._stopped = threading.Event()
        self._condition = threading.Condition()

    def add(self, task: Callable[[], None], weight: int = 0) -> None:
        """Add a task; a task may add others."""
        with self._condition:
            heapq.heappush(self._tasks, (-weight, next(self._order), task))
            self._unfinished += 1
            self._condition.notify_all()

    def run(self, watch: Callable[[], None] = lambda: None) -> None:
        """Run all tasks to their end.

        Args:
            watch: called now and then while all of them wait; raises when that has become vain.

        Raises:
            TemporaryError: the system grants not a single thread.
            BaseException: the first that a task has raised, or what interrupts the wait.
        """
        self._start()
        try:
            with self._condition:
                while self._unfinished and self._failure is None:
                    self._condition.wait(LOOK_EVERY)
                    if self._unfinished and not self._busy:
                        watch()
        finally:
            self.stop()
            with self._condition:
                while self._busy:
                    self._condition.wait()
        if self._failure is not None:
            raise self._failure

    def call(self, task: Callable[[], T], watch: Callable[[], None] = lambda: None) -> T:
        """Run one task, and return what it returns; otherwise like `run`."""
        results: list[T] = []
        self.add(lambda: results.append(task()))
        self.run(watch)
        (result,) = results
        return result

    def stop(self) -> None:
        """Let no task begin or go on."""
        self._stopped.set()
        with self._condition:
            self._condition.notify_all()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Say that a task waits for others, and does nothing meanwhile.

        Raises:
            Stopped: it is not to go on.
        """
        with self._condition:
            self._busy -= 1
            if self._stopped.is_set():
                self._condition.notify_all()  # `run` waits for this alone, and then only
        try:
            yield
        finally:
            with self._condition:
                self._busy += 1
            if self._stopped.is_set():
                # Whatever else has gone wrong meanwhile: nobody may act on it any more.
                raise Stopped from None

    def sleep(self, seconds: float) -> None:
        """Sleep within a task.

        Raises:
            Stopped: it is not to go on.
        """
        with self.waiting():
            self._stopped.wait(seconds)

    def checked(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass chunks on for as long as the task may go on.

        Raises:
            Stopped: it is not to go on.
        """
        iterator = iter(chunks)
        while True:
            with self.waiting():
                chunk = next(iterator, None)
            if chunk is None:
                return
            yield chunk

    def _start(self) -> None:
        """Start the threads, or as many as the system grants: one does it all, too."""
        for number in range(self._number):
            try:
                threading.Thread(target=self._work, name=f"worker-{number}", daemon=True).start()
            except RuntimeError as error:
                found = f"expected threads, found that the system grants {number} of {self._number}"
                if number == 0:
                    raise TemporaryError(f"{found}: raise the limit (ulimit -u)") from error
                logger.warning("{}", found)
                return

    def _work(self) -> None:
        while (task := self._next()) is not None:
            try:
                task()
            except Stopped:
                pass
            except BaseException as error:
                self._failure = self._failure or error
                self.stop()
            finally:
                with self._condition:
                    self._busy -= 1
                    self._unfinished -= 1
                    self._condition.notify_all()

    def _next(self) -> Callable[[], None] | None:
        with self._condition:
            while self._unfinished and not self._stopped.is_set():
                if self._tasks:
                    self._busy += 1
                    return heapq.heappop(self._tasks)[-1]
                self._condition.wait()
            return None
