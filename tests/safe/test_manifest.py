"""The manifest: its entries, and what makes it complete."""

import hashlib
from collections.abc import Iterable
from pathlib import PurePosixPath

import pytest

from sandbox.manifest import listed_files
from sandbox.product import NEW, OLD, Recipe
from stage_in.errors import VerificationError
from stage_in.safe import manifest
from stage_in.safe.bands import BANDS
from stage_in.safe.manifest import Entry
from tests.editing import PRODUCT

GRANULE = "GRANULE/L1C_T32TQM_A012345_20240101T100000"
IMAGES = [f"{GRANULE}/IMG_DATA/T32TQM_20240101T100000_{band}.jp2" for band in (*BANDS, "TCI")]
FILES = [PRODUCT, f"{GRANULE}/MTD_TL.xml", *IMAGES]
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


def test_each_entry_has_its_own_algorithm() -> None:
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
        (b"<html>Service unavailable</html>", "a page of HTML instead of"),
        (b"\n<!doctype HTML><p>Service unavailable", "a page of HTML instead of"),
        (b"<x/>", "lists 0$"),
        (document(), "lists 0$"),
        (b"", "well-formed"),
        (b"not XML", "well-formed"),
        (document(data_object("a"))[:-5], "well-formed"),
        (b'<!DOCTYPE x [<!ENTITY e "e">]>' + document(data_object("a"))[21:], "DOCTYPE"),
        (document(data_object("a", size="")), "size of a"),
        (document(data_object("a", size="-1")), "size of a"),
        (document(data_object("a", size="\u0661")), "size of a"),
        (document(data_object("a", size="9" * 16)), "size of a"),
        (document(data_object("a", name="CRC32")), "must be one of MD5, SHA3-256"),
        (document(data_object("a", name="")), "must be one of MD5, SHA3-256"),
        (document(data_object("a", digest="")), "32 hexadecimal digits"),
        (document(data_object("a", digest=SHA3)), "32 hexadecimal digits"),
        (document(data_object("a", name="SHA3-256")), "64 hexadecimal digits"),
        (document(data_object("a", digest="g" * 32)), "32 hexadecimal digits"),
        (document(data_object("a"), data_object("./a")), "must be distinct"),
        (document(data_object("../a")), "paths in manifest.safe must be plain and relative"),
        (document(data_object("manifest.safe")), "must be distinct"),
        (
            document(data_object("a", size="10000000000"), data_object("b")),
            "10000000001 are announced",
        ),
        (document(data_object("a"), "<dataObject/>"), "lacks one of them"),
        (document("<dataObject/>" * 10_001), "lists 10001$"),
        (
            document(data_object("a"), f"<!--{'x' * 5_000_000}-->"),
            "must have at most 2097152 bytes",
        ),
    ],
)
def test_invalid_manifests_are_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(VerificationError, match=complaint):
        manifest.parse(content)


def test_largest_product() -> None:
    assert manifest.parse(document(data_object("a", size="10000000000")))


def test_messages_quote_only_the_start_of_what_was_found() -> None:
    for content in (
        document(f'<dataObject ID="{"x" * 100_000}"/>'),
        document(data_object("/x" * 100_000)),
        document(data_object("a", size="9" * 100_000)),
        document(data_object("a", name="x" * 100_000)),
        document(data_object("a", digest="x" * 100_000)),
    ):
        with pytest.raises(VerificationError, match="but") as caught:
            manifest.parse(content)
        assert len(str(caught.value)) < 400


def test_sizes_with_too_many_digits_to_print() -> None:
    """Python refuses to print numbers of more than 4300 digits, which a listing may contain."""
    with pytest.raises(VerificationError, match="far more are announced"):
        manifest.check_size([Entry("a", 9 * 10**4299), Entry("b", 9 * 10**4299)])


@pytest.mark.parametrize("path", FILES[:2])
def test_metadata_files_have_a_maximum_size(path: str) -> None:
    """Only the two that are read into memory have one: all other files may be larger."""
    files = {name: Entry(name, 5_000_000) for name in [*FILES, "INSPIRE.xml"] if name != path}
    large = [name for name in FILES[:2] if name != path]
    files |= entries(large) | {path: Entry(path, 2 * 1024 * 1024)}
    manifest.check_complete(files)
    files[path] = Entry(path, 2 * 1024 * 1024 + 1)
    with pytest.raises(VerificationError, match=f"{path} must have at most 2097152 bytes"):
        manifest.check_complete(files)


@pytest.mark.parametrize("path", FILES)
def test_each_image_and_metadata_file_is_required(path: str) -> None:
    objects = {file: data_object(file) for file in FILES}
    manifest.read_manifest(document(*objects.values()))
    del objects[path]
    with pytest.raises(VerificationError, match="lists none of"):
        manifest.read_manifest(document(*objects.values()))


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("GRANULE/L1C_OTHER/IMG_DATA/T32TQM_20240101T100000_B01.jp2", "are of 2"),
        (f"{GRANULE}/IMG_DATA/T32TQM_20240101T100001_B01.jp2", "14 images, but lists 15"),
    ],
)
def test_more_images_than_one_granule_has(path: str, complaint: str) -> None:
    with pytest.raises(VerificationError, match=complaint):
        manifest.check_complete(entries([*FILES, path]))


@pytest.mark.parametrize(("recipe", "left_out"), [(NEW, 3 * 12), (OLD, 6 * 12)], ids=["new", "old"])
def test_selection(recipe: Recipe, left_out: int) -> None:
    """The images and masks of other bands are left out, and nothing else."""
    files = entries(file.path for file in listed_files(recipe))
    selected = manifest.select(files, {"B04", "TCI"})
    gone = files.keys() - selected.keys()
    assert len(gone) == left_out
    assert all(PurePosixPath(path).stem.rpartition("_")[2] in {*BANDS} - {"B04"} for path in gone)
    assert manifest.select(files, {*BANDS, "TCI"}) == files


def test_folders_that_may_be_empty() -> None:
    assert manifest.get_folders(FILES) == {"HTML", "rep_info", f"{GRANULE}/AUX_DATA"}
