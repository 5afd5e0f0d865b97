"""The product as one zip: a single stream, kept as a file, checked before anything is unpacked."""

import io
import os
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stage_in.disk import writing
from stage_in.errors import ProductError, VerificationError
from stage_in.progress import Progress
from stage_in.safe.manifest import (
    MAX_FILES,
    MAX_PRODUCT_SIZE,
    Entry,
    check_distinct,
    check_path,
)
from stage_in.sources.product import Product
from stage_in.transfer.client import CHUNK, Client

_ENCRYPTED = 0x1 | 0x40 | 0x2000  # APPNOTE.TXT 4.4.4: encryption, strong, masked headers
_SIGNATURE = b"PK"  # of each of its headers
_LOCAL_HEADER = 30  # bytes of a local file header before the name (APPNOTE.TXT 4.3.7)
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_MAX_READ = 4 * 1024 * 1024  # bytes; central directories of products have about 25 KB
# What zipfile and those below it raise of what others wrote, or of a disk that fails.
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, NotImplementedError),
    *(RuntimeError, OSError),
)


@dataclass(frozen=True)
class Member:
    """The chunks of one file in an archive."""

    chunks: Iterator[bytes]
    start: int = 0

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks


class ZipSource:
    """Reads the files of a product out of its zip.

    The platform makes the zip on the fly, stored, with data descriptors (CDSE documentation, FAQ):
    only the central directory at its end says what is in it, so it is fetched whole before anything
    is read.
    """

    connections = 2  # members at once, which are there: two processors hash what one disk gives

    def __init__(self, product: Product, client: Client, archive: Path, progress: Progress) -> None:
        self._product = product
        self._client = client
        self._archive = archive
        self._progress = progress
        self._opened: _Opened | None = None
        self._lock = threading.Lock()

    def expect(self, entries: Iterable[Entry], whole: int) -> None:
        """Be told which files will be opened: whichever they are, the zip has come whole."""

    def list_files(self) -> dict[str, int]:
        """Return the size in bytes of each file, by its path below the SAFE folder.

        Raises:
            StageInError: as `open` does.
        """
        return {path: member.file_size for path, member in self._open().members.items()}

    @contextmanager
    def open(self, path: str, start: int = 0) -> Iterator[Member]:
        """Open one file of the product as chunks, always from its begin.

        If what was read turns out to be wrong, here or where the chunks are checked, the archive
        is discarded, and the next call fetches it anew.

        Raises:
            VerificationError: it is no zip of the product, or a file in it is missing or damaged.
            ProductError: it has more bytes than a product can have.
            StageInError: of the kind that a failure to fetch it is.
        """
        opened = self._open()
        try:
            yield Member(opened.read(path, self._product.id))
        except VerificationError:
            if opened is self._opened:  # if not, somebody is fetching another already
                with self._lock:
                    if opened is self._opened:
                        self._discard()
            raise

    def close(self) -> None:
        """Close the archive, before its folder is removed.

        Without the lock, which somebody may hold who waits for a server and is left behind.
        """
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.archive.close()

    def _open(self) -> "_Opened":
        """Have the archive on disk, whole and with members that can be unpacked safely."""
        with self._lock:
            if self._opened is None:
                if not self._archive.exists():
                    self._download()
                try:
                    self._opened = _open_archive(self._archive, self._product)
                except VerificationError:
                    self._discard()
                    raise
            return self._opened

    def _discard(self) -> None:
        # Whoever still reads a member keeps the file open; it goes when they are done.
        self._opened = None
        self._archive.unlink(missing_ok=True)

    def _download(self) -> None:
        """Fetch the archive; of a cut connection, what has arrived stays for the next try."""
        part = get_part(self._archive)
        try:
            self._receive(part, part.stat().st_size if part.exists() else 0)
        except ProductError:
            part.unlink(missing_ok=True)
            raise
        with writing(part):
            part.replace(self._archive)

    def _receive(self, part: Path, arrived: int) -> None:
        with self._client.download(self._product.zip_url, arrived) as body:
            self._check_size(body.start + (body.length or 0))
            if body.length:
                self._progress.expect(body.start + body.length, self._product.zip_url, body.start)
            with writing(part), part.open("r+b" if body.start else "wb") as file:
                file.seek(body.start)
                for chunk in body:
                    self._check_size(file.tell() + len(chunk))
                    file.write(chunk)
                    if file.tell() == len(chunk) and not _SIGNATURE.startswith(chunk[:2]):
                        break  # a page of HTML, maybe one without end
                file.truncate()
        size = part.stat().st_size
        if not _is_zip(part):
            raise VerificationError(
                f"expected a zip of {self._product.id}, found {size} bytes of "
                f"{body.media_type[:60] or 'unknown type'}: {_begin(part)}"
            )
        if body.length is not None and size != body.start + body.length:
            raise VerificationError(
                f"expected {body.start + body.length} bytes of the zip of {self._product.id}, "
                f"found {size}"
            )

    def _check_size(self, size: int) -> None:
        """Refuse an archive without end: each of its bytes would be progress."""
        if size > MAX_PRODUCT_SIZE:
            raise ProductError(
                f"expected a zip of {self._product.id} of at most {MAX_PRODUCT_SIZE} bytes, found "
                "more"
            )


