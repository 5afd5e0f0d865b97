"""The places of tiles, compared with the sandbox's grid and with PROJ."""

import random
import string
from collections.abc import Iterator

import pyproj
import pytest

from sandbox.grid import locate
from stage_in.errors import ProductError
from stage_in.safe.name import EXAMPLE, ProductName
from stage_in.safe.tile import Tile

ZONES = range(1, 61)
SIDE = 109_800


def list_tiles() -> Iterator[str]:
    """Draw some tiles of each zone."""
    choose = random.Random(1).choices
    for zone in ZONES:
        for letters in zip(*(choose(string.ascii_uppercase, k=600) for _ in range(3)), strict=True):
            name = f"{zone:02}{''.join(letters)}"
            try:
                locate(name)
            except ValueError:
                continue
            yield name


def test_places() -> None:
    tiles = [*list_tiles()]
    assert {int(tile[:2]) for tile in tiles} == {*ZONES}
    for name in tiles:
        easting, northing = Tile.parse(name).corner
        expected = locate(name)
        assert 0 <= easting - expected.ulx < 60, name
        assert 0 <= expected.uly - northing < 60, name


def test_what_is_near() -> None:
    for name in [*list_tiles()][::5]:
        place = locate(name)
        transformer = pyproj.Transformer.from_crs(place.epsg, 4326, always_xy=True)
        for x in (0, SIDE / 2, SIDE):
            for y in (0, SIDE / 2, SIDE):
                longitude, latitude = transformer.transform(place.ulx + x, place.uly - y)
                assert Tile.parse(name).is_near(latitude, longitude), name
        assert not Tile.parse(name).is_near(latitude + 3, longitude)
        assert not Tile.parse(name).is_near(-latitude, (longitude + 360) % 360 - 180)


@pytest.mark.parametrize("tile", ["46IEU", "46UJU", "46UEX", "61UEU", "00UEU"])
def test_tiles_that_do_not_exist(tile: str) -> None:
    with pytest.raises(ProductError):
        _ = ProductName.parse(EXAMPLE.replace("T46UEU", f"T{tile}")).place
