"""Limits of the download service: how it counts a user's downloads, and how fast it sends them."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

Count = Literal["request", "connection"]


@dataclass(frozen=True)
class Limits:
    """Limits of the service. CDSE allows 4 downloads of 20 MB/s (documentation, Quotas).

    How CDSE counts is not documented, so there is a family of ways.

    Attributes:
        connections: Maximum number of open downloads per user; None for no limit.
        count: What counts as open: a request until its response has been sent, or a TCP connection
            until it is closed.
        rate: Bytes per second of each download; None for no limit.
        total_rate: Bytes per second of all downloads of a user together; None for no limit.
        latency: Seconds until a response begins, on every service.
        lag: Seconds for which a finished download still counts as open.
        tick: If above 0, a finished download counts until the next multiple of so many seconds
            instead.
        refusal_lag: Seconds for which a refused request counts as open.
        new_per_second: Maximum number of downloads that may start in any second; None for no limit.
        other_period: If above 0, another job of the user holds downloads during the first half of
            each period of so many seconds.
        other_downloads: The number of these downloads.
        retry_after: Retry-After of a 429 in seconds; None to send no such header.
        s3_requests: Maximum number of S3 requests per user and window; None for no limit. CDSE
            allows 2000 per minute.
        s3_window: Seconds of such a window.
    """

    connections: int | None = None
    count: Count = "request"
    rate: float | None = None
    total_rate: float | None = None
    latency: float = 0.0
    lag: float = 0.0
    tick: float = 0.0
    refusal_lag: float = 0.0
    new_per_second: int | None = None
    other_period: float = 0.0
    other_downloads: int = 2
    retry_after: int | None = None
    s3_requests: int | None = None
    s3_window: float = 60.0

    def without_lag(self) -> Limits:
        """Return the limits of S3, where a finished download is not counted any more."""
        return replace(self, lag=0, tick=0, refusal_lag=0)


class Connection(Protocol):
    """A TCP connection."""

    def is_closing(self) -> bool:
        """Tell whether it is closed or about to be."""


@dataclass
class _Use:
    """What counts as open for one user; times by the monotonic clock."""

    open: int = 0
    connections: set[Connection] = field(default_factory=set)
    lag_ends: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    window_start: float = -math.inf
    requests: int = 0


class Sessions:
    """Counts each user's open downloads. It is not thread-safe: only the server's thread uses it.

    Attributes:
        max_open: Maximum number of downloads that one user had open at once, without those that
            had finished and still counted.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, start: float | None = None
    ) -> None:
        """Count nothing yet.

        Args:
            clock: Returns the seconds since any point in time.
            start: When the periods of `tick` and of the other job began; now if not given.
        """
        self.max_open = 0
        self._uses: defaultdict[str, _Use] = defaultdict(_Use)
        self._clock = clock
        self._started = clock() if start is None else start

    def restart_periods(self) -> None:
        """Let the periods of `tick` and of the other job begin now."""
        self._started = self._clock()

    def is_free(self, user: str, limits: Limits, connection: Connection | None = None) -> bool:
        """Tell whether another download would be granted."""
        now = self._clock()
        use = self._uses[user]
        use.lag_ends = [end for end in use.lag_ends if end > now]
        use.starts = [start for start in use.starts if start > now - 1]
        use.connections = {one for one in use.connections if not one.is_closing()}
        is_known = limits.count == "connection" and connection in use.connections
        return is_known or not self._is_full(use, limits, now)

    def enter(self, user: str, limits: Limits, connection: Connection | None = None) -> bool:
        """Count another download; return False, without counting it, if a limit is reached."""
        is_free = self.is_free(user, limits, connection)
        now = self._clock()
        use = self._uses[user]
        if not is_free:
            if limits.refusal_lag > 0:
                use.lag_ends.append(now + limits.refusal_lag)
            return False
        if limits.count == "connection" and connection is not None:
            use.connections.add(connection)
        use.starts.append(now)
        use.open += 1
        self.max_open = max(self.max_open, use.open)
        return True

    def count_request(self, user: str, limits: Limits) -> tuple[bool, dict[str, str]]:
        """Count an S3 request, and tell whether it is allowed and which headers announce this."""
        if limits.s3_requests is None:
            return True, {}
        now = self._clock()
        use = self._uses[user]
        if now >= use.window_start + limits.s3_window:
            use.window_start, use.requests = now, 0
        use.requests += 1
        return use.requests <= limits.s3_requests, {
            "x-ratelimit-limit": str(limits.s3_requests),
            "x-ratelimit-remaining": str(max(0, limits.s3_requests - use.requests)),
            "x-ratelimit-reset": str(math.ceil(use.window_start + limits.s3_window - now)),
        }

    def leave(self, user: str, limits: Limits) -> None:
        """Stop counting a download, after the lag if there is one."""
        use = self._uses[user]
        use.open -= 1
        if limits.count == "request":
            use.lag_ends += self._lag_ends(limits)

    def rate(self, user: str, limits: Limits) -> float | None:
        """Return the bytes per second of each download that the user has open now."""
        if limits.total_rate is None:
            return limits.rate
        share = limits.total_rate / max(self._uses[user].open, 1)
        return share if limits.rate is None else min(limits.rate, share)

    def _is_full(self, use: _Use, limits: Limits, now: float) -> bool:
        if limits.new_per_second is not None and len(use.starts) >= limits.new_per_second:
            return True
        if limits.connections is None:
            return False
        elapsed = now - self._started
        is_other_busy = limits.other_period and elapsed % limits.other_period < (
            limits.other_period / 2
        )
        count = len(use.connections) if limits.count == "connection" else use.open
        count += len(use.lag_ends) + (limits.other_downloads if is_other_busy else 0)
        return count >= limits.connections

    def _lag_ends(self, limits: Limits) -> Iterator[float]:
        now = self._clock()
        if limits.tick > 0:
            yield now + limits.tick - (now - self._started) % limits.tick
        elif limits.lag > 0:
            yield now + limits.lag
