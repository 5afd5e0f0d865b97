"""The zip that the download service makes of a product while it sends it.

CDSE's zips are stored, not deflated, carry no entries for directories, and have one root folder,
``<name>.SAFE/`` (CDSE documentation, FAQ). They are written to a stream that cannot be rewound, so
the local headers give neither sizes nor CRCs: those follow the data (APPNOTE 4.3.9, flag bit 3).
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

from sandbox.body import Body, Piece, Slice, size

READ = 1024 * 1024


@dataclass(frozen=True)
class Archive:
    """A zip laid out, ready to be sent any number of times.

    Attributes:
        body: Its bytes: structure in memory, file data as slices of the files.
        size: Its length in bytes.
        md5: Lower-case hex MD5 of all its bytes.
    """

    body: Body
    size: int
    md5: str


class _Sink:
    """The stream that zipfile writes to: keeps the structure, lets file data pass.

    It has neither ``seek`` nor ``tell``, from which zipfile concludes that it must use data
    descriptors.
    """

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.digest = hashlib.md5(usedforsecurity=False)
        self.passing = False

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        if not self.passing:
            self.pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


def files(folder: Path) -> list[Path]:
    """All files below a folder, in an order that does not depend on the file system."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def pack(folder: Path, root: str) -> Archive:
    """Lay out the zip of a folder.

    Every file is read once, for its CRC; sending the result computes nothing. All entries carry
    the zip format's first date, so equal folders give equal bytes.

    Args:
        folder: What to pack.
        root: Name of the root folder inside the zip.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for path in files(folder):
            entry = zipfile.ZipInfo(f"{root}/{path.relative_to(folder).as_posix()}")
            entry.external_attr = 0o100644 << 16
            entry.file_size = path.stat().st_size  # lets zipfile choose zip64 where it must
            with archive.open(entry, "w") as member, path.open("rb") as file:
                sink.passing = True
                length = 0
                while data := file.read(READ):
                    length += member.write(data)
                sink.passing = False
                sink.pieces.append(Slice(path, 0, length))
    body = tuple(piece for piece in sink.pieces if len(piece))
    return Archive(body, size(body), sink.digest.hexdigest())
