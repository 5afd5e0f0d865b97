from dataclasses import replace

import numpy as np
import pytest

from sandbox.field import PATCH, Field, LandCover
from sandbox.recipe import NEW


@pytest.fixture
def field() -> Field:
    return NEW.field


def test_every_land_cover_occurs(field: Field):
    centres = (np.arange(NEW.pixels) + 0.5) * 10
    cover = field.land_cover(field.ulx + centres[None, :], field.uly - centres[:, None])

    assert set(np.unique(cover)) == set(LandCover) - {LandCover.NODATA}


def test_tiles_of_64_pixels_are_uniform(field: Field):
    centres = (np.arange(17 * 64) + 0.5) * 10
    cover = field.land_cover(field.ulx + centres[None, :], field.uly - centres[:, None])
    tiles = cover.reshape(17, 64, 17, 64)

    assert (tiles == tiles[:, :1, :, :1]).all()


def test_scalars_and_arrays_agree(field: Field):
    x, y = field.ulx + 105, field.uly - 3005
    grid = field.reflectance("B05", np.array([[x, x + 20]]), np.array([[y], [y - 20]]))

    assert grid.shape == (2, 2)
    assert field.reflectance("B05", x, y) == pytest.approx(grid[0, 0])


def test_spectra_distinguish_the_land_covers(field: Field):
    steps = np.arange(5, 6 * PATCH, 130)
    x, y = field.ulx + steps[None, :], field.uly - steps[:, None]
    cover = field.land_cover(x, y)
    green, red, nir, swir = (field.reflectance(band, x, y) for band in ("B03", "B04", "B08", "B11"))

    def on(what: LandCover, condition: np.ndarray) -> bool:
        return bool(condition[cover == what].all())

    assert on(LandCover.WATER, (green - nir) / (green + nir) > 0)
    assert on(LandCover.VEGETATION, (nir - red) / (nir + red) > 0.6)
    assert on(LandCover.BARE, (swir > nir) & (nir > red))
    assert on(LandCover.BUILT, ((nir - red) / (nir + red) < 0.2) & (swir < 0.26))
    assert on(LandCover.CLOUD, (red > 0.4) & (swir < red) & (swir > 0.3))
    assert on(LandCover.SNOW, (green - swir) / (green + swir) > 0.6)


def test_seeds_change_pixels_but_not_land_cover(field: Field):
    other = replace(field, seed=1)
    x, y = field.ulx + np.arange(0, 9000, 97), field.uly - 4000

    assert (field.land_cover(x, y) == other.land_cover(x, y)).all()
    assert (field.reflectance("B08", x, y) != other.reflectance("B08", x, y)).all()
