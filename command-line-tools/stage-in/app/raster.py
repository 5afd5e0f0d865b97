"""What the header of an image says: how many pixels, and where they are."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from app.errors import ProductError

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
        """Width of a pixel in metres."""
        return math.fabs(self.transform[0]) if self.transform else None

    @property
    def bbox(self) -> list[float] | None:
        """West, south, east, north in metres."""
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
        with warnings.catch_warnings(), rasterio.Env(**_OPTIONS):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path.absolute(), driver="JP2OpenJPEG") as image:
                yield image
    except RasterioError as error:
        raise ProductError(
            f"expected {name} to be a JPEG 2000 image that can be read: {str(error)[:200]}"
        ) from error
