"""Virtual time: of all threads one runs at a time, the one whose time has come next."""

import heapq
import itertools
import threading
from collections.abc import Callable

MAX_TIME = 4000.0  # seconds after which a run counts as one that does not end

# A time, a number that decides between equal times, and who waits; None: notified before its time.
_Event = list["float | int | _Thread | None"]


class _Thread(threading.Thread):
    def __init__(self, task: Callable[[], None]) -> None:
        super().__init__(target=task, daemon=True)
        self.turn = threading.Semaphore(0)


class Clock:
    """Takes the place of the modules `time` and `threading` in code that waits.

    Attributes:
        now: seconds.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self._end = now + MAX_TIME
        self._events: list[_Event] = []
        self._order = itertools.count()
        self._threads: list[_Thread] = []
        self._idle = threading.Semaphore(0)
        self._ended = False

    def monotonic(self) -> float:
        """Return the time, like `time.monotonic`."""
        return self.now

    def Condition(self) -> "_Condition":  # noqa: N802 (like threading.Condition)
        """Return a condition, like `threading.Condition`."""
        return _Condition(self)

    def Lock(self) -> "_Condition":  # noqa: N802 (like threading.Lock)
        """Return a lock that nobody needs, as no two threads run at the same time."""
        return _Condition(self)

    def spawn(self, task: Callable[[], None]) -> None:
        """Let a task run in a thread of its own, from now on."""

        def run() -> None:
            thread.turn.acquire()
            try:
                if not self._ended:
                    task()
            finally:
                if not self._ended:
                    self._pass_on()

        thread = _Thread(run)
        self._threads.append(thread)
        self.schedule(0.0, thread)
        thread.start()

    def run(self) -> None:
        """Run the threads until none of them waits for a time, then end the others."""
        self._pass_on()
        self._idle.acquire()
        self._ended = True
        for thread in self._threads:
            thread.turn.release()
            thread.join()

    def sleep(self, seconds: float) -> None:
        """Wait, like `time.sleep`."""
        self.schedule(seconds, threading.current_thread())
        self.pause()

    def schedule(self, seconds: float, thread: threading.Thread) -> _Event:
        """Let a thread continue in so many seconds."""
        assert isinstance(thread, _Thread)
        event: _Event = [self.now + seconds, next(self._order), thread]
        heapq.heappush(self._events, event)
        return event

    def pause(self) -> None:
        """Wait until it is this thread's turn again."""
        thread = threading.current_thread()
        assert isinstance(thread, _Thread)
        if self._pass_on() is not thread:
            thread.turn.acquire()
        if self._ended:
            raise SystemExit

    def _pass_on(self) -> _Thread | None:
        """Give the turn to the next thread, or end."""
        while self._events and self.now < self._end:
            when, _, thread = heapq.heappop(self._events)
            if isinstance(thread, _Thread):
                self.now = max(self.now, float(when))  # type: ignore[arg-type]
                if thread is not threading.current_thread():
                    thread.turn.release()
                return thread
        self._idle.release()
        return None


class _Condition:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: list[tuple[threading.Thread, _Event]] = []

    def __enter__(self) -> "_Condition":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def wait(self, seconds: float | None = None) -> None:
        thread = threading.current_thread()
        event: _Event = [0.0, 0, thread]
        if seconds is not None:
            event = self._clock.schedule(seconds, thread)
        self._waiting.append((thread, event))
        self._clock.pause()
        self._waiting = [pair for pair in self._waiting if pair[1] is not event]

    def notify_all(self) -> None:
        for thread, event in self._waiting:
            event[2] = None
            self._clock.schedule(0.0, thread)
        self._waiting = []