def get_part(archive: Path) -> Path:
    """Return where an archive is while it is still arriving."""
    return archive.with_suffix(".part")


def _is_zip(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # of one that says that it spans several disks
        return False


def _begin(path: Path) -> str:
    with path.open("rb") as file:
        return repr(file.read(40).decode("ascii", "replace"))


class _Pieces(io.RawIOBase):
    """A file of which no more than a piece is read at once, however long others say it is.

    It is closed with its last reader.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._position = 0
        self._size = os.fstat(self._file).st_size

    def read(self, size: int = -1, /) -> bytes:
        left = max(self._size - self._position, 0)
        wanted = left if size < 0 else min(size, left)
        if wanted > _MAX_READ:
            raise zipfile.BadZipFile(f"one piece of it has {wanted} bytes")
        content = os.pread(self._file, wanted, self._position) if wanted else b""
        self._position += len(content)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if begin + offset < 0:
            raise zipfile.BadZipFile(f"something is at {begin + offset} of it")
        self._position = begin + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            os.close(self._file)
        super().close()


@dataclass(frozen=True)
class _Opened:
    """An archive whose members have been checked.

    Attributes:
        archive: safe to read from several threads.
        members: by path below the SAFE folder.
    """

    archive: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]

    def read(self, path: str, source: str) -> Iterator[bytes]:
        if path not in self.members:
            raise VerificationError(f"expected {path} in the zip of {source}, found none")
        try:
            with self.archive.open(self.members[path]) as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        except _UNREADABLE as error:
            raise VerificationError(
                f"expected {path} whole in the zip of {source}: {str(error)[:200]}"
            ) from error


def _open_archive(path: Path, product: Product) -> _Opened:
    """Open an archive, and check the names and kinds of its members.

    Whatever could leave the SAFE folder, hide a file behind another, or unpack to more than it
    announces is refused, never mended.
    """
    try:
        archive = zipfile.ZipFile(_Pieces(path))
    except _UNREADABLE as error:
        raise VerificationError(f"expected a zip of {product.id}: {str(error)[:200]}") from error
    members = archive.infolist()
    if len(members) > MAX_FILES:
        raise VerificationError(
            f"expected at most {MAX_FILES} members in the zip of {product.id}, found {len(members)}"
        )
    files = {}
    for member in members:
        # `filename` is cut at a NUL, and replaced by what an extra field says (0x7075) from Python
        # 3.13 on; `orig_filename` is what the archive says, in front of the file's bytes too.
        name = check_path(member.orig_filename.removesuffix("/"), f"the zip of {product.id}")
        is_folder = member.orig_filename.endswith("/")
        top, _, inner = name.partition("/")
        if top != product.name:
            raise VerificationError(
                f"expected one folder {product.name} in the zip of {product.id}, found {top[:200]}"
            )
        _check_kind(member, name, stat.S_IFDIR if is_folder else stat.S_IFREG)
        if not is_folder:
            if inner in files or not inner:
                raise VerificationError(f"expected {name} once, as a file in {product.name}")
            files[inner] = member
    check_distinct(files)
    _check_overlap(members)
    return _Opened(archive, files)


def _check_kind(member: zipfile.ZipInfo, name: str, expected: int) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in {0, expected}:
        raise VerificationError(f"expected a plain file or folder, found {name} with mode {kind:o}")
    if member.flag_bits & _ENCRYPTED:
        raise VerificationError(f"expected members that can be read, found {name} encrypted")
    if member.compress_type not in _METHODS:
        raise VerificationError(
            f"expected stored or deflated members, found {name} by method {member.compress_type}"
        )


def _check_overlap(members: list[zipfile.ZipInfo]) -> None:
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < end:
            raise VerificationError(
                f"expected members one after another, found {member.orig_filename} inside another"
            )
        # At least: how long the extra field of the local header is, only that header says.
        name = len(member.orig_filename.encode())
        end = member.header_offset + _LOCAL_HEADER + name + member.compress_size
