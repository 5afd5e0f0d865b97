"""The product in a mounted archive: files that are copied and verified like downloads."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stage_in.disk import OPEN_FOLDER, describe_kind, walk
from stage_in.errors import (
    ArchiveMissingError,
    NotFoundError,
    StageInError,
    TemporaryError,
    UnauthorizedError,
    VerificationError,
)
from stage_in.machine import is_machine_fault
from stage_in.safe.manifest import MAX_FILES, Entry
from stage_in.safe.parts import Range
from stage_in.safe.paths import check_path
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.response import CHUNK_SIZE

_MISSING = {errno.ENOENT, errno.ENOTDIR}


class MountSource:
    """Delivers the files of a product from a folder of a mounted archive.

    A mount is no more reliable than the network behind it: a file system of S3 shows a file as
    empty after a refusal and turns a cut into an I/O error; NFS reports stale file handles. No link
    inside of the product's folder is followed, because it could point to any file of this machine.
    """

    may_list_less = True

    def __init__(self, folder: Path, arrivals: Arrivals, connections: int) -> None:
        """Prepare; nothing is read yet.

        Args:
            folder: the SAFE folder in the mounted archive.
            arrivals: counts the bytes.
            connections: how many files to read in parallel.
        """
        self.connections = connections
        self._folder = folder
        self.name = "mount"
        self.label = f"the mounted archive, {folder}, which CDSE_EODATA names"
        self._arrivals = arrivals

    def expect(self, entries: Iterable[Entry], product_size: int) -> None:
        """Set how many bytes will be read."""
        self._arrivals.expect(sum(entry.size for entry in entries))

    def list_files(self) -> dict[str, int]:
        """Return the size in bytes of each file, by its path below the SAFE folder.

        Raises:
            VerificationError: there is something other than plain files and folders.
            StageInError: as for `open`.
        """
        files: dict[str, int] = {}
        with _translated_errors(self._folder):
            for path, status in walk(self._folder):
                check_path(path, str(self._folder))
                if stat.S_ISREG(status.st_mode):
                    files[path] = status.st_size
                elif not stat.S_ISDIR(status.st_mode):
                    raise VerificationError(
                        f"the folder {self._folder} must contain only files and folders, but there "
                        f"is {describe_kind(status)} at {path}"
                    )
                if len(files) > MAX_FILES:
                    raise VerificationError(
                        f"the folder {self._folder} must have at most {MAX_FILES} files, but has "
                        "more"
                    )
        return files

    def split(self, entry: Entry, missing: list[Range]) -> list[Range]:
        """Return one part, the whole file."""
        return [(0, entry.size)]

    @contextmanager
    def open(self, path: str, start: int = 0, end: int | None = None) -> Iterator["MountedFile"]:
        """Open one file of the product as chunks, always from its start to its end.

        Raises:
            ArchiveMissingError: the archive is not there.
            NotFoundError: the file is not there.
            TemporaryError: it can't be opened now.
            VerificationError: it is not a plain file, or a link leads to it.
        """
        file = self._folder / path
        with _translated_errors(file):
            try:
                descriptor = _open_below(self._folder, path)
            except (FileNotFoundError, NotADirectoryError):
                self._check_archive()
                raise
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise VerificationError(
                    f"there must be a plain file at {file} in the mounted archive, but there is "
                    "something else"
                )
            yield MountedFile(descriptor, file, self._arrivals)
        finally:
            os.close(descriptor)

    def _check_archive(self) -> None:
        """Check that the archive is mounted; otherwise every product seems to be missing."""
        archive = self._folder.parents[6]  # above Sentinel-2/MSI/L1C/<year>/<month>/<day>
        if not (archive / "Sentinel-2").is_dir():
            raise ArchiveMissingError(
                f"there is no folder Sentinel-2 in {archive}, which CDSE_EODATA names. "
                "Mount the archive, or set CDSE_EODATA to the folder that contains Sentinel-2"
            )


class MountedFile:
    """The chunks of a file in a mounted archive."""

    start = 0

    def __init__(self, descriptor: int, path: Path, arrivals: Arrivals) -> None:
        self._descriptor = descriptor
        self._path = path
        self._arrivals = arrivals

    def __iter__(self) -> Iterator[bytes]:
        position = 0
        while True:
            with _translated_errors(self._path):
                chunk = os.pread(self._descriptor, CHUNK_SIZE, position)
            if not chunk:
                return
            position += len(chunk)
            self._arrivals.record(str(self._path), position)
            yield chunk


def _open_below(folder: Path, path: str) -> int:
    """Open a file without following a link below the folder."""
    *parents, name = path.split("/")
    descriptor = os.open(folder, OPEN_FOLDER)
    try:
        for parent in parents:
            inner = os.open(parent, OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        # Without O_NONBLOCK, opening a named pipe would wait for a writer.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        return os.open(name, flags, dir_fd=descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated_errors(path: Path) -> Iterator[None]:
    """Translate the errors of a mounted file system.

    Raises:
        StageInError: in place of an OSError, unless this machine is to blame.
    """
    try:
        yield
    except OSError as error:
        if is_machine_fault(error):
            raise
        raise _translate(error, path) from error


def _translate(error: OSError, path: Path) -> StageInError:
    found = error.strerror or str(error)
    if error.errno == errno.EACCES:
        return UnauthorizedError(f"can't read {path} in the mounted archive: {found}")
    if error.errno in _MISSING:
        return NotFoundError(
            f"can't find {path} in the mounted archive: {found}. Check CDSE_EODATA"
        )
    if error.errno == errno.ELOOP:
        return VerificationError(
            f"there must be a plain file at {path} in the mounted archive, but there is a link"
        )
    return TemporaryError(f"can't read {path} in the mounted archive: {found}")
