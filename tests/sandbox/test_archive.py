import hashlib
import io
import struct
import zipfile
from pathlib import Path

import pytest
import requests

from sandbox import archive, body
from sandbox.server import Sandbox

LOCAL = struct.Struct("<4s5H3L2H")


@pytest.fixture
def served(sandbox: Sandbox) -> requests.Response:
    product = sandbox.products[0]
    answer = requests.get(
        f"{sandbox.download}/odata/v1/Products({product.uuid})/$value",
        headers={"Authorization": f"Bearer {sandbox.mint()}"},
        timeout=10,
    )
    assert answer.status_code == 200
    return answer


def test_length_is_announced_and_kept(served: requests.Response) -> None:
    assert int(served.headers["Content-Length"]) == len(served.content)


def test_opens_and_holds_every_file_under_one_root(served: requests.Response, safe: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(served.content)) as opened:
        assert opened.testzip() is None
        found = {entry.filename: opened.read(entry) for entry in opened.infolist()}
    assert found == {
        f"{safe.name}/{path.relative_to(safe).as_posix()}": path.read_bytes()
        for path in safe.rglob("*")
        if path.is_file()
    }


def test_has_no_entries_for_directories(served: requests.Response) -> None:
    with zipfile.ZipFile(io.BytesIO(served.content)) as opened:
        assert not [name for name in opened.namelist() if name.endswith("/")]


def test_local_headers_tell_neither_size_nor_crc(served: requests.Response) -> None:
    raw = served.content
    with zipfile.ZipFile(io.BytesIO(raw)) as opened:
        entries = opened.infolist()
    assert entries
    for entry in entries:
        fields = LOCAL.unpack_from(raw, entry.header_offset)
        signature, _, flags, method, _, _, crc, packed, unpacked, name, extra = fields
        assert signature == b"PK\x03\x04"
        assert flags & 0b1000, "the sizes follow the data"
        assert (method, crc, packed, unpacked) == (zipfile.ZIP_STORED, 0, 0, 0)
        after = entry.header_offset + LOCAL.size + name + extra + entry.file_size
        descriptor = struct.unpack_from("<4s3L", raw, after)
        assert descriptor == (b"PK\x07\x08", entry.CRC, entry.file_size, entry.file_size)


def test_equal_folders_give_equal_bytes(safe: Path) -> None:
    first, second = archive.pack(safe, "a.SAFE"), archive.pack(safe, "a.SAFE")
    assert first == second


def test_digest_and_size_are_those_of_the_bytes(
    served: requests.Response, sandbox: Sandbox
) -> None:
    packed = sandbox.products[0].archive()
    assert packed.size == body.size(packed.body) == len(served.content)
    assert packed.md5 == hashlib.md5(served.content).hexdigest()


def test_is_laid_out_anew_after_a_change(tmp_path: Path) -> None:
    folder = tmp_path / "a.SAFE"
    folder.mkdir()
    (folder / "file").write_bytes(b"one")
    sandbox = Sandbox([folder])
    first = sandbox.products[0].archive()
    assert sandbox.products[0].archive() is first
    (folder / "file").write_bytes(b"three")
    assert sandbox.products[0].archive().size == first.size + 2


@pytest.mark.parametrize(("start", "length"), [(0, 9), (1, 3), (2, 5), (4, 1), (8, 9), (9, 1)])
def test_parts_of_a_body(tmp_path: Path, start: int, length: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"..345..")
    whole: body.Body = (b"012", body.Slice(file, 2, 3), b"678")
    found = b""
    for piece in body.part(whole, start, length):
        if isinstance(piece, body.Slice):
            found += file.read_bytes()[piece.start : piece.start + piece.length]
        else:
            found += piece
    assert found == b"012345678"[start : start + length]
