"""The product as one zip: a single stream, kept as a file and checked before it is unpacked."""

import threading
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stage_in.disk import share, writing
from stage_in.errors import ProductError, VerificationError
from stage_in.safe.manifest import MAX_PRODUCT_SIZE, Entry
from stage_in.safe.parts import Range
from stage_in.secrets import excerpt
from stage_in.sources.archive import Archive
from stage_in.sources.product import Product
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.client import Client
from stage_in.transfer.retries import MAX_ATTEMPTS
from stage_in.transfer.workers import Stopped

_MAX_START = 16 * 1024  # bytes, which hold a whole secret
_SIGNATURE = b"PK"  # the first bytes of each header of a zip


@dataclass(frozen=True)
class Member:
    """The chunks of one file in an archive."""

    chunks: Iterator[bytes]
    start: int = 0

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks


class ZipSource:
    """Delivers the files of a product from its zip.

    The platform makes the zip on the fly, stored, with data descriptors (CDSE documentation, FAQ).
    Only the central directory at its end lists its files, so it is downloaded completely before
    any file is read.
    """

    connections = 2  # the files are on disk already, so more threads do not help
    may_list_less = False  # it lists what it has, and reading a file that it lacks fails

    def __init__(self, product: Product, client: Client, archive: Path, arrivals: Arrivals) -> None:
        self._product = product
        self._client = client
        self._path = archive
        self._arrivals = arrivals
        self._archive: Archive | None = None
        self._lock = threading.Lock()
        self._is_closed = False
        self._useless = 0  # archives in a row that were discarded before a file was right
        self.name = "zip"
        self.label = f"the zip at {product.origin}"

    @property
    def is_complete(self) -> bool:
        """Whether the archive has arrived completely, in this run or an earlier one."""
        return self._path.exists()

    def expect(self, entries: Iterable[Entry], product_size: int) -> None:
        """Do nothing: the zip is always downloaded completely."""

    def list_files(self) -> dict[str, int]:
        """Return the size in bytes of each file, by its path below the SAFE folder.

        Raises:
            StageInError: as for `open`.
        """
        return self._get_archive().list_files()

    def split(self, entry: Entry, missing: list[Range]) -> list[Range]:
        """Return one part, the whole file."""
        return [(0, entry.size)]

    @contextmanager
    def open(self, path: str, start: int = 0, end: int | None = None) -> Iterator[Member]:
        """Open one file of the product as chunks, always from its start to its end.

        If what was read fails verification, here or inside of the `with`, the archive is discarded
        and the next call downloads it again. After three archives without a file that was right,
        the failure is not retryable: each file that is missing would cost three archives more.

        Raises:
            VerificationError: it is not a zip of the product, or a file in it is missing or
                damaged.
            ProductError: it has more bytes than a product can have.
            StageInError: the zip can't be downloaded.
        """
        archive = self._get_archive()
        try:
            yield Member(archive.read(path))
            self._useless = 0
        except VerificationError as error:
            if archive is self._archive:  # otherwise another thread has discarded it
                with self._lock:
                    if archive is self._archive:
                        self._discard()
            error.retryable = self._useless < MAX_ATTEMPTS
            raise

    def close(self) -> None:
        """Close the archive, before its folder is removed.

        This does not take the lock, which an abandoned thread may hold while it waits for a server.
        That thread ends with the next bytes that arrive.
        """
        self._is_closed = True
        archive, self._archive = self._archive, None
        if archive is not None:
            archive.close()

    def _get_archive(self) -> Archive:
        """Return the archive, downloaded completely and with members that are safe to unpack."""
        with self._lock:
            if self._archive is None:
                if not self._path.exists():
                    self._download()
                try:
                    self._archive = Archive(self._path, self._product.name)
                except VerificationError:
                    self._discard()
                    raise
            return self._archive

    def _discard(self) -> None:
        # Threads that are reading a member keep the file open until they have finished.
        self._archive = None
        self._useless += 1
        self._path.unlink(missing_ok=True)

    def _download(self) -> None:
        """Download the archive. What has arrived over a broken connection stays, to be resumed."""
        part = get_part(self._path)
        try:
            self._receive(part, part.stat().st_size if part.exists() else 0)
        except ProductError:
            part.unlink(missing_ok=True)
            raise
        with writing(part):
            part.replace(self._path)

    def _receive(self, part: Path, arrived: int) -> None:
        with self._client.download(self._product.zip_url, arrived, self._arrivals) as body:
            self._check_size(body.start + (body.length or 0))
            if body.length:
                self._arrivals.expect(body.start + body.length, self._product.zip_url, body.start)
            if self._is_closed:
                raise Stopped
            with writing(part), part.open("r+b" if body.start else "wb") as file:
                if not body.start:
                    share(part)
                file.seek(body.start)
                for chunk in body:
                    if self._is_closed:
                        raise Stopped
                    self._check_size(file.tell() + len(chunk))
                    file.write(chunk)
                    if file.tell() == len(chunk) and not _SIGNATURE.startswith(chunk[:2]):
                        break  # probably a page of HTML, which may have no end
                file.truncate()
        size = part.stat().st_size
        if not _is_zip(part):
            raise VerificationError(
                f"the server must send a zip of {self._product.id}, but sent {size} bytes of "
                f"{excerpt(body.media_type, 60) or 'unknown type'}: {_quote_start(part)}"
            )
        if body.length is not None and size != body.start + body.length:
            raise VerificationError(
                f"{size} bytes of the zip of {self._product.id} arrived, but its size is "
                f"{body.start + body.length}"
            )

    def _check_size(self, size: int) -> None:
        """Refuse an endless archive, whose every byte would count as progress."""
        if size > MAX_PRODUCT_SIZE:
            raise ProductError(
                f"the zip of {self._product.id} must have at most {MAX_PRODUCT_SIZE} bytes, but "
                "has more"
            )


def get_part(archive: Path) -> Path:
    """Return the path of an archive while it is arriving."""
    return archive.with_suffix(".part")


def _is_zip(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # an archive that claims to span several disks
        return False


def _quote_start(path: Path) -> str:
    with path.open("rb") as file:
        return repr(excerpt(file.read(_MAX_START), 40))
