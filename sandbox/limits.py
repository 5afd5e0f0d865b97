"""What the download service grants a user: connections, bytes per second, how soon it answers."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of the service. CDSE's own: 4 connections of 20 MB/s (documentation, Quotas).

    Attributes:
        connections: Downloads that a user may have open at once; None for no limit.
        rate: Bytes per second of each download; None for no limit.
        latency: Seconds until an answer begins, on every service.
        lag: Seconds for which a download that has ended is still counted as open.
        retry_after: Seconds announced to a user who is over the limit; None to announce nothing.
    """

    connections: int | None = None
    rate: float | None = None
    latency: float = 0.0
    lag: float = 0.0
    retry_after: int | None = None


class Sessions:
    """Counts each user's open downloads. For one thread: the server's.

    Attributes:
        most: How many one user has had open at once, at most; those that linger left out.
    """

    def __init__(self) -> None:
        self.most = 0
        self._open: defaultdict[str, int] = defaultdict(int)
        self._lingering: defaultdict[str, list[float]] = defaultdict(list)

    def enter(self, user: str, limits: Limits) -> bool:
        """Count one download more, unless that is over the limit."""
        now = time.monotonic()
        lingering = [end for end in self._lingering[user] if end > now]
        self._lingering[user] = lingering
        counted = self._open[user] + len(lingering)
        if limits.connections is not None and counted >= limits.connections:
            return False
        self._open[user] += 1
        self.most = max(self.most, self._open[user])
        return True

    def leave(self, user: str, limits: Limits) -> None:
        """A download has ended: forget it, when the lag is over."""
        self._open[user] -= 1
        if limits.lag > 0:
            self._lingering[user].append(time.monotonic() + limits.lag)
