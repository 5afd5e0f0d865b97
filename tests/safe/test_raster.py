"""Headers of images, before a library believes them."""

import struct
from pathlib import Path

import pytest

from stage_in.errors import ProductError
from stage_in.safe.raster import Raster
from tests.editing import find

SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"


@pytest.fixture
def image(new: Path) -> bytes:
    return (new / find(new, "T*_B03.jp2")).read_bytes()


def read(content: bytes, tmp_path: Path) -> Raster:
    path = tmp_path / "image.jp2"
    path.write_bytes(content)
    return Raster.read(path, "image.jp2")


def size(content: bytes, **numbers: int) -> bytes:
    """The image with other numbers in SIZ (ISO 15444-1, A.5.1)."""
    names = ["right", "bottom", "x", "y", "width", "height", "left", "top"]
    changed = bytearray(content)
    start = content.index(b"\xff\x4f\xff\x51") + 8
    for name, number in numbers.items():
        struct.pack_into(">I", changed, start + 4 * names.index(name), number)
    return bytes(changed)


def test_an_image(image: bytes, tmp_path: Path) -> None:
    assert read(image, tmp_path).shape == (192, 192)


@pytest.mark.parametrize(
    "numbers",
    [
        {"right": 10_981},
        {"bottom": 2**32 - 1},
        {"width": 1, "height": 1},
        {"width": 0, "height": 0},
        {"right": 10_000, "bottom": 10_000, "width": 10_000, "height": 10_000},
        {"right": 10_980, "bottom": 10_980, "width": 64, "height": 64},
    ],
)
def test_more_than_a_tile_has(image: bytes, tmp_path: Path, numbers: dict[str, int]) -> None:
    with pytest.raises(ProductError, match=r"image\.jp2 to be a JPEG 2000 .* it says that it has"):
        read(size(image, **numbers), tmp_path)


def test_as_much_as_a_tile_has(image: bytes, tmp_path: Path) -> None:
    whole = size(image, right=10_980, bottom=10_980, width=1024, height=1024)
    assert read(whole, tmp_path).shape == (10_980, 10_980)


def test_more_components_than_a_mask_has_layers(image: bytes, tmp_path: Path) -> None:
    content = bytearray(image)
    struct.pack_into(">H", content, image.index(b"\xff\x4f\xff\x51") + 40, 17)
    with pytest.raises(ProductError, match="of 17 components"):
        read(bytes(content), tmp_path)


def test_the_box_may_say_its_length_in_three_ways(image: bytes, tmp_path: Path) -> None:
    """ISO 15444-1, I.4: in 4 bytes, in 8 more, or as all that is left."""
    box = image.index(b"jp2c") - 4
    stream = image[box + 8 :]
    for head in (
        struct.pack(">I4s", len(stream) + 8, b"jp2c"),
        struct.pack(">I4sQ", 1, b"jp2c", len(stream) + 16),
        struct.pack(">I4s", 0, b"jp2c"),
    ):
        content = image[:box] + head + stream
        assert read(content, tmp_path).shape == (192, 192)
        with pytest.raises(ProductError, match="it says that it has"):
            read(size(content, width=1, height=1), tmp_path)


@pytest.mark.parametrize("where", ["before", "behind"])
def test_other_boxes_are_small(image: bytes, tmp_path: Path, where: str) -> None:
    """A library reads them into memory."""
    box = image.index(b"jp2c") - 4
    for length, fits in ((1000, True), (2 * 1024 * 1024, False)):
        other = struct.pack(">I4s", length + 8, b"free") + bytes(length)
        before, behind = (other, b"") if where == "before" else (b"", other)
        content = image[:box] + before + image[box:] + behind
        if fits:
            assert read(content, tmp_path).shape == (192, 192)
        else:
            with pytest.raises(ProductError, match="more than 1048576 bytes beside it"):
                read(content, tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        SIGNATURE,
        SIGNATURE + struct.pack(">I4s", 8, b"jp2c"),
        SIGNATURE + struct.pack(">I4s", 7, b"jp2c") + b"\xff\x4f\xff\x51" + bytes(100),
        SIGNATURE + struct.pack(">I4sQ", 1, b"jp2c", 2**64 - 1) + bytes(100),
        SIGNATURE + struct.pack(">I4s", 2**32 - 1, b"ftyp") + bytes(100),
        b"\xff\x4f\xff\x51" + bytes(100),
        b"II*\0" + bytes(100),
        b"<VRTDataset rasterXSize='1' rasterYSize='1'/>",
    ],
)
def test_what_is_no_such_image(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ProductError, match=r"image\.jp2 to be a JPEG 2000"):
        read(content, tmp_path)


def test_side_cars_are_not_believed(image: bytes, tmp_path: Path) -> None:
    """Neither GDAL's own nor a world file, whatever a product brings along."""
    expected = read(image, tmp_path)
    (tmp_path / "image.jp2.aux.xml").write_text(
        "<PAMDataset><SRS>EPSG:4326</SRS><GeoTransform>0,1,0,0,0,-1</GeoTransform></PAMDataset>"
    )
    for suffix in ("j2w", "wld", "jp2w"):
        (tmp_path / f"image.{suffix}").write_text("1\n0\n0\n-1\n0\n0\n")
    before = sorted(tmp_path.iterdir())
    assert read(image, tmp_path) == expected
    assert sorted(tmp_path.iterdir()) == before
