"""Checks of the land cover that classify finds, against the field that the sandbox painted."""

from pathlib import Path

import numpy as np
import pystac
import rasterio

from sandbox.field import Field, LandCover
from sandbox.recipe import Recipe

TILE = 640.0  # metres: the side of the squares that classify makes


def read_covers(catalog: Path) -> tuple[np.ndarray, rasterio.Affine]:
    """Return the class of each square, and the transform of the raster."""
    item = next(pystac.Catalog.from_file(str(catalog / "catalog.json")).get_items())
    with rasterio.open(item.assets["landcover"].get_absolute_href()) as raster:
        return raster.read(1), raster.transform


def assert_covers(found: np.ndarray, recipe: Recipe) -> None:
    """Check the class of each square, except for those that the edge of the swath crosses."""
    expected = _get_covers(recipe.field, found.shape)
    edge = np.zeros(found.shape, bool)
    if recipe.nodata:
        rows, columns = np.indices(found.shape) * TILE
        ends = recipe.field.swath - 0.2 * rows  # metres to the east, at the square's upper edge
        edge = (columns < ends) & (ends - 0.2 * TILE < columns + TILE)
        assert (expected == LandCover.NODATA).any()
        assert edge.sum() < found.size / 8
    assert (np.where(edge, 0, found) == np.where(edge, 0, expected)).all()
    assert set(np.unique(expected)) >= set(LandCover) - {LandCover.NODATA}


def _get_covers(field: Field, shape: tuple[int, int]) -> np.ndarray:
    """Return the field's class at the centre of each square; a patch is three by three of them."""
    rows, columns = (np.arange(length) + 0.5 for length in shape)
    return field.land_cover(field.ulx + columns * TILE, field.uly - rows[:, None] * TILE)
