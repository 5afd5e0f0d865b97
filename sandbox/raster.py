"""The rasters: bands, true-colour images and masks as lossless JPEG 2000.

Each function returns a file's content. Pixels are points of the field at the pixels' centres.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from sandbox.field import RESOLUTION, Field, LandCover
from sandbox.recipe import Recipe

PREVIEW_RESOLUTION = 320
"""Pixel size of the preview image (PVI), in metres."""

DETECTORS = (6, 7)
"""The detectors that see the product, from west to east."""

# Coded tile sizes of real products, by resolution.
_BLOCK = {10: 1024, 20: 640, 60: 192, PREVIEW_RESOLUTION: 1024}
# Bands are stored with 15 bits; 65535 is kept for saturated pixels.
_BITS = 15
_BRIGHTEST = 2**_BITS - 1
# The reflectance that becomes white in a true-colour image.
_WHITE = 0.3558
# Rows that are computed at once: bounds the memory that a full tile takes.
_SLAB = 1024


def digital_numbers(
    reflectance: NDArray[np.float64], quantification: int, offset: int
) -> NDArray[np.uint16]:
    """Encode reflectance as Level-1C stores it.

    DN = reflectance * QUANTIFICATION_VALUE - RADIO_ADD_OFFSET (S2-PDGS-TAS-DI-PSD, Level-1C
    radiometric offset), at least 1, since 0 says that there are no data.

    Args:
        reflectance: Top-of-atmosphere reflectance, NaN where there are no data.
        quantification: The product's QUANTIFICATION_VALUE.
        offset: The band's RADIO_ADD_OFFSET, -1000 from baseline 04.00 on.

    Returns:
        Digital numbers of the same shape, 0 where there are no data.
    """
    numbers = np.clip(np.rint(reflectance * quantification - offset), 1, _BRIGHTEST)
    return np.asarray(np.nan_to_num(numbers, nan=0), np.uint16)


def band(recipe: Recipe, name: str) -> bytes:
    """Make the raster of one band."""
    resolution = RESOLUTION[name]
    slabs = [
        digital_numbers(
            recipe.field.reflectance(name, x, y), recipe.quantification, recipe.offset(name)
        )
        for x, y in _slabs(recipe, resolution)
    ]
    return _encode(recipe, np.concatenate(slabs)[np.newaxis], resolution, _BITS)


def true_colour(recipe: Recipe, resolution: int) -> bytes:
    """Make the true-colour image: B04, B03, B02 in 8 bits each, black where there are no data."""
    slabs = [_colours(recipe.field, x, y) for x, y in _slabs(recipe, resolution)]
    return _encode(recipe, np.concatenate(slabs, axis=1), resolution, 8)


def classification_mask(recipe: Recipe) -> bytes:
    """Make MSK_CLASSI: opaque clouds, cirrus, snow, each a layer of one bit at 60 m."""
    cover = land_cover(recipe, 60)
    cloud, snow = cover == LandCover.CLOUD, cover == LandCover.SNOW
    return _encode(recipe, np.stack([cloud, np.zeros_like(cloud), snow]), 60, 1)


def detector_mask(recipe: Recipe, resolution: int) -> bytes:
    """Make MSK_DETFOO: the number of the detector that saw the pixel, 0 where there are no data."""
    cover = land_cover(recipe, resolution)
    column = np.arange(cover.shape[1]) * len(DETECTORS) // cover.shape[1]
    detector = np.where(cover == LandCover.NODATA, 0, np.array(DETECTORS)[column])
    return _encode(recipe, detector[np.newaxis], resolution, 8)


def quality_mask(recipe: Recipe, resolution: int) -> bytes:
    """Make MSK_QUALIT: eight layers of one bit, all clear but the sixth, "no data"."""
    cover = land_cover(recipe, resolution)
    layers = np.zeros((8, *cover.shape), np.uint8)
    layers[5] = cover == LandCover.NODATA
    return _encode(recipe, layers, resolution, 1)


def land_cover(recipe: Recipe, resolution: int) -> NDArray[np.uint8]:
    """Map the land cover over the whole product."""
    return np.concatenate([recipe.field.land_cover(x, y) for x, y in _slabs(recipe, resolution)])


@lru_cache
def percentage(recipe: Recipe, cover: LandCover) -> str:
    """Write the share of a land cover among the 60 m pixels with data, in per cent."""
    pixels = land_cover(recipe, 60)
    return f"{100 * (pixels == cover).sum() / (pixels != LandCover.NODATA).sum():.6f}"


def picture() -> bytes:
    """Make a small grey JPEG, the kind of ornament that HTML/ has and the manifest has not."""
    levels = np.linspace(0, 255, 32).astype(np.uint8)
    with rasterio.Env(GDAL_PAM_ENABLED="NO"), MemoryFile(ext=".jpg") as file:
        # A transform of no meaning, or rasterio warns that there is none.
        with file.open(
            driver="JPEG",
            width=32,
            height=32,
            count=1,
            dtype="uint8",
            transform=Affine(10, 0, 0, 0, -10, 0),
        ) as dataset:
            dataset.write(np.broadcast_to(levels, (1, 32, 32)))
        return bytes(file.read())


def _colours(field: Field, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.uint8]:
    layers = np.stack([field.reflectance(name, x, y) for name in ("B04", "B03", "B02")])
    levels = np.clip(np.rint(layers * (255 / _WHITE)), 1, 255)
    return np.asarray(np.nan_to_num(levels, nan=0), np.uint8)


def _slabs(
    recipe: Recipe, resolution: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Centres of the pixels: a row of eastings and a column of northings, slab by slab."""
    size = recipe.extent // resolution
    centres = (np.arange(size) + 0.5) * resolution
    x = recipe.place.ulx + centres[np.newaxis, :]
    y = recipe.place.uly - centres[:, np.newaxis]
    for start in range(0, size, _SLAB):
        yield x, y[start : start + _SLAB]


def _encode(recipe: Recipe, layers: NDArray[np.generic], resolution: int, bits: int) -> bytes:
    """Write layers (layer, row, column) as JPEG 2000 of `bits` bits, georeferenced."""
    count, height, width = layers.shape
    dtype = "uint16" if bits > 8 else "uint8"
    corner = Affine(resolution, 0, recipe.place.ulx, 0, -resolution, recipe.place.uly)
    block = _BLOCK[resolution]
    # GDAL takes no tiles below 32 pixels; a small raster is one tile anyway.
    tiling = {"blockxsize": block, "blockysize": block} if width > block else {}
    # In memory, and without GDAL's side-car files: the folder holds what a product holds.
    with rasterio.Env(GDAL_PAM_ENABLED="NO"), MemoryFile(ext=".jp2") as file:
        with file.open(
            driver="JP2OpenJPEG",
            width=width,
            height=height,
            count=count,
            dtype=dtype,
            crs=f"EPSG:{recipe.place.epsg}",
            transform=corner,
            nbits=bits,
            quality=100,
            reversible="YES",
            **tiling,
        ) as dataset:
            dataset.write(layers.astype(dtype))
        return bytes(file.read())
