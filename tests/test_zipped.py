"""Archives as the platform makes them, and as nobody should."""

import io
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import VerificationError
from app.pacing import Pacing
from app.product import Product
from app.progress import Progress
from app.transfer import Client
from app.trust import Trust
from app.zipped import ZippedSource

NAME = "S2A_MSIL1C_20240116T000741_N0510_R130_T51CVP_20240116T010505.SAFE"
PRODUCT = Product(NAME, "0" * 8 + "-0000-0000-0000-" + "0" * 12, "http://127.0.0.1:9")
FILE = f"{NAME}/manifest.safe"

Member = tuple[str | zipfile.ZipInfo, bytes]


class Unseekable(io.RawIOBase):
    """A file to which zipfile can only append: it then writes data descriptors."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.content += data
        return len(data)


def pack(*members: Member, method: int = zipfile.ZIP_STORED) -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", method) as archive:
            for member, content in members:
                archive.writestr(member, content)
        return file.getvalue()


def info(name: str, mode: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = mode << 16
    return member


@pytest.fixture
def open_archive(tmp_path: Path) -> Callable[[bytes], ZippedSource]:
    """A source whose archive has arrived already."""

    class NoToken:
        def access_token(self) -> str:
            raise AssertionError("nothing is to be fetched")

        def refused(self, token: str) -> None:
            raise AssertionError("nothing is to be fetched")

    def open_(content: bytes) -> ZippedSource:
        path = tmp_path / "product.zip"
        path.write_bytes(content)
        return ZippedSource(PRODUCT, Client(Trust(), NoToken(), Pacing(1)), path, Progress())

    return open_


OpenArchive = Callable[[bytes], ZippedSource]


def read(source: ZippedSource, path: str) -> bytes:
    with source.open(path) as chunks:
        return b"".join(chunks)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_with_folder_entries(open_archive: OpenArchive, method: int) -> None:
    content = pack(
        (f"{NAME}/", b""),
        (f"{NAME}/HTML/", b""),
        (FILE, b"manifest"),
        (f"{NAME}/a/b.jp2", b"x" * 300_000),
        method=method,
    )
    source = open_archive(content)
    assert source.list_files() == {"manifest.safe": 8, "a/b.jp2": 300_000}
    assert read(source, "manifest.safe") == b"manifest"
    assert read(source, "a/b.jp2") == b"x" * 300_000


def test_with_data_descriptors_and_no_folder_entries(open_archive: OpenArchive) -> None:
    sink = Unseekable()
    with zipfile.ZipFile(sink, "w") as archive:  # type: ignore[arg-type]
        archive.writestr(FILE, b"manifest")
        archive.writestr(f"{NAME}/b", b"b" * 1000)
    flags, _, _, _, crc, size = struct.unpack_from("<HHHHII", sink.content, 6)
    assert (flags & 8, crc, size) == (8, 0, 0)
    source = open_archive(bytes(sink.content))
    assert source.list_files() == {"manifest.safe": 8, "b": 1000}
    assert read(source, "b") == b"b" * 1000


HOSTILE_NAMES = {
    "parent": f"{NAME}/../evil",
    "parents": f"{NAME}/a/../../../evil",
    "absolute": "/etc/passwd",
    "back-slash": f"{NAME}\\..\\evil",
    "drive": "C:/evil",
    "twice the slash": f"{NAME}//evil",
    "dot": f"{NAME}/./evil",
    "control": f"{NAME}/a\x1b[2Jb",
    "line end": f"{NAME}/a\nb",
    "direction": f"{NAME}/a\u202egpj.b",
    "too long": f"{NAME}/{'x' * 300}",
    "another folder": "S2A_OTHER.SAFE/x",
    "look-alike folder": f"{NAME.lower()}/x",
    "no folder": "manifest.safe",
    "the folder as a file": NAME,
}


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
def test_names_that_leave_or_mislead(open_archive: OpenArchive, name: str) -> None:
    source = open_archive(pack((FILE, b"x"), (name, b"evil")))
    with pytest.raises(VerificationError, match="expected"):
        source.list_files()


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
def test_files_that_would_be_one(open_archive: OpenArchive, one: str, other: str) -> None:
    source = open_archive(pack((f"{NAME}/{one}", b"1"), (f"{NAME}/{other}", b"2")))
    with pytest.raises(VerificationError, match="expected"):
        source.list_files()


def test_a_name_with_a_nul(open_archive: OpenArchive) -> None:
    content = pack((FILE, b"x"), (f"{NAME}/evil_.jp2", b"x")).replace(b"evil_", b"evil\0")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist()[1] == f"{NAME}/evil"  # what the standard library makes of it
    with pytest.raises(VerificationError, match="plain relative path"):
        open_archive(content).list_files()


@pytest.mark.parametrize(
    "mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK, stat.S_IFDIR]
)
def test_what_is_no_file(open_archive: OpenArchive, mode: int) -> None:
    source = open_archive(pack((FILE, b"x"), (info(f"{NAME}/x", mode), b"/etc/passwd")))
    with pytest.raises(VerificationError, match="expected a plain file"):
        source.list_files()


def test_encrypted(open_archive: OpenArchive) -> None:
    content = bytearray(pack((FILE, b"x")))
    content[content.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(VerificationError, match="encrypted"):
        open_archive(bytes(content)).list_files()


def test_unknown_method(open_archive: OpenArchive) -> None:
    source = open_archive(pack((FILE, b"x" * 100), method=zipfile.ZIP_LZMA))
    with pytest.raises(VerificationError, match="stored or deflated"):
        source.list_files()


def test_overlapping(open_archive: OpenArchive) -> None:
    content = bytearray(pack((FILE, b"x" * 50), (f"{NAME}/bomb", b"y" * 50)))
    second = content.rindex(b"PK\1\2")
    struct.pack_into("<I", content, second + 42, 0)  # its local header is the first's
    with pytest.raises(VerificationError, match="expected members one after another"):
        open_archive(bytes(content)).list_files()


def test_members_that_reach_into_the_next(open_archive: OpenArchive) -> None:
    content = bytearray(pack((FILE, b"x" * 50), (f"{NAME}/b", b"y" * 50)))
    first = content.index(b"PK\1\2")
    struct.pack_into("<II", content, first + 20, 90, 90)
    with pytest.raises(VerificationError, match="expected members one after another"):
        open_archive(bytes(content)).list_files()


def test_more_than_announced(open_archive: OpenArchive) -> None:
    content = bytearray(pack((FILE, b"x" * 5000), method=zipfile.ZIP_DEFLATED))
    struct.pack_into("<I", content, content.index(b"PK\1\2") + 24, 10)
    source = open_archive(bytes(content))
    assert source.list_files() == {"manifest.safe": 10}
    with pytest.raises(VerificationError, match=r"expected manifest.safe whole"):
        read(source, "manifest.safe")


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"PK\5\6" + bytes(18), pack((FILE, b"x"))[:-10], b"PK\3\4" + bytes(100)],
)
def test_what_is_no_archive(open_archive: OpenArchive, content: bytes) -> None:
    source = open_archive(content)
    with pytest.raises(VerificationError, match="expected"):
        read(source, "manifest.safe")


def test_a_wrong_archive_is_not_asked_twice(open_archive: OpenArchive, tmp_path: Path) -> None:
    content = bytearray(pack((FILE, b"x" * 500)))
    content[200] ^= 1
    source = open_archive(bytes(content))
    with pytest.raises(VerificationError, match="CRC"):
        read(source, "manifest.safe")
    assert not list(tmp_path.iterdir())


def test_what_the_checks_behind_find_wrong_discards_it_too(
    open_archive: OpenArchive, tmp_path: Path
) -> None:
    source = open_archive(pack((FILE, b"x")))
    with pytest.raises(VerificationError), source.open("manifest.safe"):
        raise VerificationError("a digest is another")
    assert not list(tmp_path.iterdir())
