"""Checks of the land cover that classify finds, against the field that the sandbox painted."""

from pathlib import Path

import numpy as np
import pystac
import rasterio

from sandbox.field import LandCover
from sandbox.recipe import Recipe

TILE = 640.0  # metres: the side of the squares that classify makes
PIXELS = 64  # along a side
MIXED = 255  # in place of the class of a square that has several


def read_covers(catalog: Path) -> tuple[np.ndarray, rasterio.Affine]:
    """Return the class of each square, and the transform of the raster."""
    item = next(pystac.Catalog.from_file(str(catalog / "catalog.json")).get_items())
    with rasterio.open(item.assets["landcover"].get_absolute_href()) as raster:
        return raster.read(1), raster.transform


def assert_covers(found: np.ndarray, recipe: Recipe) -> None:
    """Check the class of each square that has one land cover only; each class has some."""
    expected = _get_covers(recipe)
    assert found.shape == expected.shape
    uniform = expected != MIXED
    assert (found[uniform] == expected[uniform]).all()
    wanted = set(LandCover) - (set() if recipe.nodata else {LandCover.NODATA})
    assert set(np.unique(found[uniform])) == wanted


def _get_covers(recipe: Recipe) -> np.ndarray:
    """Return the field's class of each square, MIXED where it has several."""
    count = -(-recipe.pixels // PIXELS)
    centres = (np.arange(recipe.pixels) + 0.5) * 10
    field = recipe.field
    cover = field.land_cover(field.ulx + centres[None, :], field.uly - centres[:, None])
    missing = count * PIXELS - recipe.pixels  # of the squares at the lower and right edge
    whole = np.pad(cover, (0, missing), mode="edge")
    squares = whole.reshape(count, PIXELS, count, PIXELS).swapaxes(1, 2).reshape(count, count, -1)
    return np.where((squares == squares[..., :1]).all(axis=-1), squares[..., 0], MIXED)
