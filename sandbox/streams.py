"""Changes to a response body while it is sent. Each function transforms a stream of chunks."""

from __future__ import annotations

import asyncio
import time

from sandbox.body import Chunks, CloseConnection

Position = int | float | str
NAMED_POSITIONS = ("start", "middle", "last")

# A throttled connection is silent between two chunks for at most this many seconds.
MAX_SILENCE = 0.05


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


async def throttle(source: Chunks, rate: float) -> Chunks:
    """Send a body evenly at a number of bytes per second, never faster than that."""
    step = max(1, int(rate * MAX_SILENCE))
    start = time.monotonic()
    passed = 0
    async for chunk in source:
        for first in range(0, len(chunk), step):
            piece = chunk[first : first + step]
            passed += len(piece)
            await asyncio.sleep(max(0.0, start + passed / rate - time.monotonic()))
            yield piece


async def stall(source: Chunks, at: int, seconds: float) -> Chunks:
    """Send nothing for a number of seconds once an offset is reached."""
    async for chunk in source:
        for before, piece in _split(chunk, at):
            if not before:
                await asyncio.sleep(seconds)
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
