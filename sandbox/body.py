"""Response bodies: bytes in memory and slices of files, whose size is known in advance."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from pathlib import Path

MAX_CHUNK = 256 * 1024


@dataclass(frozen=True)
class Slice:
    """Consecutive bytes of a file.

    Attributes:
        path: The file.
        start: Offset of the first byte.
        length: Number of bytes.
    """

    path: Path
    start: int
    length: int

    def __len__(self) -> int:
        return self.length


Piece = bytes | Slice
Body = tuple[Piece, ...]
Chunks = AsyncGenerator[bytes, None]
"""A body while it is streamed; it may raise CloseConnection or ResetConnection."""


def size(body: Iterable[Piece]) -> int:
    """Return the length of a body in bytes."""
    return sum(len(piece) for piece in body)


def part(body: Iterable[Piece], start: int, length: int) -> Body:
    """Return the pieces that make up ``length`` bytes of a body from offset ``start``."""
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
    """Yield a body in chunks of at most ``MAX_CHUNK`` bytes. Files are read lazily."""
    for piece in body:
        if isinstance(piece, Slice):
            with piece.path.open("rb") as file:
                file.seek(piece.start)
                left = piece.length
                while left and (data := file.read(min(MAX_CHUNK, left))):
                    left -= len(data)
                    yield data
        else:
            for start in range(0, len(piece), MAX_CHUNK):
                yield piece[start : start + MAX_CHUNK]


class CloseConnection(Exception):  # noqa: N818 (a signal to the sender, not an error)
    """The server must close the connection at this point of the body."""


class ResetConnection(Exception):  # noqa: N818 (a signal to the sender, not an error)
    """The server must reset the connection (RST) at this point of the body."""
