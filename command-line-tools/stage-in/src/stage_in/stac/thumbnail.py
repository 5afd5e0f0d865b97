"""The picture of a product."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from loguru import logger

from stage_in.errors import ProductError
from stage_in.safe.raster import opening

if TYPE_CHECKING:
    import numpy as np

NAME = "thumbnail.png"
MEDIA_TYPE = "image/png"
SIZE = 343  # pixels of the longer side: those of the preview image of a whole tile


@dataclass(frozen=True)
class Thumbnail:
    """A small picture in true colours, transparent where there are no data.

    Attributes:
        content: a PNG in red, green, blue and alpha, of the same bytes for the same image.
        shape: rows and columns.
    """

    content: bytes
    shape: tuple[int, int]

    @classmethod
    def make(cls, safe: Path, images: Iterable[str]) -> Self:
        """Make it of the first of some true colour images that can be read.

        Args:
            safe: the SAFE folder.
            images: their paths below it.

        Raises:
            ProductError: none can.
        """
        failures = []
        for path in images:
            try:
                return cls._make_of(safe / path, path)
            except ProductError as error:
                logger.warning("No thumbnail of this one: {}", error)
                failures.append(str(error))
        raise ProductError(f"expected a true colour image: {'; '.join(failures)}")

    @classmethod
    def _make_of(cls, source: Path, name: str) -> Self:
        import numpy as np

        with opening(source, name) as image:
            if image.count != 3 or set(image.dtypes) != {"uint8"}:
                raise ProductError(
                    f"expected red, green and blue of 8 bits in {name}, "
                    f"found {image.count} of {', '.join(sorted(set(image.dtypes)))}"
                )
            scale = SIZE / max(image.shape)
            height, width = (max(round(side * scale), 1) for side in image.shape)
            # From the level of the wavelet that comes nearest, which is smooth already; blocks
            # where the image is smaller.
            colours = image.read(out_shape=(3, height, width))
        # The specification keeps 0 in all three for "no data" (S2-PDGS-TAS-DI-PSD, TCI).
        opaque = np.where(colours.any(axis=0), 255, 0).astype("uint8")
        return cls(_encode(np.concatenate([colours, opaque[np.newaxis]])), (height, width))


def _encode(layers: "np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]") -> bytes:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.io import MemoryFile

    count, height, width = layers.shape
    with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED="NO"):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with MemoryFile(ext=".png") as file:
            with file.open(
                driver="PNG", count=count, height=height, width=width, dtype="uint8", zlevel=9
            ) as picture:
                picture.write(layers)
            return bytes(file.read())
