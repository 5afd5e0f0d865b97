"""The rasters: bands, true-colour images and masks as lossless JPEG 2000.

Each function returns a file's content. A pixel has the value of the `Field` at its centre.
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

# Block sizes of real products, by resolution.
_BLOCK = {10: 1024, 20: 640, 60: 192, PREVIEW_RESOLUTION: 1024}
# Real bands have 15 bits.
_BITS = 15
_MAX_NUMBER = 2**_BITS - 1
# The reflectance that is white in a true-colour image.
_WHITE_REFLECTANCE = 0.3558
# Rows that are computed at once, which limits the memory for a full tile.
_MAX_ROWS = 1024


def digital_numbers(
    reflectance: NDArray[np.float64], quantification: int, offset: int
) -> NDArray[np.uint16]:
    """Encode reflectance as Level-1C stores it.

    DN = reflectance * QUANTIFICATION_VALUE - RADIO_ADD_OFFSET (S2-PDGS-TAS-DI-PSD, Level-1C
    radiometric offset), but at least 1, because 0 means no data.

    Args:
        reflectance: Top-of-atmosphere reflectance, NaN where there are no data.
        quantification: The product's QUANTIFICATION_VALUE.
        offset: The band's RADIO_ADD_OFFSET, -1000 from baseline 04.00 on.

    Returns:
        Digital numbers of the same shape, 0 where there are no data.
    """
    numbers = np.clip(np.rint(reflectance * quantification - offset), 1, _MAX_NUMBER)
    return np.asarray(np.nan_to_num(numbers, nan=0), np.uint16)


def band(recipe: Recipe, name: str) -> bytes:
    """Make the raster of a band."""
    resolution = RESOLUTION[name]
    slabs = [
        digital_numbers(
            recipe.field.reflectance(name, x, y), recipe.quantification, recipe.offset(name)
        )
        for x, y in _slabs(recipe, resolution)
    ]
    return _encode(recipe, np.concatenate(slabs)[np.newaxis], resolution, _BITS)


def true_colour(recipe: Recipe, resolution: int) -> bytes:
    """Make the true-colour image: B04, B03, B02 with 8 bits each; 0 where there are no data."""
    slabs = [_colours(recipe.field, x, y) for x, y in _slabs(recipe, resolution)]
    return _encode(recipe, np.concatenate(slabs, axis=1), resolution, 8)


def classification_mask(recipe: Recipe) -> bytes:
    """Make MSK_CLASSI: layers of one bit at 60 m for opaque clouds, cirrus and snow."""
    cover = land_cover(recipe, 60)
    cloud, snow = cover == LandCover.CLOUD, cover == LandCover.SNOW
    return _encode(recipe, np.stack([cloud, np.zeros_like(cloud), snow]), 60, 1)


def detector_mask(recipe: Recipe, resolution: int) -> bytes:
    """Make MSK_DETFOO: the number of the pixel's detector, 0 where there are no data."""
    cover = land_cover(recipe, resolution)
    column = np.arange(cover.shape[1]) * len(DETECTORS) // cover.shape[1]
    detector = np.where(cover == LandCover.NODATA, 0, np.array(DETECTORS)[column])
    return _encode(recipe, detector[np.newaxis], resolution, 8)


def quality_mask(recipe: Recipe, resolution: int) -> bytes:
    """Make MSK_QUALIT: eight layers of one bit. Only the sixth, "no data", is ever set."""
    cover = land_cover(recipe, resolution)
    layers = np.zeros((8, *cover.shape), np.uint8)
    layers[5] = cover == LandCover.NODATA
    return _encode(recipe, layers, resolution, 1)


def land_cover(recipe: Recipe, resolution: int) -> NDArray[np.uint8]:
    """Return the land cover of the whole product."""
    return np.concatenate([recipe.field.land_cover(x, y) for x, y in _slabs(recipe, resolution)])


@lru_cache
def percentage(recipe: Recipe, cover: LandCover) -> str:
    """Write the percentage of a land cover among the 60 m pixels with data."""
    pixels = land_cover(recipe, 60)
    return f"{100 * (pixels == cover).sum() / (pixels != LandCover.NODATA).sum():.6f}"


def picture() -> bytes:
    """Make a small grey JPEG, for the picture in HTML/ that the manifest does not list."""
    levels = np.linspace(0, 255, 32).astype(np.uint8)
    with rasterio.Env(GDAL_PAM_ENABLED="NO"), MemoryFile(ext=".jpg") as file:
        # Without a transform, rasterio warns.
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
    levels = np.clip(np.rint(layers * (255 / _WHITE_REFLECTANCE)), 1, 255)
    return np.asarray(np.nan_to_num(levels, nan=0), np.uint8)


def _slabs(
    recipe: Recipe, resolution: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield the eastings and northings of the pixels' centres, some rows at a time."""
    size = recipe.extent // resolution
    centres: NDArray[np.float64] = (np.arange(size, dtype=float) + 0.5) * resolution
    x = recipe.place.ulx + centres[np.newaxis, :]
    y = recipe.place.uly - centres[:, np.newaxis]
    for start in range(0, size, _MAX_ROWS):
        yield x, y[start : start + _MAX_ROWS]


def _encode(recipe: Recipe, layers: NDArray[np.generic], resolution: int, bits: int) -> bytes:
    """Encode layers (layer, row, column) as a georeferenced JPEG 2000 of `bits` bits."""
    count, height, width = layers.shape
    dtype = "uint16" if bits > 8 else "uint8"
    corner = Affine(resolution, 0, recipe.place.ulx, 0, -resolution, recipe.place.uly)
    block = _BLOCK[resolution]
    # GDAL rejects blocks below 32 pixels. A small raster is one block anyway.
    tiling = {"blockxsize": block, "blockysize": block} if width > block else {}
    # Without this, GDAL writes sidecar files, which real products do not contain.
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
