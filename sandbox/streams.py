"""Changes to a response body while it is sent. Each function transforms a stream of chunks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from sandbox.body import Chunks, CloseConnection

Position = int | float | str
NAMED_POSITIONS = ("start", "middle", "last")

# A throttled connection is silent between two chunks for at most this many seconds.
MAX_SILENCE = 0.05

# A stall that is over ends after this many seconds at the latest.
CHECK_INTERVAL = 0.02


def offset(position: Position, length: int) -> int:
    """Convert a position in a body of the given length to an offset in bytes."""
    if isinstance(position, str):
        position = {"start": 0, "middle": length // 2, "last": length - 1}[position]
    elif isinstance(position, float):
        position = int(position * length)
    elif position < 0:
        position += length
    return max(0, min(position, length))


async def corrupt(source: Chunks, at: int) -> Chunks:
    """Flip all bits of the byte at an offset."""
    async for chunk in source:
        if 0 <= at < len(chunk):
            changed = bytearray(chunk)
            changed[at] ^= 0xFF
            yield bytes(changed)
        else:
            yield chunk
        at -= len(chunk)


async def lengthen(source: Chunks, extra: int) -> Chunks:
    """Append zeros to a body, then close the connection."""
    async for chunk in source:
        yield chunk
    yield bytes(extra)
    raise CloseConnection


async def throttle(source: Chunks, rate: float | Callable[[], float | None]) -> Chunks:
    """Send a body evenly at a number of bytes per second, never faster than that.

    Args:
        source: The body.
        rate: Bytes per second, or a function that returns those of the moment; None for no limit.
    """
    due = time.monotonic()
    async for chunk in source:
        first = 0
        while first < len(chunk):
            now_rate = rate() if callable(rate) else rate
            if now_rate is None:
                yield chunk[first:]
                break
            piece = chunk[first : first + max(1, int(now_rate * MAX_SILENCE))]
            first += len(piece)
            due += len(piece) / now_rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            yield piece


async def pause(seconds: float, is_over: Callable[[], bool]) -> None:
    """Wait for a number of seconds, or until it is over."""
    end = time.monotonic() + seconds
    while not is_over() and (left := end - time.monotonic()) > 0:
        await asyncio.sleep(min(left, CHECK_INTERVAL))


async def stall(
    source: Chunks, at: int, seconds: float, is_over: Callable[[], bool] = lambda: False
) -> Chunks:
    """Send nothing for a number of seconds, or until it is over, once an offset is reached."""
    async for chunk in source:
        for before, piece in _split(chunk, at):
            if not before:
                await pause(seconds, is_over)
                seconds = 0
            yield piece
        at -= len(chunk)


async def break_off(source: Chunks, at: int, how: type[Exception]) -> Chunks:
    """End a body early, at an offset, by raising ``how``."""
    async for chunk in source:
        for before, piece in _split(chunk, at):
            if not before:
                raise how
            yield piece
        at -= len(chunk)
    raise how


def _split(chunk: bytes, at: int) -> list[tuple[bool, bytes]]:
    """Split a chunk at an offset; each part comes with whether it lies before the offset."""
    if 0 < at < len(chunk):
        return [(True, chunk[:at]), (False, chunk[at:])]
    return [(at > 0, chunk)]
