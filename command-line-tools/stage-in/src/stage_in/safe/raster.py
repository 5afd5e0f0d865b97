"""The headers of the JPEG 2000 images: size, data type and georeferencing."""

import math
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from stage_in.errors import ProductError
from stage_in.secrets import excerpt

# A tile is 109.8 km wide and a pixel at least 10 m (S2-PDGS-TAS-DI-PSD, "Tiling"); the images are
# coded in blocks of 192 to 1024 pixels. OpenJPEG allocates some kilobytes for each block and
# component before it decodes any, so a header beyond these limits could exhaust the memory.
_MAX_PIXELS = 10_980  # width and height
_MAX_BLOCK_PIXELS = 4096  # width and height
_MAX_BLOCKS = 4096
_MAX_COMPONENTS = 16
_MAX_BOXES_SIZE = 1024 * 1024  # bytes of all boxes except the image: some kilobytes in products

_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"  # ISO 15444-1, I.5.1
# SOC and SIZ; length, capabilities; size and offset of the image; size and offset of the blocks;
# number of components (ISO 15444-1, A.5.1)
_SIZE = struct.Struct(">4H8IH")
# length; type; extended length, if the length is 1 (ISO 15444-1, I.4)
_BOX = struct.Struct(">I4sQ")

# GDAL neither writes side-car files nor reads any.
_OPTIONS = {"GDAL_PAM_ENABLED": "NO", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}


@dataclass(frozen=True)
class Raster:
    """The grid of an image.

    Attributes:
        shape: rows and columns.
        count: number of bands.
        data_type: of the pixels, as numpy names it.
        epsg: EPSG code of its coordinate reference system; None if it has no such code.
        transform: the affine transform from column and row to easting and northing, as six
            numbers, row by row; None if the image is not georeferenced.
    """

    shape: tuple[int, int]
    count: int
    data_type: str
    epsg: int | None
    transform: tuple[float, ...] | None

    @classmethod
    def read(cls, path: Path, name: str) -> Self:
        """Read the header of a JPEG 2000 file.

        Args:
            path: the file.
            name: the name of the file in messages.

        Raises:
            ProductError: it is not such a file.
        """
        with open_image(path, name) as image:
            georeferenced = image.crs is not None
            return cls(
                shape=(image.height, image.width),
                count=image.count,
                data_type=image.dtypes[0],
                epsg=image.crs.to_epsg() if georeferenced else None,
                transform=tuple(image.transform)[:6] if georeferenced else None,
            )

    @property
    def pixel_size(self) -> float | None:
        """Width of a pixel in metres; None if the image is not georeferenced."""
        return math.fabs(self.transform[0]) if self.transform else None

    @property
    def bbox(self) -> list[float] | None:
        """West, south, east and north in metres; None if the image is not georeferenced."""
        if self.transform is None:
            return None
        width, _, west, _, height, north = self.transform
        return [west, north + height * self.shape[0], west + width * self.shape[1], north]


@contextmanager
def open_image(path: Path, name: str) -> Iterator[Any]:
    """Open a JPEG 2000 file with GDAL's OpenJPEG driver and no other.

    Args:
        path: the file.
        name: the name of the file in messages.

    Raises:
        ProductError: it is not such a file, or reading it inside of the `with` fails.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        _check_header(path)
        with warnings.catch_warnings(), rasterio.Env(**_OPTIONS):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path.absolute(), driver="JP2OpenJPEG") as image:
                yield image
    except (RasterioError, OSError, ValueError, struct.error) as error:
        raise ProductError(
            f"expected {name} to be a readable JPEG 2000 image: {excerpt(error, 200)}"
        ) from error


def _check_header(path: Path) -> None:
    """Check that an image is not larger than a product's, before a library allocates memory.

    Raises:
        ValueError: it is larger, or not in the JP2 format.
        OSError: it can't be read.
        struct.error: it is truncated.
    """
    with path.open("rb") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            raise ValueError("it has no JP2 signature")
        codestream, others = None, 0
        for kind, start, end in _read_boxes(file):
            if kind == b"jp2c" and codestream is None:
                codestream = start
            else:
                others += end - start
        if codestream is None or others > _MAX_BOXES_SIZE:
            raise ValueError(f"it has no image, or more than {_MAX_BOXES_SIZE} bytes beside it")
        file.seek(codestream)
        _check_size(file.read(_SIZE.size))


def _read_boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Iterate over type, start and end of the contents of the boxes (ISO 15444-1, I.4).

    A box of length 0 extends to the end of the file, as does anything that is not a valid box. A
    box of length 1 has its length in the next 8 bytes.
    """
    position = file.tell()
    file_size = file.seek(0, os.SEEK_END)
    while position < file_size:
        file.seek(position)
        length, kind, extended = _BOX.unpack(file.read(_BOX.size).ljust(_BOX.size, b"\0"))
        start = position + (_BOX.size if length == 1 else 8)
        end = position + (extended if length == 1 else length)
        if not start <= end <= file_size:
            start, end = min(start, file_size), file_size
        yield kind, start, end
        position = end


def _check_size(segment: bytes) -> None:
    """Check the marker segment SIZ, with which a codestream starts (ISO 15444-1, A.5.1)."""
    soc, siz, _, _, *sides, components = _SIZE.unpack(segment)
    if (soc, siz) != (0xFF4F, 0xFF51):
        raise ValueError("its codestream does not start with a size")
    right, bottom, _, _, width, height, left, top = sides
    blocks = -(-(right - left) // max(width, 1)) * -(-(bottom - top) // max(height, 1))
    if (
        max(right, bottom) > _MAX_PIXELS
        or max(min(width, right), min(height, bottom)) > _MAX_BLOCK_PIXELS
        or blocks > _MAX_BLOCKS
        or components > _MAX_COMPONENTS
    ):
        raise ValueError(
            f"its header announces {right} x {bottom} pixels of {components} components in blocks "
            f"of {width} x {height}"
        )
