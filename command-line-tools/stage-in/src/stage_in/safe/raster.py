"""The headers of the JPEG 2000 images: size, data type and georeferencing.

`images` runs this in a process with limits: a small file can make GDAL and OpenJPEG use any amount
of memory and time.
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from stage_in.errors import ProductError
from stage_in.secrets import excerpt

# A tile is 109.8 km wide and a pixel at least 10 m (S2-PDGS-TAS-DI-PSD, "Tiling").
_MAX_PIXELS = 10_980  # width and height
_MAX_BANDS = 16

_OPTIONS = {
    # GDAL neither writes side-car files nor reads any.
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    # Each thread would need memory of its own.
    "GDAL_NUM_THREADS": "1",
}


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
        ProductError: it is not such a file, it is larger than an image of a product, or reading it
            inside of the `with` fails.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings(), rasterio.Env(**_OPTIONS):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path.absolute(), driver="JP2OpenJPEG") as image:
                _check_size(image)
                yield image
    except (RasterioError, OSError, ValueError) as error:
        raise ProductError(
            f"the image {name} can't be read as JPEG 2000: {excerpt(error, 200)}"
        ) from error


def _check_size(image: Any) -> None:
    if max(image.shape) > _MAX_PIXELS or image.count > _MAX_BANDS:
        raise ValueError(
            f"its header announces {image.width} x {image.height} pixels of {image.count} bands"
        )
