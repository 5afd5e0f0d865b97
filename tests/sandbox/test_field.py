from dataclasses import replace

import numpy as np
import pytest

from sandbox.field import Field, LandCover
from sandbox.recipe import NEW


@pytest.fixture
def field() -> Field:
    return NEW.field


def test_every_land_cover_occurs(field: Field):
    centres = (np.arange(NEW.pixels) + 0.5) * 10
    cover = field.land_cover(field.ulx + centres[None, :], field.uly - centres[:, None])

    assert set(np.unique(cover)) == set(LandCover) - {LandCover.NODATA}


def test_some_tiles_of_64_pixels_have_one_land_cover(field: Field):
    """Otherwise no test could tell whether they are classified correctly."""
    centres = (np.arange(17 * 64) + 0.5) * 10
    cover = field.land_cover(field.ulx + centres[None, :], field.uly - centres[:, None])
    tiles = cover.reshape(17, 64, 17, 64).swapaxes(1, 2).reshape(17 * 17, -1)
    uniform = tiles[(tiles == tiles[:, :1]).all(axis=1), 0]

    assert set(np.unique(uniform)) == set(LandCover) - {LandCover.NODATA}


def test_grids_and_points_agree(field: Field):
    """A grid is computed in another way than the same points one by one."""
    steps = np.arange(5, 9000, 290.0)
    x, y = field.ulx + steps[None, :], field.uly - steps[:, None]
    points = np.broadcast_arrays(x, y)

    assert (field.land_cover(x, y) == field.land_cover(*points)).all()
    assert field.reflectance("B03", x, y) == pytest.approx(field.reflectance("B03", *points))


def test_large_grids_agree_with_small_ones(field: Field, monkeypatch: pytest.MonkeyPatch):
    """Small ones are remembered."""
    steps = np.arange(5, 9000, 290.0)
    x, y = field.ulx + steps[None, :], field.uly - steps[:, None]
    small = field.reflectance("B03", x, y)
    monkeypatch.setattr("sandbox.field._MAX_REMEMBERED", 0)

    assert (field.reflectance("B03", x, y) == small).all()


def test_clouds_have_shadows(field: Field):
    """It is morning, so they are to the north-west."""
    steps = np.arange(5, 10_980, 30.0)
    x, y = field.ulx + steps[None, :], field.uly - steps[:, None]
    cover = field.land_cover(x, y)
    shadowed = field.land_cover(x + 420, y - 330) == LandCover.CLOUD
    woods = cover == LandCover.VEGETATION
    nir = field.reflectance("B08", x, y)

    assert nir[woods & shadowed].mean() < 0.6 * nir[woods & ~shadowed].mean()


def test_scalars_and_arrays_agree(field: Field):
    x, y = field.ulx + 105, field.uly - 3005
    grid = field.reflectance("B05", np.array([[x, x + 20]]), np.array([[y], [y - 20]]))

    assert grid.shape == (2, 2)
    assert field.reflectance("B05", x, y) == pytest.approx(grid[0, 0])


def test_spectra_distinguish_the_land_covers(field: Field):
    steps = np.arange(5, 12_000, 130)
    x, y = field.ulx + steps[None, :], field.uly - steps[:, None]
    cover = field.land_cover(x, y)
    blue, green, red, nir, cirrus, swir = (
        field.reflectance(band, x, y) for band in ("B02", "B03", "B04", "B08", "B10", "B11")
    )

    def on(what: LandCover, condition: np.ndarray) -> bool:
        return bool(condition[cover == what].all())

    assert on(LandCover.WATER, (green - nir) / (green + nir) > 0.3)
    assert on(LandCover.VEGETATION, (nir - red) / (nir + red) > 0.3)
    assert on(LandCover.BARE, (swir > nir) & (nir > red) & ((nir - red) / (nir + red) < 0.25))
    assert on(LandCover.BUILT, ((nir - red) / (nir + red) < 0.27) & (swir < 1.3 * nir))
    assert on(LandCover.CLOUD, (cirrus > 0.01) & (blue > 0.2) & (swir < nir))
    assert on(LandCover.SNOW, ((green - swir) / (green + swir) > 0.6) & (nir > 0.2))
    assert (cirrus[cover != LandCover.CLOUD] < 0.01).all()


def test_seeds_change_pixels_but_not_land_cover(field: Field):
    other = replace(field, seed=1)
    x, y = field.ulx + np.arange(0, 9000, 97), field.uly - 4000

    assert (field.land_cover(x, y) == other.land_cover(x, y)).all()
    assert (field.reflectance("B08", x, y) != other.reflectance("B08", x, y)).all()
