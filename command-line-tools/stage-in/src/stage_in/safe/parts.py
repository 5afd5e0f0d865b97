"""A file that arrives in parts: written where they belong, hashed as far as it is contiguous."""

import errno
import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from stage_in.disk import make_folder, share, writing
from stage_in.errors import VerificationError
from stage_in.safe.manifest import Entry

Range = tuple[int, int]  # the first byte, and the byte after the last

# The end of what was written to a file is known up to a block of the file system.
_BLOCK = 1024 * 1024  # bytes
_READ_SIZE = 256 * 1024  # bytes
_READS_PER_WRITE = 4  # so that the hash catches up, and no download waits long for it


class Part:
    """One part of a file.

    Attributes:
        position: the next byte to write.
        end: the byte after the last.
    """

    def __init__(self, start: int, end: int) -> None:
        self.position = start
        self.end = end

    @property
    def size(self) -> int:
        """How many bytes are missing."""
        return self.end - self.position


class PartedFile:
    """A file whose missing parts arrive in parallel, each from one thread."""

    def __init__(self, path: Path, entry: Entry, missing: Iterable[Range]) -> None:
        """Make the file as long as it will be.

        Args:
            path: the file. What it holds outside of the missing parts is kept.
            entry: what the file must be; it has a digest.
            missing: the parts, in order.

        Raises:
            OutputError: the file can't be written.
        """
        self.entry = entry
        self.parts = [Part(start, end) for start, end in missing]
        self._path = path
        self._digest = hashlib.new(entry.algorithm or "")
        self._hashed = 0
        self._hashing = threading.Lock()
        self._unfinished = len(self.parts)
        self._lock = threading.Lock()
        with writing(path):
            make_folder(path.parent)
            is_new = not path.exists()
            with path.open("ab") as file:
                file.truncate(entry.size)
            if is_new:
                share(path)

    def write(self, part: Part, chunks: Iterable[bytes], start: int) -> None:
        """Write the chunks of a part. If they end early, what has arrived stays.

        Args:
            part: one of the parts.
            chunks: bytes of the file, in order; those before and behind the part are ignored.
            start: how many bytes of the file come before the chunks.

        Raises:
            VerificationError: the chunks end before the part does.
            OutputError: the file can't be written.
        """
        with writing(self._path), self._path.open("r+b", buffering=0) as file:
            for chunk in chunks:
                wanted = chunk[max(part.position - start, 0) : part.end - start]
                start += len(chunk)
                written = 0
                while written < len(wanted):
                    written += os.pwrite(file.fileno(), wanted[written:], part.position + written)
                part.position += len(wanted)
                self._advance(file.fileno(), _READS_PER_WRITE)
                if start >= part.end:
                    break
        if part.size:
            raise VerificationError(
                f"the last {part.size} bytes of {self.entry.path} up to {part.end} did not arrive"
            )

    def finish(self) -> bool:
        """Record that a part is complete; tell whether it was the last one."""
        with self._lock:
            self._unfinished -= 1
            return not self._unfinished

    def verify(self) -> None:
        """Compare the complete file with its entry; a file that differs is removed.

        Raises:
            VerificationError: the digest differs.
            OutputError: the file can't be read or removed.
        """
        with writing(self._path), self._path.open("rb") as file:
            self._advance(file.fileno(), None)
        found = self._digest.hexdigest()
        if found != self.entry.digest:
            with writing(self._path):
                self._path.unlink(missing_ok=True)
            raise VerificationError(
                f"the {self.entry.algorithm} of {self.entry.path} must begin with "
                f"{self.entry.digest:.16}, as in manifest.safe, but begins with {found:.16}"
            )

    def _advance(self, file: int, reads: int | None) -> None:
        """Hash some more of what has arrived without a gap, unless another thread is at it."""
        if not self._hashing.acquire(blocking=reads is None):
            return
        try:
            while reads is None or reads > 0:
                unfinished = (part.position for part in self.parts if part.size)
                contiguous = next(unfinished, self.entry.size)
                chunk = os.pread(file, min(_READ_SIZE, contiguous - self._hashed), self._hashed)
                if not chunk:
                    return
                self._digest.update(chunk)
                self._hashed += len(chunk)
                reads = None if reads is None else reads - 1
        finally:
            self._hashing.release()


def find_missing(path: Path, size: int) -> list[Range]:
    """Return the parts of a file that no earlier run has written, in order.

    A file that arrives in parts has holes where they are missing. File systems that don't know of
    holes show none; then the digest shows that the file is not complete.

    Args:
        path: the file, which need not exist.
        size: bytes of the complete file.

    Raises:
        OutputError: it can't be read.
    """
    with writing(path):
        if not path.exists():
            return [(0, size)]
        with path.open("rb") as file:
            written = [*_find_written(file.fileno())]
    missing = []
    position = 0
    for start, end in [*written, (size, size)]:
        if position < start:
            missing.append((position, min(start, size)))
        position = max(position, end)
    return missing


def cut(path: Path, size: int) -> None:
    """Keep only the beginning of a file, if it exists.

    Raises:
        OutputError: it can't be written.
    """
    with writing(path):
        if path.exists() and path.stat().st_size > size:
            os.truncate(path, size)


def _find_written(file: int) -> Iterator[Range]:
    """Iterate over the ranges of a file that hold data, without blocks that may not be complete."""
    size = os.fstat(file).st_size
    position = 0
    while position < size:
        try:
            start = os.lseek(file, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # the file system can't tell
                yield position, size
            return  # there is no more data
        position = os.lseek(file, start, os.SEEK_HOLE)
        end = position if position >= size else position // _BLOCK * _BLOCK
        if start < end:
            yield start, end
