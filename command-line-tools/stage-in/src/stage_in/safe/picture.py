"""Small pictures of the true colour images."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from stage_in.errors import ProductError
from stage_in.safe.raster import open_image

if TYPE_CHECKING:
    import numpy as np


def draw_picture(path: Path, name: str, size: int) -> tuple[bytes, tuple[int, int]]:
    """Draw a small picture of a true colour image, transparent where there are no data.

    Args:
        path: the image.
        name: the name of the file in messages.
        size: pixels of the longer side.

    Returns:
        A PNG with red, green, blue and alpha; rows and columns. The same image gives the same
        bytes.

    Raises:
        ProductError: it is not such an image, or can't be read.
    """
    import numpy as np

    with open_image(path, name) as image:
        if image.count != 3 or set(image.dtypes) != {"uint8"}:
            raise ProductError(
                f"the image {name} must have red, green and blue with 8 bits, but has "
                f"{image.count} of {', '.join(sorted(set(image.dtypes)))}"
            )
        scale = size / max(image.shape)
        height, width = (max(round(side * scale), 1) for side in image.shape)
        # GDAL reads the nearest resolution level, which is smooth already. An image that is
        # smaller than the picture is enlarged in blocks.
        colours = image.read(out_shape=(3, height, width))
    # In the specification, 0 in all three colours means "no data" (S2-PDGS-TAS-DI-PSD, TCI).
    opaque = np.where(colours.any(axis=0), 255, 0).astype("uint8")
    return _encode(np.concatenate([colours, opaque[np.newaxis]])), (height, width)


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
