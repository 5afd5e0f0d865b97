from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sandbox.recipe import NEW, Recipe


def test_names():
    recipe = Recipe(
        satellite="C", baseline="05.12", tile="46UEU", relative_orbit=7, sensing=NEW.sensing
    )

    assert recipe.name == "S2C_MSIL1C_20240814T100031_N0512_R007_T46UEU_20240814T115231.SAFE"
    assert recipe.tile_sensing > recipe.sensing
    assert recipe.station == "2CPS"
    assert (recipe.orbit + 3) % 143 == 7


def test_times_are_written_in_utc():
    east = datetime(2024, 8, 14, 12, tzinfo=UTC).astimezone()

    assert "_20240814T120000_" in replace(NEW, sensing=east).name


@pytest.mark.parametrize(
    "change",
    [
        {"pixels": 100},
        {"pixels": 0},
        {"offsets": (-1000,)},
        {"sensing": datetime(2024, 8, 14)},
    ],
)
def test_invalid_recipe(change: dict):
    with pytest.raises(ValueError, match="expected"):
        replace(NEW, **change)
