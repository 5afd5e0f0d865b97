"""Archives as the platform makes them, and archives that must be refused."""

import gc
import io
import os
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from stage_in.errors import VerificationError
from stage_in.safe.name import ProductName
from stage_in.sources.archive import Archive, _BoundedFile
from tests.sources.archives import MANIFEST, NAME, pack

DAMAGED = r"manifest\.safe in the zip of S2A\S+ is damaged"


class Unseekable(io.RawIOBase):
    """A file to which zipfile can only append, so that it writes data descriptors."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.content += data
        return len(data)


def make_member(name: str, mode: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = mode << 16
    return member


OpenArchive = Callable[[bytes], Archive]


@pytest.fixture
def open_archive(tmp_path: Path) -> OpenArchive:
    def open_archive(content: bytes) -> Archive:
        path = tmp_path / "product.zip"
        path.write_bytes(content)
        return Archive(path, ProductName.parse(NAME))

    return open_archive


def read(archive: Archive, path: str) -> bytes:
    return b"".join(archive.read(path))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_with_folder_entries(open_archive: OpenArchive, method: int) -> None:
    content = pack(
        (f"{NAME}/", b""),
        (f"{NAME}/HTML/", b""),
        (MANIFEST, b"manifest"),
        (f"{NAME}/a/b.jp2", b"x" * 300_000),
        method=method,
    )
    opened = open_archive(content)
    assert opened.list_files() == {"manifest.safe": 8, "a/b.jp2": 300_000}
    assert read(opened, "manifest.safe") == b"manifest"
    assert read(opened, "a/b.jp2") == b"x" * 300_000


def test_with_data_descriptors_and_no_folder_entries(open_archive: OpenArchive) -> None:
    sink = Unseekable()
    with zipfile.ZipFile(sink, "w") as archive:  # type: ignore[arg-type]
        archive.writestr(MANIFEST, b"manifest")
        archive.writestr(f"{NAME}/b", b"b" * 1000)
    flags, _, _, _, crc, size = struct.unpack_from("<HHHHII", sink.content, 6)
    assert (flags & 8, crc, size) == (8, 0, 0)
    opened = open_archive(bytes(sink.content))
    assert opened.list_files() == {"manifest.safe": 8, "b": 1000}
    assert read(opened, "b") == b"b" * 1000


HOSTILE_NAMES = {
    "parent": f"{NAME}/../evil",
    "parents": f"{NAME}/a/../../../evil",
    "absolute": "/etc/passwd",
    "backslash": f"{NAME}\\..\\evil",
    "drive": "C:/evil",
    "double slash": f"{NAME}//evil",
    "dot": f"{NAME}/./evil",
    "control": f"{NAME}/a\x1b[2Jb",
    "line end": f"{NAME}/a\nb",
    "text direction": f"{NAME}/a\u202egpj.b",
    "too long": f"{NAME}/{'x' * 300}",
    "another folder": "S2A_OTHER.SAFE/x",
    "similar folder": f"{NAME.lower()}/x",
    "no folder": "manifest.safe",
    "the folder as a file": NAME,
}


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
def test_names_that_leave_the_folder_or_mislead(open_archive: OpenArchive, name: str) -> None:
    with pytest.raises(VerificationError, match=r"must|can't|missing|arrived"):
        open_archive(pack((MANIFEST, b"x"), (name, b"evil")))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a", "a"),
        ("a", "A"),
        ("stra\u00dfe", "STRASSE"),
        ("\u00e9", "e\u0301"),
        ("a", "a/b"),
        ("A", "a/b"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_of_one_file(open_archive: OpenArchive, one: str, other: str) -> None:
    content = pack((f"{NAME}/{one}", b"1"), (f"{NAME}/{other}", b"2"))
    with pytest.raises(VerificationError, match=r"must|can't|missing|arrived"):
        open_archive(content)


def test_a_name_with_a_nul(open_archive: OpenArchive) -> None:
    content = pack((MANIFEST, b"x"), (f"{NAME}/evil_.jp2", b"x")).replace(b"evil_", b"evil\0")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist()[1] == f"{NAME}/evil"  # as the standard library reads it
    with pytest.raises(VerificationError, match="plain and relative"):
        open_archive(content)


@pytest.mark.parametrize(
    "mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK, stat.S_IFDIR]
)
def test_members_that_are_no_files(open_archive: OpenArchive, mode: int) -> None:
    content = pack((MANIFEST, b"x"), (make_member(f"{NAME}/x", mode), b"/etc/passwd"))
    with pytest.raises(VerificationError, match="only plain files"):
        open_archive(content)


def test_encrypted_members(open_archive: OpenArchive) -> None:
    content = bytearray(pack((MANIFEST, b"x")))
    content[content.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(VerificationError, match="encrypted"):
        open_archive(bytes(content))


def test_an_unknown_compression_method(open_archive: OpenArchive) -> None:
    content = pack((MANIFEST, b"x" * 100), method=zipfile.ZIP_LZMA)
    with pytest.raises(VerificationError, match="stored or deflated"):
        open_archive(content)


def test_members_at_the_same_offset(open_archive: OpenArchive) -> None:
    content = bytearray(pack((MANIFEST, b"x" * 50), (f"{NAME}/bomb", b"y" * 50)))
    second = content.rindex(b"PK\1\2")
    struct.pack_into("<I", content, second + 42, 0)  # the local header of the first member
    with pytest.raises(VerificationError, match=r"must come one after another"):
        open_archive(bytes(content))


def test_members_that_overlap(open_archive: OpenArchive) -> None:
    content = bytearray(pack((MANIFEST, b"x" * 50), (f"{NAME}/b", b"y" * 50)))
    first = content.index(b"PK\1\2")
    struct.pack_into("<II", content, first + 20, 90, 90)
    with pytest.raises(VerificationError, match=r"must come one after another"):
        open_archive(bytes(content))


def test_a_member_that_unpacks_to_more_than_announced(open_archive: OpenArchive) -> None:
    content = bytearray(pack((MANIFEST, b"x" * 5000), method=zipfile.ZIP_DEFLATED))
    struct.pack_into("<I", content, content.index(b"PK\1\2") + 24, 10)
    opened = open_archive(bytes(content))
    assert opened.list_files() == {"manifest.safe": 10}
    with pytest.raises(VerificationError, match=DAMAGED):
        read(opened, "manifest.safe")


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"PK\5\6" + bytes(18), pack((MANIFEST, b"x"))[:-10], b"PK\3\4" + bytes(100)],
    ids=["empty", "HTML", "no members", "truncated", "only a header"],
)
def test_files_that_are_no_archive(open_archive: OpenArchive, content: bytes) -> None:
    with pytest.raises(VerificationError, match=r"must|can't|missing|arrived"):
        read(open_archive(content), "manifest.safe")


def test_damaged_deflate_data(open_archive: OpenArchive) -> None:
    content = bytearray(pack((MANIFEST, bytes(range(256)) * 8), method=zipfile.ZIP_DEFLATED))
    content[content.index(b"PK\3\4") + 30 + len(MANIFEST)] ^= 0xFF
    with pytest.raises(VerificationError, match=DAMAGED):
        read(open_archive(bytes(content)), "manifest.safe")


@pytest.mark.parametrize("offset", [2**63 - 1, 2**63, 2**64 - 1])
def test_an_offset_beyond_the_file(open_archive: OpenArchive, offset: int) -> None:
    """The offset has 64 bits, in an extra field (APPNOTE.TXT 4.5.3)."""
    content = bytearray(pack((MANIFEST, b"x")))
    header, end = content.index(b"PK\1\2"), content.index(b"PK\5\6")
    struct.pack_into("<I", content, header + 42, 0xFFFFFFFF)
    struct.pack_into("<H", content, header + 30, 12)
    struct.pack_into("<I", content, end + 12, end - header + 12)
    content[end:end] = struct.pack("<HHQ", 1, 8, offset)
    with pytest.raises(VerificationError, match=DAMAGED):
        read(open_archive(bytes(content)), "manifest.safe")


def test_an_extra_field_cannot_replace_the_name(open_archive: OpenArchive) -> None:
    """Python 3.13 reads the name from this field if it is there (APPNOTE.TXT 4.6.9)."""
    name = f"{NAME}/HTML/x"
    member = zipfile.ZipInfo(name)
    path = b"\x01" + struct.pack("<I", zlib.crc32(name.encode())) + f"{NAME}/../evil/".encode()
    member.extra = struct.pack("<HH", 0x7075, len(path)) + path
    content = pack((MANIFEST, b"x"), (member, b"y"))
    if sys.version_info >= (3, 13):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.namelist()[1].endswith("evil/")
    opened = open_archive(content)
    assert opened.list_files() == {"manifest.safe": 1, "HTML/x": 1}
    assert read(opened, "HTML/x") == b"y"


def test_a_local_header_with_another_name(open_archive: OpenArchive) -> None:
    """zipfile quotes that name, which may have 64 KiB, in its message."""
    content = bytearray(pack((MANIFEST, b"x" * 60_000)))
    struct.pack_into("<H", content, 26, 60_000)
    with pytest.raises(VerificationError, match=DAMAGED) as caught:
        read(open_archive(bytes(content)), "manifest.safe")
    assert len(str(caught.value)) < 400


def test_too_many_members(open_archive: OpenArchive) -> None:
    content = pack(*((f"{NAME}/{number}", b"") for number in range(10_001)))
    with pytest.raises(VerificationError, match=r"at most 10000 members, but has 10001"):
        open_archive(content)


def test_a_huge_central_directory_is_not_read(open_archive: OpenArchive) -> None:
    """The end of the archive announces its length: here nearly the whole file."""
    content = bytearray(pack((MANIFEST, bytes(5_000_000))))
    end = content.rindex(b"PK\5\6")
    struct.pack_into("<II", content, end + 12, end, 0)
    with pytest.raises(VerificationError, match="a header announces 50"):
        open_archive(bytes(content))


def test_the_file_is_closed_after_the_last_reader(open_archive: OpenArchive) -> None:
    opened = open_archive(pack((MANIFEST, b"x" * 600_000)))
    chunks = opened.read("manifest.safe")
    first = next(chunks)
    fp = opened._zip.fp
    assert isinstance(fp, _BoundedFile)
    file = fp._file
    opened.close()
    assert len(first + b"".join(chunks)) == 600_000
    del chunks, fp, opened
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)
