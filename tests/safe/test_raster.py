"""The headers of images, and images that no product has."""

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
    """Read an image in this process, where only well-meant images are safe."""
    path = tmp_path / "image.jp2"
    path.write_bytes(content)
    return Raster.read(path, "image.jp2")


def set_size(content: bytes, **numbers: int) -> bytes:
    """Return the image with other numbers in SIZ (ISO 15444-1, A.5.1)."""
    names = ["right", "bottom", "x", "y", "width", "height", "left", "top"]
    changed = bytearray(content)
    start = content.index(b"\xff\x4f\xff\x51") + 8
    for name, number in numbers.items():
        struct.pack_into(">I", changed, start + 4 * names.index(name), number)
    return bytes(changed)


def test_an_image(image: bytes, tmp_path: Path) -> None:
    raster = read(image, tmp_path)
    assert raster.shape == (192, 192)
    assert raster.data_type == "uint16"
    assert raster.epsg == 32632
    assert raster.pixel_size == 10
    west, _, _, north = raster.bbox
    assert raster.transform == (10, 0, west, 0, -10, north)
    assert raster.bbox == [west, north - 1920, west + 1920, north]


@pytest.mark.parametrize("numbers", [{"right": 10_981}, {"bottom": 10_981}])
def test_images_larger_than_a_tile_are_refused(
    image: bytes, tmp_path: Path, numbers: dict[str, int]
) -> None:
    with pytest.raises(
        ProductError, match=r"image\.jp2 can't be read as JPEG 2000.* its header announces"
    ):
        read(set_size(image, **numbers), tmp_path)


def test_an_image_as_large_as_a_tile(image: bytes, tmp_path: Path) -> None:
    largest = set_size(image, right=10_980, bottom=10_980, width=1024, height=1024)
    assert read(largest, tmp_path).shape == (10_980, 10_980)


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
        b'<VRTDataset rasterXSize="1" rasterYSize="1"><VRTRasterBand band="1"/></VRTDataset>',
    ],
)
def test_other_content_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ProductError, match=r"image\.jp2 can't be read as JPEG 2000"):
        read(content, tmp_path)


def test_side_car_files_are_ignored(image: bytes, tmp_path: Path) -> None:
    """A product might contain GDAL's own side-car files or world files."""
    expected = read(image, tmp_path)
    (tmp_path / "image.jp2.aux.xml").write_text(
        "<PAMDataset><SRS>EPSG:4326</SRS><GeoTransform>0,1,0,0,0,-1</GeoTransform></PAMDataset>"
    )
    for suffix in ("j2w", "wld", "jp2w"):
        (tmp_path / f"image.{suffix}").write_text("1\n0\n0\n-1\n0\n0\n")
    before = sorted(tmp_path.iterdir())
    assert read(image, tmp_path) == expected
    assert sorted(tmp_path.iterdir()) == before
