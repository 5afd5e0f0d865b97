"""The thumbnail of a product: a small true colour picture in PNG."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from stage_in.errors import ProductError
from stage_in.logger import logger
from stage_in.safe.raster import open_image

if TYPE_CHECKING:
    import numpy as np

THUMBNAIL = "thumbnail.png"
MEDIA_TYPE = "image/png"
SIZE = 343  # pixels of the longer side: the size of the preview image of a full tile


@dataclass(frozen=True)
class Thumbnail:
    """A small picture in true colours, transparent where there are no data.

    Attributes:
        content: a PNG with red, green, blue and alpha; the same image gives the same bytes.
        shape: rows and columns.
    """

    content: bytes
    shape: tuple[int, int]

    @classmethod
    def make(cls, safe: Path, images: Iterable[str]) -> Self:
        """Make a thumbnail of the first true colour image that can be read.

        Args:
            safe: the SAFE folder.
            images: the paths of true colour images below it.

        Raises:
            ProductError: none of them can be read.
        """
        failures = []
        for path in images:
            try:
                return cls._make_from(safe / path, path)
            except ProductError as error:
                logger.warning("Can't make the thumbnail from this image: {}", error)
                failures.append(str(error))
        raise ProductError(f"expected a true colour image: {'; '.join(failures)}")

    @classmethod
    def _make_from(cls, source: Path, name: str) -> Self:
        import numpy as np

        with open_image(source, name) as image:
            if image.count != 3 or set(image.dtypes) != {"uint8"}:
                raise ProductError(
                    f"expected red, green and blue with 8 bits in {name}, "
                    f"found {image.count} of {', '.join(sorted(set(image.dtypes)))}"
                )
            scale = SIZE / max(image.shape)
            height, width = (max(round(side * scale), 1) for side in image.shape)
            # GDAL reads the nearest resolution level, which is smooth already. An image that is
            # smaller than the thumbnail is enlarged in blocks.
            colours = image.read(out_shape=(3, height, width))
        # In the specification, 0 in all three colours means "no data" (S2-PDGS-TAS-DI-PSD, TCI).
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
