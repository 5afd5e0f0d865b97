"""A zip on disk whose members have been checked, so that reading them is safe."""

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from stage_in.errors import VerificationError
from stage_in.safe.manifest import MAX_FILES
from stage_in.safe.name import ProductName
from stage_in.safe.paths import check_distinct, check_path
from stage_in.secrets import excerpt
from stage_in.transfer.response import CHUNK_SIZE

_ENCRYPTED = 0x1 | 0x40 | 0x2000  # APPNOTE.TXT 4.4.4: encryption, strong encryption, masked headers
_LOCAL_HEADER_SIZE = 30  # bytes of a local file header before the name (APPNOTE.TXT 4.3.7)
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_MAX_READ = 4 * 1024 * 1024  # bytes; central directories of products have about 25 KB
# What zipfile and the modules that it uses raise for malformed archives and failing disks.
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, NotImplementedError),
    *(RuntimeError, OSError),
)


class Archive:
    """The zip of a product. It may be read from several threads."""

    def __init__(self, path: Path, product: ProductName) -> None:
        """Open an archive, and check the names and kinds of its members.

        An archive is refused, never repaired, if a member could leave the SAFE folder, hide behind
        another or unpack to more than it announces.

        Raises:
            VerificationError: it is not a zip, or is refused.
        """
        self._product = product
        try:
            self._zip = zipfile.ZipFile(_BoundedFile(path))
        except _UNREADABLE as error:
            raise VerificationError(
                f"the zip of {product} can't be read: {excerpt(error, 200)}"
            ) from error
        self._members = self._check_members(self._zip.infolist())

    def list_files(self) -> dict[str, int]:
        """Return the size in bytes of each file, by its path below the SAFE folder."""
        return {path: member.file_size for path, member in self._members.items()}

    def read(self, path: str) -> Iterator[bytes]:
        """Iterate over the chunks of a file.

        Raises:
            VerificationError: it is not there, or is damaged.
        """
        if path not in self._members:
            raise VerificationError(f"the file {path} is missing in the zip of {self._product}")
        try:
            with self._zip.open(self._members[path]) as file:
                while chunk := file.read(CHUNK_SIZE):
                    yield chunk
        except _UNREADABLE as error:
            raise VerificationError(
                f"{path} in the zip of {self._product} is damaged: {excerpt(error, 200)}"
            ) from error

    def close(self) -> None:
        """Close the file, once no thread is reading it any more."""
        self._zip.close()

    def _check_members(self, members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        product = self._product
        if len(members) > MAX_FILES:
            raise VerificationError(
                f"the zip of {product} must have at most {MAX_FILES} members, but has "
                f"{len(members)}"
            )
        files = {}
        for member in members:
            # `filename` is cut at a NUL, and from Python 3.13 on an extra field (0x7075) can
            # replace it. `orig_filename` is the name in the archive, also before the file's bytes.
            name = check_path(member.orig_filename.removesuffix("/"), f"the zip of {product}")
            is_folder = member.orig_filename.endswith("/")
            top, _, inner = name.partition("/")
            if top != product.folder:
                raise VerificationError(
                    f"the zip of {product} must contain only the folder {product.folder}, but "
                    f"contains {excerpt(top, 200)}"
                )
            _check_kind(member, name, stat.S_IFDIR if is_folder else stat.S_IFREG)
            if not is_folder:
                if inner in files or not inner:
                    raise VerificationError(
                        f"the zip must contain {name} once, as a file in {product.folder}, but "
                        "does not"
                    )
                files[inner] = member
        check_distinct(files)
        _check_overlap(members)
        return files


class _BoundedFile(io.RawIOBase):
    """A file of which no more than 4 MiB are read at once, whatever length a header announces.

    It is closed together with its last reader.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._position = 0
        self._size = os.fstat(self._file).st_size

    def read(self, size: int = -1, /) -> bytes:
        left = max(self._size - self._position, 0)
        wanted = left if size < 0 else min(size, left)
        if wanted > _MAX_READ:
            raise zipfile.BadZipFile(f"a header announces {wanted} bytes")
        content = os.pread(self._file, wanted, self._position) if wanted else b""
        self._position += len(content)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise zipfile.BadZipFile(f"a header points to position {base + offset}")
        self._position = base + offset
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


def _check_kind(member: zipfile.ZipInfo, name: str, expected: int) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in {0, expected}:
        raise VerificationError(
            f"the zip must contain only plain files and folders, but {name} has mode {kind:o}"
        )
    if member.flag_bits & _ENCRYPTED:
        raise VerificationError(f"the members of the zip must not be encrypted, but {name} is")
    if member.compress_type not in _METHODS:
        raise VerificationError(
            f"the members of the zip must be stored or deflated, but {name} has method "
            f"{member.compress_type}"
        )


def _check_overlap(members: list[zipfile.ZipInfo]) -> None:
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < end:
            raise VerificationError(
                f"the members of the zip must come one after another, but {member.orig_filename} "
                "is inside another"
            )
        # A lower bound: only the local header contains the length of its extra field.
        name = len(member.orig_filename.encode())
        end = member.header_offset + _LOCAL_HEADER_SIZE + name + member.compress_size
