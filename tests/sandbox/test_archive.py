import hashlib
import io
import struct
import zipfile
from pathlib import Path

import pytest
import requests

from sandbox import archive
from sandbox.server import Sandbox
from tests.sandbox.client import Client

LOCAL_HEADER = struct.Struct("<4s5H3L2H")


@pytest.fixture
def response(client: Client) -> requests.Response:
    response = client.get(client.zip)
    assert response.status_code == 200
    return response


def test_contains_every_file_in_one_root_folder(response: requests.Response, safe: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(response.content)) as opened:
        assert opened.testzip() is None
        found = {entry.filename: opened.read(entry) for entry in opened.infolist()}
    assert found == {
        f"{safe.name}/{path.relative_to(safe).as_posix()}": path.read_bytes()
        for path in safe.rglob("*")
        if path.is_file()
    }


def test_local_headers_contain_neither_size_nor_crc(response: requests.Response) -> None:
    raw = response.content
    with zipfile.ZipFile(io.BytesIO(raw)) as opened:
        entries = opened.infolist()
    assert entries
    for entry in entries:
        fields = LOCAL_HEADER.unpack_from(raw, entry.header_offset)
        signature, _, flags, method, _, _, crc, packed, unpacked, name, extra = fields
        assert signature == b"PK\x03\x04"
        assert flags & 0b1000, "the entry has a data descriptor"
        assert (method, crc, packed, unpacked) == (zipfile.ZIP_STORED, 0, 0, 0)
        after = entry.header_offset + LOCAL_HEADER.size + name + extra + entry.file_size
        descriptor = struct.unpack_from("<4s3L", raw, after)
        assert descriptor == (b"PK\x07\x08", entry.CRC, entry.file_size, entry.file_size)


def test_equal_folders_give_equal_bytes(safe: Path) -> None:
    assert archive.pack(safe, "a.SAFE") == archive.pack(safe, "a.SAFE")


def test_digest_and_size(response: requests.Response, sandbox: Sandbox) -> None:
    packed = sandbox.products[0].archive()
    assert packed.size == len(response.content) == int(response.headers["Content-Length"])
    assert packed.md5 == hashlib.md5(response.content).hexdigest()


def test_is_laid_out_again_after_a_change(tmp_path: Path) -> None:
    folder = tmp_path / "a.SAFE"
    folder.mkdir()
    (folder / "file").write_bytes(b"one")
    product = Sandbox([folder]).products[0]
    first = product.archive()
    assert product.archive() is first
    (folder / "file").write_bytes(b"three")
    assert product.archive().size == first.size + 2
