"""The log of the requests that the sandbox received and how it responded, for tests to inspect."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote, unquote_plus

# Reading the log waits this many seconds for responses that are still being sent.
MAX_SETTLING = 1.0


@dataclass(frozen=True)
class Exchange:
    """A request and the response to it. Times are those of ``time.monotonic``.

    Attributes:
        role: The service: catalogue, stac, download, identity, stranger or s3.
        method: HTTP method.
        path: Path and query as received.
        headers: All headers of the request, in order.
        body: Body of the request.
        port: The client's port.
        user: The user whose token the request contains, if this sandbox issued the token.
        opened: When the request had been received.
        status: Status of the response; 0 if none was sent.
        first: When the response began; None if it did not.
        closed: When the exchange ended; None while it continues.
        sent: Bytes of the response's body that were handed to the network.
        complete: Whether the response was sent completely and as intended.
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
        """Return the first header of this name, regardless of case."""
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def holds(self, secret: str) -> bool:
        """Tell whether a text is anywhere in the request: path, query, headers or body."""
        body = self.body.decode("utf-8", "replace")
        texts = [self.path, unquote(self.path), body, unquote_plus(body)]
        return any(secret in text for text in [*texts, *(v for _, v in self.headers)])


class Log:
    """The exchanges, in the order in which the requests arrived.

    A client receives its last byte a moment before the server has logged it. Reading the log
    (iteration, ``len``, indexing, :meth:`of`) therefore waits until all exchanges have ended, for
    at most ``MAX_SETTLING`` seconds; :meth:`now` does not wait.
    """

    def __init__(self) -> None:
        self._exchanges: dict[int, Exchange] = {}
        self._count = 0
        self._changed = threading.Condition()

    def open(self, **fields: Any) -> Exchange:
        """Add a request. The server calls this."""
        with self._changed:
            self._count += 1
            exchange = Exchange(opened=time.monotonic(), key=self._count, **fields)
            self._exchanges[exchange.key] = exchange
            self._changed.notify_all()
            return exchange

    def update(self, exchange: Exchange, **fields: Any) -> None:
        """Change fields of an exchange. The server calls this."""
        with self._changed:
            if exchange.key in self._exchanges:  # clear() may have removed it
                self._exchanges[exchange.key] = replace(self._exchanges[exchange.key], **fields)
                self._changed.notify_all()

    def now(self) -> list[Exchange]:
        """Return all exchanges immediately, including those that have not ended."""
        with self._changed:
            return list(self._exchanges.values())

    def settle(self, timeout: float = MAX_SETTLING) -> list[Exchange]:
        """Return all exchanges once they have ended, or after ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(
                lambda: all(x.closed is not None for x in self._exchanges.values()), timeout
            )
            return list(self._exchanges.values())

    def wait(self, condition: Callable[[Exchange], bool], timeout: float = 60.0) -> Exchange:
        """Wait for an exchange that meets a condition, and return the first one.

        Raises:
            TimeoutError: No exchange met it within ``timeout`` seconds.
        """
        found: list[Exchange] = []

        def met() -> bool:
            found[:] = [x for x in self._exchanges.values() if condition(x)]
            return bool(found)

        with self._changed:
            if not self._changed.wait_for(met, timeout):
                raise TimeoutError(f"expected an exchange within {timeout} s, found none")
            return found[0]

    def of(self, role: str = "*", path: str = "*", method: str = "*") -> list[Exchange]:
        """Return the exchanges that match globs; ``path`` is the decoded path with the query."""
        return [
            x
            for x in self
            if fnmatchcase(x.role, role)
            and fnmatchcase(unquote(x.path), path)
            and fnmatchcase(x.method, method)
        ]

    def most_open(self, role: str = "download", path: str = "*") -> int:
        """Return the maximum number of these exchanges that were open at once."""
        changes: list[tuple[float, int]] = []
        for x in self.of(role, path):
            changes.append((x.opened, 1))
            if x.closed is not None:
                changes.append((x.closed, -1))
        most = current = 0
        for _, change in sorted(changes):
            current += change
            most = max(most, current)
        return most

    def clear(self) -> None:
        """Remove all exchanges."""
        with self._changed:
            self._exchanges.clear()

    def __iter__(self) -> Iterator[Exchange]:
        return iter(self.settle())

    def __len__(self) -> int:
        return len(self.settle())

    def __getitem__(self, index: int) -> Exchange:
        return self.settle()[index]
