"""Archives as the platform makes them, and as nobody should."""

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

from sandbox.faults import Fault
from sandbox.server import Sandbox
from stage_in.errors import ProductError, VerificationError
from stage_in.sources import zip as zipped
from stage_in.sources.product import Product
from stage_in.sources.zip import ZipSource
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.client import Client
from stage_in.transfer.credentials import Credentials
from stage_in.transfer.pacing import Pacing
from stage_in.transfer.trust import Trust

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
def open_archive(tmp_path: Path) -> Callable[[bytes], ZipSource]:
    """A source whose archive has arrived already."""

    class NoToken:
        def access_token(self) -> str:
            raise AssertionError("nothing is to be fetched")

        def refused(self, token: str) -> None:
            raise AssertionError("nothing is to be fetched")

    def open_(content: bytes) -> ZipSource:
        path = tmp_path / "product.zip"
        path.write_bytes(content)
        return ZipSource(PRODUCT, Client(Trust(), NoToken(), Pacing(1)), path, Arrivals())

    return open_


OpenArchive = Callable[[bytes], ZipSource]


def read(source: ZipSource, path: str) -> bytes:
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


def test_deflate_that_is_none(open_archive: OpenArchive) -> None:
    content = bytearray(pack((FILE, bytes(range(256)) * 8), method=zipfile.ZIP_DEFLATED))
    content[content.index(b"PK\3\4") + 30 + len(FILE)] ^= 0xFF
    with pytest.raises(VerificationError, match=r"manifest\.safe whole in the zip"):
        read(open_archive(bytes(content)), "manifest.safe")


@pytest.mark.parametrize("offset", [2**63 - 1, 2**63, 2**64 - 1])
def test_a_place_beyond_all_files(open_archive: OpenArchive, offset: int) -> None:
    """Of 64 bits, in an extra field (APPNOTE.TXT 4.5.3)."""
    content = bytearray(pack((FILE, b"x")))
    header, end = content.index(b"PK\1\2"), content.index(b"PK\5\6")
    struct.pack_into("<I", content, header + 42, 0xFFFFFFFF)
    struct.pack_into("<H", content, header + 30, 12)
    struct.pack_into("<I", content, end + 12, end - header + 12)
    content[end:end] = struct.pack("<HHQ", 1, 8, offset)
    with pytest.raises(VerificationError, match="expected"):
        read(open_archive(bytes(content)), "manifest.safe")


def test_an_extra_field_gives_no_other_name(open_archive: OpenArchive) -> None:
    """Python 3.13 takes the name from there, and with it what is a folder (APPNOTE.TXT 4.6.9)."""
    name = f"{NAME}/HTML/x"
    member = zipfile.ZipInfo(name)
    path = b"\x01" + struct.pack("<I", zlib.crc32(name.encode())) + f"{NAME}/../evil/".encode()
    member.extra = struct.pack("<HH", 0x7075, len(path)) + path
    content = pack((FILE, b"x"), (member, b"y"))
    if sys.version_info >= (3, 13):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.namelist()[1].endswith("evil/")
    source = open_archive(content)
    assert source.list_files() == {"manifest.safe": 1, "HTML/x": 1}
    assert read(source, "HTML/x") == b"y"


def test_another_name_before_the_bytes(open_archive: OpenArchive) -> None:
    """What zipfile says of it may be as long as that name, of 64 KiB."""
    content = bytearray(pack((FILE, b"x" * 60_000)))
    struct.pack_into("<H", content, 26, 60_000)
    with pytest.raises(VerificationError, match=r"manifest\.safe whole in the zip") as caught:
        read(open_archive(bytes(content)), "manifest.safe")
    assert len(str(caught.value)) < 400


def test_more_members_than_files_in_a_product(open_archive: OpenArchive) -> None:
    source = open_archive(pack(*((f"{NAME}/{number}", b"") for number in range(10_001))))
    with pytest.raises(VerificationError, match=r"at most 10000 members .* found 10001"):
        source.list_files()


def test_a_directory_of_many_megabytes_is_not_read(open_archive: OpenArchive) -> None:
    """It is as long as the end of the archive says: here as long as all there is."""
    content = bytearray(pack((FILE, bytes(5_000_000))))
    end = content.rindex(b"PK\5\6")
    struct.pack_into("<II", content, end + 12, end, 0)
    with pytest.raises(VerificationError, match="one piece of it has 50"):
        open_archive(bytes(content)).list_files()


@pytest.fixture
def fetching(platform: Sandbox, tmp_path: Path) -> ZipSource:
    """A source whose archive is yet to come."""
    trust = Trust.from_settings(platform.environment["CDSE_TRUSTED_HOSTS"], "")
    client = Client(trust, Credentials(trust, access_token=platform.mint()), Pacing(1))
    product = Product(NAME, PRODUCT.uuid, platform.download)
    return ZipSource(product, client, tmp_path / "product.zip", Arrivals())


@pytest.mark.parametrize("framing", ["length", "close"])
def test_an_archive_without_end(
    fetching: ZipSource, platform: Sandbox, monkeypatch: pytest.MonkeyPatch, framing: str
) -> None:
    """The bound is lowered, as nobody sends 10 GB here."""
    monkeypatch.setattr(zipped, "MAX_PRODUCT_SIZE", 1_000_000)
    body = pack((FILE, bytes(5_000_000)))
    platform.faults.add(Fault(on="download", body=body, framing=framing))
    with pytest.raises(ProductError, match="of at most 1000000 bytes, found more") as caught:
        fetching.list_files()
    assert not caught.value.passing
    assert [path.name for path in Path(fetching._archive.parent).iterdir()] == []


def test_the_last_of_several_disks(fetching: ZipSource, platform: Sandbox) -> None:
    """zipfile finds it to be none by an exception of its own (APPNOTE.TXT 4.3.15)."""
    content = pack((FILE, b"x"))
    end = content.rindex(b"PK\5\6")
    locator = struct.pack("<4sIQI", b"PK\6\7", 1, end, 7)
    platform.faults.add(Fault(on="download", body=content[:end] + locator + content[end:]))
    with pytest.raises(VerificationError, match="expected a zip of"):
        fetching.list_files()


def test_the_file_is_closed_with_the_last_reader(open_archive: OpenArchive) -> None:
    source = open_archive(pack((FILE, b"x" * 600_000)))
    with source.open("manifest.safe") as chunks:
        first = next(iter(chunks))
        assert source._opened is not None
        file = source._opened.archive.fp._file
        source._discard()
        assert len(first + b"".join(chunks)) == 600_000
    del chunks
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)
