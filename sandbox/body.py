"""Bodies of answers: bytes in memory and slices of files, sized without reading them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from pathlib import Path

CHUNK = 256 * 1024


@dataclass(frozen=True)
class Slice:
    """A run of bytes of a file.

    Attributes:
        path: The file.
        start: Offset of the first byte, in bytes.
        length: How many bytes.
    """

    path: Path
    start: int
    length: int

    def __len__(self) -> int:
        return self.length


Piece = bytes | Slice
Body = tuple[Piece, ...]
Chunks = AsyncGenerator[bytes, None]
"""A body on its way; it may end in CutError or ResetError."""


def size(body: Iterable[Piece]) -> int:
    """Length of a body in bytes."""
    return sum(len(piece) for piece in body)


def part(body: Iterable[Piece], start: int, length: int) -> Body:
    """The pieces that make up ``length`` bytes of a body from ``start`` on."""
    pieces: list[Piece] = []
    for piece in body:
        skip = min(start, len(piece))
        take = min(length, len(piece) - skip)
        start -= skip
        length -= take
        if take == 0:
            continue
        if isinstance(piece, Slice):
            pieces.append(Slice(piece.path, piece.start + skip, take))
        else:
            pieces.append(piece[skip : skip + take])
    return tuple(pieces)


async def chunks(body: Iterable[Piece]) -> Chunks:
    """A body as chunks of at most 256 KiB; files are read as they are asked for."""
    for piece in body:
        if isinstance(piece, Slice):
            with piece.path.open("rb") as file:
                file.seek(piece.start)
                left = piece.length
                while left and (data := file.read(min(CHUNK, left))):
                    left -= len(data)
                    yield data
        else:
            for start in range(0, len(piece), CHUNK):
                yield piece[start : start + CHUNK]


class CutError(Exception):
    """The connection is to be closed here."""


class ResetError(Exception):
    """The connection is to be reset here."""
