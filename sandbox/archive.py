"""The zip that the download service makes of a product while it sends it.

CDSE's zips are stored, not deflated, have no entries for directories, and have one root folder,
``<name>.SAFE/`` (CDSE documentation, FAQ). They are written to a stream that cannot seek, so the
local headers contain neither sizes nor CRCs: data descriptors follow the data (APPNOTE 4.3.9,
flag bit 3).
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

from sandbox.body import Body, Piece, Slice, size

READ_SIZE = 1024 * 1024


@dataclass(frozen=True)
class Archive:
    """A zip that can be sent any number of times.

    Attributes:
        body: The zip's headers in memory, its file data as slices of the files.
        size: Length in bytes.
        md5: MD5 of all bytes, in lower-case hex.
    """

    body: Body
    size: int
    md5: str


class _Sink:
    """A stream that keeps the headers that zipfile writes, and drops the file data.

    It has neither ``seek`` nor ``tell``, so zipfile uses data descriptors.
    """

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.digest = hashlib.md5(usedforsecurity=False)
        self.keep = True

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        if self.keep:
            self.pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing; zipfile requires the method."""


def files(folder: Path) -> list[Path]:
    """List all files below a folder, in an order that does not depend on the file system."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def pack(folder: Path, root: str) -> Archive:
    """Lay out the zip of a folder.

    Every file is read once, for its CRC. All entries have the earliest date of the zip format, so
    equal folders give equal bytes.

    Args:
        folder: The folder to pack.
        root: Name of the root folder inside the zip.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for path in files(folder):
            entry = zipfile.ZipInfo(f"{root}/{path.relative_to(folder).as_posix()}")
            entry.external_attr = 0o100644 << 16
            entry.file_size = path.stat().st_size  # zipfile needs it to decide on zip64
            with archive.open(entry, "w") as member, path.open("rb") as file:
                sink.keep = False
                length = 0
                while data := file.read(READ_SIZE):
                    length += member.write(data)
                sink.keep = True
                sink.pieces.append(Slice(path, 0, length))
    body = tuple(piece for piece in sink.pieces if len(piece))
    return Archive(body, size(body), sink.digest.hexdigest())
