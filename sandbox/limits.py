"""Limits of the download service: connections, bytes per second, latency."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of the service. CDSE allows 4 connections of 20 MB/s (documentation, Quotas).

    Attributes:
        connections: Maximum number of open downloads per user; None for no limit.
        rate: Bytes per second of each download; None for no limit.
        latency: Seconds until a response begins, on every service.
        lag: Seconds for which a finished download still counts as open.
        retry_after: Retry-After of a 429 in seconds; None to send no such header.
    """

    connections: int | None = None
    rate: float | None = None
    latency: float = 0.0
    lag: float = 0.0
    retry_after: int | None = None


class Sessions:
    """Counts each user's open downloads. It is not thread-safe: only the server's thread uses it.

    Attributes:
        max_open: Maximum number of downloads that one user had open at once, without those that
            had finished and still counted.
    """

    def __init__(self) -> None:
        self.max_open = 0
        self._open: defaultdict[str, int] = defaultdict(int)
        self._lag_ends: defaultdict[str, list[float]] = defaultdict(list)

    def enter(self, user: str, limits: Limits) -> bool:
        """Count another download; return False, without counting it, if the limit is reached."""
        now = time.monotonic()
        lagging = [end for end in self._lag_ends[user] if end > now]
        self._lag_ends[user] = lagging
        if limits.connections is not None and self._open[user] + len(lagging) >= limits.connections:
            return False
        self._open[user] += 1
        self.max_open = max(self.max_open, self._open[user])
        return True

    def leave(self, user: str, limits: Limits) -> None:
        """Stop counting a download, after the lag if there is one."""
        self._open[user] -= 1
        if limits.lag > 0:
            self._lag_ends[user].append(time.monotonic() + limits.lag)
