"""The plan of a download: into how many parts each file is split so that all of them end soon."""

import heapq
from collections.abc import Iterable, Mapping

from stage_in.safe.parts import Range

MAX_PARTS = 4
# Parts start at multiples of this, so that no block of a file system holds bytes of two of them.
ALIGNMENT = 1024 * 1024  # bytes


def plan_parts(
    sizes: Mapping[str, int], connections: int, latency: float, rate: float
) -> dict[str, int]:
    """Return the number of parts of each file that is better split.

    The downloads are simulated, the largest first. The file that would end last is split as long as
    that makes the whole end earlier: each part costs the latency again.

    Args:
        sizes: bytes of each file.
        connections: how many downloads are open at a time.
        latency: seconds from a request to its first byte.
        rate: bytes/s of one download.
    """
    parts: dict[str, int] = {}

    def simulate(parts: Mapping[str, int]) -> tuple[float, str]:
        """Return when the last download ends, and of which file."""
        pieces = sorted(
            ((size / parts.get(path, 1), path) for path, size in sizes.items()), reverse=True
        )
        free = [0.0] * connections
        last = (0.0, "")
        for size, path in pieces:
            for _ in range(parts.get(path, 1)):
                end = free[0] + latency + size / rate
                heapq.heapreplace(free, end)
                last = max(last, (end, path))
        return last

    end, path = simulate(parts)
    while path:
        more = range(parts.get(path, 1) + 1, MAX_PARTS + 1)
        options = [(simulate({**parts, path: number}), number) for number in more]
        ((next_end, next_path), number) = min(options, default=((end, ""), 0))
        if next_end >= end:
            break
        parts[path] = number
        end, path = next_end, next_path
    return parts


def split(missing: Iterable[Range], number: int) -> list[Range]:
    """Split ranges of a file into parts of about the same size, at least one for each range."""
    ranges = [*missing]
    size = sum(end - start for start, end in ranges) / number
    parts = []
    for start, end in ranges:
        while end - start > 1.5 * size:
            middle = int(start + size) // ALIGNMENT * ALIGNMENT
            if middle <= start:
                break
            parts.append((start, middle))
            start = middle
        parts.append((start, end))
    return parts
