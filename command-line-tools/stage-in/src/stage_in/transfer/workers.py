"""Worker threads: tasks run in parallel, and the first failure stops them all."""

import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import TypeVar

from stage_in.logger import logger

T = TypeVar("T")

WATCH_INTERVAL = 0.5  # seconds between two checks for requests that hang


class Stopped(BaseException):
    """A task was told to stop. Not an Exception, because the task has not failed."""


class Workers:
    """Runs tasks on a number of threads, the heaviest first.

    The threads are daemons, so one that waits for a server does not keep the process alive. A task
    marks the sections in which it waits for others. It can be abandoned only there, and gets
    Stopped when the section ends. Therefore no task touches a file once `run` has returned.

    A time-out of a socket can't bound everything: a server may send its header line by line, and a
    name server may not answer. So `run` also watches tasks that wait.
    """

    def __init__(self, number: int, parent: "Workers | None" = None) -> None:
        """Prepare; no thread is started yet.

        Args:
            number: how many threads.
            parent: the workers one of whose tasks runs these; when they stop, these stop as well.
        """
        self._number = number
        self._children: set[Workers] = set()
        self._parent = parent
        self._tasks: list[tuple[int, int, Callable[[], None]]] = []
        self._later: deque[Callable[[], None]] = deque()
        self._has_background = False
        self._order = count()
        self._unfinished = 0
        self._busy = 0
        self._failure: BaseException | None = None
        self._stopped = threading.Event()
        self._condition = threading.Condition()

    def add(self, task: Callable[[], None], weight: int = 0) -> None:
        """Add a task. A task may add others."""
        with self._condition:
            heapq.heappush(self._tasks, (-weight, next(self._order), task))
            self._unfinished += 1
            self._condition.notify_all()

    def add_later(self, task: Callable[[], None]) -> None:
        """Add a task that needs no connection: a thread of their own runs these, in order.

        Only tasks add them. If the system allows no such thread, the other threads run them.
        """
        with self._condition:
            if not self._has_background:
                with suppress(RuntimeError):
                    threading.Thread(target=self._work, args=[True], daemon=True).start()
                    self._has_background = True
            self._later.append(task)
            self._unfinished += 1
            self._condition.notify_all()

    def run(self, watch: Callable[[], None] = lambda: None) -> None:
        """Run all tasks to their end.

        Args:
            watch: called regularly while all tasks wait; it raises if they wait in vain.

        Raises:
            RuntimeError: the system does not allow a single thread.
            Stopped: the parent has stopped.
            BaseException: the first exception of a task, or one that interrupts the wait.
        """
        if self._parent is not None:
            self._parent._adopt(self)
        self._start()
        try:
            with self._condition:
                while self._unfinished and self._failure is None and not self._stopped.is_set():
                    self._condition.wait(WATCH_INTERVAL)
                    if self._unfinished and not self._busy:
                        watch()
        finally:
            self.stop()
            with self._condition:
                while self._busy:
                    self._condition.wait()
            if self._parent is not None:
                self._parent._children.discard(self)
        if self._failure is not None:
            raise self._failure
        if self._unfinished:
            raise Stopped

    def call(self, task: Callable[[], T], watch: Callable[[], None] = lambda: None) -> T:
        """Run one task and return its result; otherwise like `run`."""
        results: list[T] = []
        self.add(lambda: results.append(task()))
        self.run(watch)
        (result,) = results
        return result

    def stop(self) -> None:
        """Start no other task, and stop the running ones where they wait."""
        self._stopped.set()
        with self._condition:
            children = [*self._children]
            self._condition.notify_all()
        for child in children:
            child.stop()

    def _adopt(self, child: "Workers") -> None:
        with self._condition:
            self._children.add(child)
        if self._stopped.is_set():
            child.stop()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Mark a section in which a task only waits for others.

        Raises:
            Stopped: the task must not continue.
        """
        with self._condition:
            self._busy -= 1
            if self._stopped.is_set():
                self._condition.notify_all()  # `run` is waiting for the last busy task
        try:
            yield
        finally:
            with self._condition:
                self._busy += 1
            if self._stopped.is_set():
                # This replaces any other exception: nothing may react to that one any more.
                raise Stopped from None

    def sleep(self, seconds: float) -> None:
        """Sleep within a task.

        Raises:
            Stopped: the task must not continue.
        """
        with self.waiting():
            self._stopped.wait(seconds)

    def stoppable(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Iterate over chunks that come from others, until the task must not continue.

        Raises:
            Stopped: the task must not continue.
        """
        iterator = iter(chunks)
        while True:
            with self.waiting():
                chunk = next(iterator, None)
            if chunk is None:
                return
            yield chunk

    def _start(self) -> None:
        """Start the threads, or as many as the system allows: one is enough."""
        for number in range(self._number):
            try:
                threading.Thread(target=self._work, name=f"worker-{number}", daemon=True).start()
            except RuntimeError:
                if number == 0:
                    raise
                logger.warning(
                    "Fewer parallel downloads: the system allows {} of {} threads",
                    number,
                    self._number,
                )
                return

    def _work(self, is_background: bool = False) -> None:
        while (task := self._next(is_background)) is not None:
            has_stopped = False
            try:
                task()
            except Stopped:
                has_stopped = True
            except BaseException as error:
                self._failure = self._failure or error
                self.stop()
            finally:
                with self._condition:
                    self._busy -= 1
                    self._unfinished -= not has_stopped
                    self._condition.notify_all()

    def _next(self, is_background: bool) -> Callable[[], None] | None:
        with self._condition:
            while self._unfinished and not self._stopped.is_set():
                if self._later and (is_background or not self._has_background):
                    self._busy += 1
                    return self._later.popleft()
                if self._tasks and not is_background:
                    self._busy += 1
                    return heapq.heappop(self._tasks)[-1]
                self._condition.wait()
            return None
