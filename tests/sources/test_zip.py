"""The zip of a product: downloaded, checked, and discarded if it is wrong."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.faults import Fault
from sandbox.server import Sandbox
from stage_in.errors import ProductError, TemporaryError, VerificationError
from stage_in.safe.name import ProductName
from stage_in.sources import zip as zip_module
from stage_in.sources.product import Product
from stage_in.sources.zip import ZipSource
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.credentials import Credentials
from stage_in.transfer.trust import Trust
from tests.clients import make_client
from tests.sources.archives import MANIFEST, NAME, pack

PRODUCT = Product(ProductName.parse(NAME), f"{0:08}-0000-0000-0000-{0:012}", "http://127.0.0.1:9")


def read(source: ZipSource, path: str) -> bytes:
    with source.open(path) as chunks:
        return b"".join(chunks)


OpenSource = Callable[[bytes], ZipSource]


@pytest.fixture
def open_source(tmp_path: Path) -> OpenSource:
    """Return a source whose archive an earlier run has downloaded."""

    def open_source(content: bytes) -> ZipSource:
        path = tmp_path / "product.zip"
        path.write_bytes(content)
        return ZipSource(PRODUCT, make_client(), path, Arrivals())

    return open_source


def test_an_archive_on_disk_is_not_downloaded(open_source: OpenSource) -> None:
    source = open_source(pack((MANIFEST, b"manifest")))
    assert source.list_files() == {"manifest.safe": 8}
    assert read(source, "manifest.safe") == b"manifest"


def test_a_damaged_archive_is_discarded(open_source: OpenSource, tmp_path: Path) -> None:
    content = bytearray(pack((MANIFEST, b"x" * 500)))
    content[200] ^= 1
    with pytest.raises(VerificationError, match="CRC"):
        read(open_source(bytes(content)), "manifest.safe")
    assert not list(tmp_path.iterdir())


def test_an_archive_whose_files_fail_verification_is_discarded(
    open_source: OpenSource, tmp_path: Path
) -> None:
    source = open_source(pack((MANIFEST, b"x")))
    with pytest.raises(VerificationError), source.open("manifest.safe"):
        raise VerificationError("the digest differs")
    assert not list(tmp_path.iterdir())


def test_a_discarded_archive_can_be_read_to_its_end(open_source: OpenSource) -> None:
    source = open_source(pack((MANIFEST, b"x" * 600_000), (f"{NAME}/b", b"x")))
    with source.open("manifest.safe") as chunks:
        first = next(iter(chunks))
        with pytest.raises(VerificationError), source.open("b"):
            raise VerificationError("the digest differs")
        assert len(first + b"".join(chunks)) == 600_000


@pytest.fixture
def source(platform: Sandbox, tmp_path: Path) -> ZipSource:
    """A source whose archive has not been downloaded yet."""
    tokens = Credentials(Trust(), access_token=platform.mint())
    client = make_client(platform.download, tokens=tokens)
    product = Product(PRODUCT.name, PRODUCT.uuid, platform.download)
    return ZipSource(product, client, tmp_path / "product.zip", Arrivals())


def test_three_archives_that_lack_files_are_enough(source: ZipSource, platform: Sandbox) -> None:
    """Each missing file has three attempts, and each attempt would download the zip again."""
    platform.faults.add(Fault(on="download", body=pack((MANIFEST, b"x"))))
    retryable = []
    for path in ("a", "b", "a"):
        with pytest.raises(VerificationError, match=f"the file {path} is missing") as caught:
            read(source, path)
        retryable.append(caught.value.retryable)
    assert retryable == [True, True, False]
    assert read(source, "manifest.safe") == b"x"
    with pytest.raises(VerificationError) as caught:
        read(source, "b")
    assert caught.value.retryable


@pytest.mark.parametrize("framing", ["length", "close"])
def test_an_endless_archive(
    source: ZipSource,
    platform: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    framing: str,
) -> None:
    """The limit is lower than in reality, where it is 10 GB."""
    monkeypatch.setattr(zip_module, "MAX_PRODUCT_SIZE", 1_000_000)
    body = pack((MANIFEST, bytes(5_000_000)))
    platform.faults.add(Fault(on="download", body=body, framing=framing))
    with pytest.raises(ProductError, match="at most 1000000 bytes, but has more") as caught:
        source.list_files()
    assert not caught.value.retryable
    assert not list(tmp_path.iterdir())


def test_the_last_of_several_disks(source: ZipSource, platform: Sandbox) -> None:
    """zipfile raises BadZipFile where it should answer that this is no zip (APPNOTE.TXT 4.3.15)."""
    content = pack((MANIFEST, b"x"))
    end = content.rindex(b"PK\5\6")
    locator = struct.pack("<4sIQI", b"PK\6\7", 1, end, 7)
    platform.faults.add(Fault(on="download", body=content[:end] + locator + content[end:]))
    with pytest.raises(VerificationError, match="must send a zip of"):
        source.list_files()


def test_a_page_of_html(source: ZipSource, platform: Sandbox, tmp_path: Path) -> None:
    platform.faults.add("on=download html")
    with pytest.raises(VerificationError, match=r"bytes of text/html: '<!DOCTYPE html>"):
        source.list_files()
    assert not list(tmp_path.iterdir())


def test_a_broken_download_is_resumed(source: ZipSource, platform: Sandbox, tmp_path: Path) -> None:
    """The source resumes it, and accepts a service that starts again from 0."""
    content = pack((MANIFEST, bytes(1_000_000)))
    platform.faults.add(Fault(on="download", body=content, cut=0.5, times=1))
    with pytest.raises(TemporaryError):
        source.list_files()
    (part,) = tmp_path.iterdir()
    arrived = part.stat().st_size
    assert 0 < arrived < len(content)
    content_range = f"bytes {arrived}-{len(content) - 1}/{len(content)}"
    rest = Fault(
        on="download",
        status=206,
        body=content[arrived:],
        headers={"Content-Range": content_range},
    )
    platform.faults.add(rest)
    assert source.list_files() == {"manifest.safe": 1_000_000}
    assert platform.log[-1].header("Range") == f"bytes={arrived}-"
    assert [path.name for path in tmp_path.iterdir()] == ["product.zip"]
    assert (tmp_path / "product.zip").read_bytes() == content
