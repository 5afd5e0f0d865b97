import hashlib
from collections.abc import Iterable

import pytest

from stage_in.errors import VerificationError
from stage_in.safe import manifest
from stage_in.safe.bands import BANDS
from stage_in.safe.manifest import Entry

GRANULE = "GRANULE/L1C_T32TQM_A012345_20240101T100000"
IMAGES = [f"{GRANULE}/IMG_DATA/T32TQM_20240101T100000_{band}.jp2" for band in (*BANDS, "TCI")]
FILES = ["MTD_MSIL1C.xml", f"{GRANULE}/MTD_TL.xml", *IMAGES]
MD5 = hashlib.md5(b"").hexdigest()
SHA3 = hashlib.sha3_256(b"").hexdigest()


def data_object(href: str, size: str = "1", name: str = "MD5", digest: str = MD5) -> str:
    return (
        f'<dataObject ID="x"><byteStream mimeType="x" size="{size}"><fileLocation '
        f'locatorType="URL" href="{href}"/><checksum checksumName="{name}">{digest}</checksum>'
        "</byteStream></dataObject>"
    )


def document(*objects: str) -> bytes:
    return (
        '<?xml version="1.0"?><xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1"><dataObjectSection>'
        f"{''.join(objects)}</dataObjectSection></xfdu:XFDU>"
    ).encode()


def entries(paths: Iterable[str]) -> dict[str, Entry]:
    return {path: Entry(path, 1) for path in paths}


def test_each_entry_has_an_algorithm_of_its_own() -> None:
    found = manifest.parse(
        document(
            data_object("./a.xml", "12", "MD5", MD5.upper()),
            data_object("b/c.jp2", "3", "SHA3-256", f"\n {SHA3.upper()} \n"),
        )
    )
    assert found == {
        "a.xml": Entry("a.xml", 12, "md5", MD5),
        "b/c.jp2": Entry("b/c.jp2", 3, "sha3_256", SHA3),
    }


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"<html>Service unavailable</html>", "found 0$"),
        (document(), "found 0$"),
        (b"", "well-formed"),
        (b"not XML", "well-formed"),
        (document(data_object("a"))[:-5], "well-formed"),
        (b'<!DOCTYPE x [<!ENTITY e "e">]>' + document(data_object("a"))[21:], "DOCTYPE"),
        (document(data_object("a", size="")), "size of a"),
        (document(data_object("a", size="-1")), "size of a"),
        (document(data_object("a", size="\u0661")), "size of a"),
        (document(data_object("a", size="9" * 16)), "size of a"),
        (document(data_object("a", name="CRC32")), "expected one of MD5, SHA3-256"),
        (document(data_object("a", name="")), "expected one of MD5, SHA3-256"),
        (document(data_object("a", digest="")), "32 hexadecimal digits"),
        (document(data_object("a", digest=SHA3)), "32 hexadecimal digits"),
        (document(data_object("a", name="SHA3-256")), "64 hexadecimal digits"),
        (document(data_object("a", digest="g" * 32)), "32 hexadecimal digits"),
        (document(data_object("a"), data_object("./a")), "expected distinct paths"),
        (document(data_object("a"), data_object("A")), "expected distinct paths"),
        (document(data_object("é"), data_object("e\u0301")), "expected distinct paths"),
        (document(data_object("a"), data_object("a/b")), "to be a folder"),
        (document(data_object("manifest.safe")), "expected distinct paths"),
        (document(data_object("a", size="10000000000"), data_object("b")), "10000000001 announced"),
        (document(data_object("a"), "<dataObject/>"), "without one of them"),
        (document("<dataObject/>" * 10_001), "found 10001$"),
        (document(data_object("a"), f"<!--{'x' * 5_000_000}-->"), "expected at most 4194304 bytes"),
    ],
)
def test_what_is_no_manifest_is_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(VerificationError, match=complaint):
        manifest.parse(content)
    # A product of exactly the largest size still passes.
    assert manifest.parse(document(data_object("a", size="10000000000")))


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/..", "./a", "a/./b", "a//b", "a/"),
        *("a\\b", "..\\x", "C:x", "C:/x", "a\0b", "a\nb", "a\x7f", "a\u202eb", " a", "a ", "a/ b"),
        *("a#b", "a%2e", "a?b", "x" * 256, "é" * 128, "a\ud800", "/".join("x" * 501)),
    ],
)
def test_paths_that_leave_or_mislead_are_refused(path: str) -> None:
    with pytest.raises(VerificationError, match="expected a plain relative path"):
        manifest.check_path(path, "a test")


def test_what_is_found_is_told_in_brief() -> None:
    for content in (
        document(f'<dataObject ID="{"x" * 100_000}"/>'),
        document(data_object("/x" * 100_000)),
        document(data_object("a", size="9" * 100_000)),
        document(data_object("a", name="x" * 100_000)),
        document(data_object("a", digest="x" * 100_000)),
    ):
        with pytest.raises(VerificationError, match="found") as caught:
            manifest.parse(content)
        assert len(str(caught.value)) < 400


def test_sizes_that_cannot_be_written_out() -> None:
    """Python refuses to write numbers of more than 4300 digits; a listing may have such."""
    with pytest.raises(VerificationError, match="found far more announced"):
        manifest.check_size([Entry("a", 9 * 10**4299), Entry("b", 9 * 10**4299)])


def test_complete() -> None:
    manifest.check_complete(entries(FILES))


@pytest.mark.parametrize("path", FILES[:2])
def test_metadata_that_are_read_whole_are_bounded(path: str) -> None:
    """The images and the others are not."""
    files = {name: Entry(name, 5_000_000) for name in [*FILES, "INSPIRE.xml"] if name != path}
    large = [name for name in FILES[:2] if name != path]
    files |= entries(large) | {path: Entry(path, 4 * 1024 * 1024)}
    manifest.check_complete(files)
    files[path] = Entry(path, 4 * 1024 * 1024 + 1)
    with pytest.raises(VerificationError, match=f"at most 4194304 bytes of {path}"):
        manifest.check_complete(files)


@pytest.mark.parametrize("path", FILES)
def test_incomplete(path: str) -> None:
    with pytest.raises(VerificationError, match="expected"):
        manifest.check_complete(entries(set(FILES) - {path}))


@pytest.mark.parametrize(
    "path",
    [
        "GRANULE/L1C_OTHER/IMG_DATA/T32TQM_20240101T100000_B01.jp2",
        f"{GRANULE}/IMG_DATA/T32TQM_20240101T100001_B01.jp2",
    ],
)
def test_more_than_one_granule(path: str) -> None:
    with pytest.raises(VerificationError, match="expected"):
        manifest.check_complete(entries([*FILES, path]))


def test_folders() -> None:
    assert manifest.get_folders(FILES) == {"HTML", "rep_info", f"{GRANULE}/AUX_DATA"}
