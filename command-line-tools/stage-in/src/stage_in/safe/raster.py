"""What the header of an image says: how many pixels, and where they are."""

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

# A tile is 109.8 km wide, a pixel 10 m at least (S2-PDGS-TAS-DI-PSD, "Tiling"); the images are
# coded in tiles of 192 to 1024 pixels. What is beyond has no use but to exhaust the memory: the
# library allots some kilobytes to each tile and component before it looks at any.
_MAX_PIXELS = 10_980  # of a side
_MAX_BLOCK = 4096  # pixels of a side
_MAX_BLOCKS = 4096
_MAX_COMPONENTS = 16
_MAX_BOXES_SIZE = 1024 * 1024  # bytes of all that is not the image: a few kilobytes in products

_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"  # ISO 15444-1, I.5.1
# SOC, SIZ, its length and capabilities, size, offset, size and offset of blocks, components
_SIZE = struct.Struct(">4H8IH")
# length, type, length where that is 1 (ISO 15444-1, I.4)
_BOX = struct.Struct(">I4sQ")

# No side-car files: neither left behind nor, where the product has them not, believed.
_OPTIONS = {"GDAL_PAM_ENABLED": "NO", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}


@dataclass(frozen=True)
class Raster:
    """The grid of an image.

    Attributes:
        shape: rows and columns.
        data_type: of its pixels, as numpy calls it.
        epsg: code of its coordinate reference system; None if it has none of those.
        transform: six numbers, from column and row to easting and northing, row by row; None if
            it has none.
    """

    shape: tuple[int, int]
    data_type: str
    epsg: int | None
    transform: tuple[float, ...] | None

    @classmethod
    def read(cls, path: Path, name: str) -> Self:
        """Read the header of a JPEG 2000 file.

        Args:
            path: the file.
            name: what the error calls it.

        Raises:
            ProductError: it is no such file.
        """
        with opening(path, name) as image:
            placed = image.crs is not None
            return cls(
                shape=(image.height, image.width),
                data_type=image.dtypes[0],
                epsg=image.crs.to_epsg() if placed else None,
                transform=tuple(image.transform)[:6] if placed else None,
            )

    @property
    def pixel(self) -> float | None:
        """Width of a pixel in metres; None if it has no place."""
        return math.fabs(self.transform[0]) if self.transform else None

    @property
    def bbox(self) -> list[float] | None:
        """West, south, east, north in metres; None if it has no place."""
        if self.transform is None:
            return None
        width, _, west, _, height, north = self.transform
        return [west, north + height * self.shape[0], west + width * self.shape[1], north]


@contextmanager
def opening(path: Path, name: str) -> Iterator[Any]:
    """Open a JPEG 2000 file, by no other driver than that.

    Args:
        path: the file.
        name: what the error calls it.

    Raises:
        ProductError: it is no such file, or what is done with it inside the `with` fails.
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
            f"expected {name} to be a JPEG 2000 image that can be read: {str(error)[:200]}"
        ) from error


def _check_header(path: Path) -> None:
    """Check that an image is no larger than a product's, before a library believes what it says.

    Args:
        path: the file.

    Raises:
        ValueError: it is larger, or not in the JP2 format.
        OSError: it can't be read.
        struct.error: it breaks off.
    """
    with path.open("rb") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            raise ValueError("it has no signature of JP2")
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
    """Iterate over type, begin and end of the contents of the boxes that follow (ISO 15444-1, I.4).

    A box of length 0 goes on to the end of the file, and what is no box is taken for such; one of
    length 1 has 8 bytes for it.
    """
    position = file.tell()
    whole = file.seek(0, os.SEEK_END)
    while position < whole:
        file.seek(position)
        length, kind, long = _BOX.unpack(file.read(_BOX.size).ljust(_BOX.size, b"\0"))
        begin = position + (_BOX.size if length == 1 else 8)
        end = position + (long if length == 1 else length)
        if not begin <= end <= whole:
            begin, end = min(begin, whole), whole
        yield kind, begin, end
        position = end


def _check_size(segment: bytes) -> None:
    """Check the marker segment SIZ, which a codestream begins with (ISO 15444-1, A.5.1)."""
    start, marker, _, _, *sides, components = _SIZE.unpack(segment)
    if (start, marker) != (0xFF4F, 0xFF51):
        raise ValueError("its codestream begins with no size")
    right, bottom, _, _, width, height, left, top = sides
    blocks = -(-(right - left) // max(width, 1)) * -(-(bottom - top) // max(height, 1))
    if (
        max(right, bottom) > _MAX_PIXELS
        or max(min(width, right), min(height, bottom)) > _MAX_BLOCK
        or blocks > _MAX_BLOCKS
        or components > _MAX_COMPONENTS
    ):
        raise ValueError(
            f"it says that it has {right} x {bottom} pixels of {components} components in blocks "
            f"of {width} x {height}"
        )
