"""What was asked of the sandbox and what it answered, for tests to look at."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote, unquote_plus


@dataclass(frozen=True)
class Exchange:
    """One request and its answer.

    Attributes:
        role: The service that was asked: catalogue, stac, download, identity or stranger.
        method: HTTP method.
        path: Path and query as they were received.
        headers: All headers of the request, in order.
        body: Body of the request.
        port: The client's port.
        user: Whose token came with it, if it was one of this sandbox's.
        opened: When the request had arrived, on the clock of ``time.monotonic``.
        status: Status of the answer; 0 if none was sent.
        first: When the answer began; None if it did not.
        closed: When it ended; None while it goes on.
        sent: Bytes of the answer's body that were handed to the network.
        complete: Whether all of the answer was sent, and as intended.
    """

    role: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    port: int
    user: str | None
    opened: float
    status: int = 0
    first: float | None = None
    closed: float | None = None
    sent: int = 0
    complete: bool = False
    key: int = field(default=0, repr=False, compare=False)

    def header(self, name: str) -> str | None:
        """The first header of this name, in any case."""
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def holds(self, secret: str) -> bool:
        """Whether a text came with the request, anywhere: path, query, headers or body."""
        body = self.body.decode("utf-8", "replace")
        texts = [self.path, unquote(self.path), body, unquote_plus(body)]
        return any(secret in text for text in [*texts, *(v for _, v in self.headers)])


class Log:
    """The exchanges, in the order in which the requests arrived.

    A client has its last byte a moment before the server has noted that it sent it. Reading the
    log (iteration, ``len``, indexing, :meth:`of`) therefore waits until no exchange is under
    way, for a second at most; :meth:`now` does not wait.
    """

    GRACE = 1.0

    def __init__(self) -> None:
        self._exchanges: dict[int, Exchange] = {}
        self._count = 0
        self._changed = threading.Condition()

    def open(self, **facts: Any) -> Exchange:
        """Note a request (for the server)."""
        with self._changed:
            self._count += 1
            exchange = Exchange(opened=time.monotonic(), key=self._count, **facts)
            self._exchanges[exchange.key] = exchange
            self._changed.notify_all()
            return exchange

    def note(self, exchange: Exchange, **facts: Any) -> None:
        """Note more about an exchange (for the server)."""
        with self._changed:
            if exchange.key in self._exchanges:  # not if the log was cleared meanwhile
                self._exchanges[exchange.key] = replace(self._exchanges[exchange.key], **facts)
                self._changed.notify_all()

    def now(self) -> list[Exchange]:
        """All exchanges as they stand, those under way among them."""
        with self._changed:
            return list(self._exchanges.values())

    def settle(self, timeout: float = GRACE) -> list[Exchange]:
        """All exchanges, once none is under way or after ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(
                lambda: all(x.closed is not None for x in self._exchanges.values()), timeout
            )
            return list(self._exchanges.values())

    def wait(self, condition: Callable[[Exchange], bool], timeout: float = 10.0) -> Exchange:
        """The first exchange for which a condition holds, as soon as there is one.

        Raises:
            TimeoutError: There was none for ``timeout`` seconds.
        """
        found: list[Exchange] = []

        def seen() -> bool:
            found[:] = [x for x in self._exchanges.values() if condition(x)]
            return bool(found)

        with self._changed:
            if not self._changed.wait_for(seen, timeout):
                raise TimeoutError(f"expected an exchange within {timeout} s, found none")
            return found[0]

    def of(self, role: str = "*", path: str = "*", method: str = "*") -> list[Exchange]:
        """The exchanges of a service whose decoded path and query match a glob."""
        return [
            x
            for x in self
            if fnmatchcase(x.role, role)
            and fnmatchcase(unquote(x.path), path)
            and fnmatchcase(x.method, method)
        ]

    def most_open(self, role: str = "download", path: str = "*") -> int:
        """How many of these exchanges were under way at once, at most."""
        marks: list[tuple[float, int]] = []
        for x in self.of(role, path):
            marks.append((x.opened, 1))
            if x.closed is not None:
                marks.append((x.closed, -1))
        most = current = 0
        for _, step in sorted(marks):
            current += step
            most = max(most, current)
        return most

    def clear(self) -> None:
        """Forget all exchanges."""
        with self._changed:
            self._exchanges.clear()

    def __iter__(self) -> Iterator[Exchange]:
        return iter(self.settle())

    def __len__(self) -> int:
        return len(self.settle())

    def __getitem__(self, index: int) -> Exchange:
        return self.settle()[index]
