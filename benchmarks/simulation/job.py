"""One simulated run of the tool: the manifest, then the files one by one, or all in one zip."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from benchmarks.simulation.clock import Clock
from sandbox.limits import Limits, Sessions
from stage_in.errors import BusyError, SourceError
from stage_in.safe.manifest import Entry
from stage_in.sources import nodes
from stage_in.sources.nodes import NodesSource
from stage_in.transfer import arrivals, pacing
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.pacing import Pacing
from stage_in.transfer.quota import MAX_CONNECTIONS

_REFUSAL_TAKES = 0.05  # seconds of a refused request, or the latency where that is less
_BETWEEN = 0.005  # seconds from one file to the next one of the same worker
_LIST_REQUESTS = 10  # for the list of a product's files, one after another; they need no slot
_MANIFEST_SIZE = 60_000  # bytes
_USER = "user"
_METADATA = 2  # small files, which come before the large ones


class _Stopped(BaseException):
    """A worker has to stop."""


class _Connection:
    def __init__(self) -> None:
        self.closed = False

    def is_closing(self) -> bool:
        return self.closed


class Service:
    """The download service: it counts like the sandbox, and takes virtual time to send bytes."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._sessions = Sessions(clock.monotonic, start=0.0)
        self._change = clock.Condition()

    @contextmanager
    def open(self, connection: _Connection) -> Iterator[Callable[[int], Iterator[None]]]:
        """Grant a download. The context's value sends so many bytes while it is iterated."""
        limits = self._limits
        if not self._sessions.enter(_USER, limits, connection):
            self._clock.sleep(min(limits.latency, _REFUSAL_TAKES))
            raise BusyError("429", limits.retry_after)
        try:
            self._clock.sleep(limits.latency)
            yield self._send
        finally:
            self._sessions.leave(_USER, limits)
            self.wake()

    def wake(self) -> None:
        """Let those who receive see what has changed."""
        self._change.notify_all()

    def _send(self, size: float) -> Iterator[None]:
        self.wake()  # others may get less from now on
        while size > 1:
            rate, start = self._sessions.rate(_USER, self._limits) or math.inf, self._clock.now
            self._change.wait(size / rate)
            size -= (self._clock.now - start) * rate
            yield


class Job:
    """One run.

    Attributes:
        refusals: the number of refused requests.
        zipped: whether it has changed to the zip.
        end: when it had everything; None as long as it runs.
    """

    def __init__(
        self, clock: Clock, service: Service, sizes: Sequence[int], whole: int, latency: float
    ) -> None:
        """Prepare a run.

        Args:
            clock: the virtual time.
            service: what it downloads from.
            sizes: bytes of each file that is wanted.
            whole: bytes of the zip.
            latency: seconds until a response begins.
        """
        self._clock = clock
        self._service = service
        self._sizes = sorted(sizes, reverse=True)
        self._latency = latency
        self._tasks: list[Entry] = []
        self._whole = whole
        self._pool: list[_Connection] = []
        self._running = 0
        self._change = clock.Condition()
        self.pacing = Pacing(MAX_CONNECTIONS)
        self.refusals = 0
        self.zipped = False
        self.end: float | None = None
        # What NodesSource needs of a product and a client.
        product: Any = SimpleNamespace(
            name=SimpleNamespace(folder="x.SAFE"), origin="https://x", uuid="0", id="x"
        )
        client: Any = SimpleNamespace(pacing=self.pacing, download=self._open)
        self._source = NodesSource(product, client, Arrivals(), MAX_CONNECTIONS)

    def run(self) -> None:
        """Download everything."""
        self._retry(lambda: self._fetch("", _MANIFEST_SIZE))
        entries = [Entry(str(number), size) for number, size in enumerate(self._sizes)]
        self._source.expect(entries, self._whole)
        self._tasks = entries[-_METADATA:] + entries[:-_METADATA]
        for number in range(MAX_CONNECTIONS + 1):
            self._running += 1
            self._clock.spawn(partial(self._work, lists=number == 0))
        while self._running and not self.zipped:
            self._change.wait()
        if self.zipped:
            self._retry(lambda: self._fetch("", self._whole))
        for connection in self._pool:
            connection.closed = True
        self.end = self._clock.now

    def _work(self, lists: bool) -> None:
        try:
            if lists:
                self._clock.sleep(_LIST_REQUESTS * self._latency)
            while self._tasks and not self.zipped:
                entry = self._tasks.pop(0)
                self._retry(lambda: self._fetch(entry.path, entry.size))  # noqa: B023 (runs now)
                self._clock.sleep(_BETWEEN)
        except SourceError:
            self.zipped = True
            self.pacing.start_over()
            self._service.wake()
        except _Stopped:
            pass
        finally:
            self._running -= 1
            self._change.notify_all()

    def _retry(self, request: Callable[[], None]) -> None:
        while True:
            try:
                return request()
            except BusyError:
                pass

    def _fetch(self, path: str, size: int) -> None:
        """Download a file of the product, or what comes in one piece if there is no path."""
        if path and self.zipped:
            raise _Stopped
        opened: Any = self._source.open(path) if path else self._open()
        with opened as send:
            for _ in send(size):
                if path and self.zipped:
                    raise _Stopped

    @contextmanager
    def _open(
        self, url: str = "", start: int = 0, arrivals: Arrivals | None = None
    ) -> Iterator[Any]:
        """Open a download, as `Client.download` does."""
        with self.pacing.slot() as granted:
            connection = self._pool.pop() if self._pool else _Connection()
            try:
                with self._service.open(connection) as send:
                    granted()
                    yield send
            except BaseException as error:
                connection.closed = True
                self.refusals += isinstance(error, BusyError)
                raise
            self._pool.append(connection)


@contextmanager
def virtual_time(clock: Clock, seed: int) -> Iterator[None]:
    """Let the tool's code wait by a clock, and take its random numbers from a seed."""
    replacements = {"time": clock, "threading": clock, "random": random.Random(seed)}
    with ExitStack() as stack:
        for module in (pacing, nodes, arrivals):
            for name in vars(module).keys() & replacements.keys():
                stack.enter_context(patch.object(module, name, replacements[name]))
        yield


def simulate(
    limits: Limits,
    sizes: Sequence[int],
    whole: int,
    *,
    phase: float = 0.0,
    jobs: int = 1,
    seed: int = 0,
) -> list[Job]:
    """Run jobs of one user at the same time; return them when they have ended.

    Args:
        limits: of the service.
        sizes: bytes of each file that is wanted.
        whole: bytes of the zip.
        phase: seconds since the periods of the limits began.
        jobs: their number.
        seed: of the random waits.
    """
    clock = Clock(phase)
    with virtual_time(clock, seed):
        service = Service(clock, limits)
        team = [Job(clock, service, sizes, whole, limits.latency) for _ in range(jobs)]
        for job in team:
            clock.spawn(job.run)
        clock.run()
    return team
