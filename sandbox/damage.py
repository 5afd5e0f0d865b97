"""What can happen to a body on its way: each is a change of the stream of its chunks."""

from __future__ import annotations

import asyncio
import time

from sandbox.body import Chunks, CutError

Position = int | float | str
NAMED = ("start", "middle", "last")

# how long a throttled connection is silent between two pieces, at most
BEAT = 0.05


def offset(position: Position, length: int) -> int:
    """A position in a body of this length as a number of bytes from its start."""
    if isinstance(position, str):
        position = {"start": 0, "middle": length // 2, "last": length - 1}[position]
    elif isinstance(position, float):
        position = int(position * length)
    elif position < 0:
        position += length
    return max(0, min(position, length))


async def corrupted(source: Chunks, at: int) -> Chunks:
    """A body with all bits of one byte flipped."""
    async for chunk in source:
        if 0 <= at < len(chunk):
            changed = bytearray(chunk)
            changed[at] ^= 0xFF
            yield bytes(changed)
        else:
            yield chunk
        at -= len(chunk)


async def lengthened(source: Chunks, extra: int) -> Chunks:
    """A body with zeros appended, after which the connection closes."""
    async for chunk in source:
        yield chunk
    yield bytes(extra)
    raise CutError


async def paced(source: Chunks, rate: float) -> Chunks:
    """A body at a number of bytes per second, smoothly, and never ahead of the clock."""
    step = max(1, int(rate * BEAT))
    start = time.monotonic()
    passed = 0
    async for chunk in source:
        for first in range(0, len(chunk), step):
            piece = chunk[first : first + step]
            passed += len(piece)
            await asyncio.sleep(max(0.0, start + passed / rate - time.monotonic()))
            yield piece


async def stalled(source: Chunks, at: int, seconds: float) -> Chunks:
    """A body with a silence in it."""
    async for chunk in source:
        for before, piece in _divided(chunk, at):
            if not before:
                await asyncio.sleep(seconds)
                seconds = 0
            yield piece
        at -= len(chunk)


async def ended(source: Chunks, at: int, end: type[Exception]) -> Chunks:
    """A body that ends too early."""
    async for chunk in source:
        for before, piece in _divided(chunk, at):
            if not before:
                raise end
            yield piece
        at -= len(chunk)
    raise end


def _divided(chunk: bytes, at: int) -> list[tuple[bool, bytes]]:
    """A chunk, in two if the offset is inside, each part with whether it lies before the offset."""
    if 0 < at < len(chunk):
        return [(True, chunk[:at]), (False, chunk[at:])]
    return [(at > 0, chunk)]
