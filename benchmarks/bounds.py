"""How fast staging can be at all, by arithmetic."""

import heapq
from collections.abc import Iterable

from sandbox.limits import Limits


def get_floor(sizes: Iterable[int], limits: Limits) -> float | None:
    """Return the seconds that the bytes take when all connections are busy all the time.

    Args:
        sizes: bytes of each file.
        limits: what the service grants.

    Returns:
        None where it grants any speed.
    """
    if limits.rate is None or limits.connections is None:
        return None
    return sum(sizes) / (limits.rate * limits.connections)


def get_whole_file_bound(sizes: Iterable[int], limits: Limits) -> float | None:
    """Return the seconds that the files take when each comes whole, over one connection.

    The next file, the largest first, goes to the connection that is free first. A file occupies
    it until its first byte, while its bytes arrive, and for as long as the service lags behind.

    Args:
        sizes: bytes of each file.
        limits: what the service grants.

    Returns:
        None where it grants any speed.
    """
    if limits.rate is None or limits.connections is None:
        return None
    free = [0.0] * limits.connections
    end = 0.0
    for size in sorted(sizes, reverse=True):
        arrived = heapq.heappop(free) + limits.latency + size / limits.rate
        heapq.heappush(free, arrived + limits.lag)
        end = max(end, arrived)
    return end
