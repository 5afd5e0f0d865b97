"""The map of the synthetic landscape: what covers the ground at a place, and how bright it is.

Mountains with snow, a river with lakes, woods, fields, towns, and clouds with their shadows, as a
formula of the place: a sum of waves and bumps, compared with thresholds.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from sandbox.waves import TURN, Bump, Layer, Numbers

BRIGHTNESS = 1e-4
"""The unit of factors of brightness."""


class Surface(IntEnum):
    """What a pixel shows."""

    WOOD = 0
    MEADOW = 1
    CROP = 2
    RIPE_CROP = 3
    SOIL = 4
    STUBBLE = 5
    ROCK = 6
    SNOW = 7
    WATER = 8
    CITY = 9
    SUBURB = 10
    CLOUD = 11


def _range(*tops: tuple[float, float, float, float, float]) -> list[Bump]:
    """Return a mountain range: height, place and width of each top."""
    return [Bump(h, (x, y), (wx, wy), (37_000, 29_000)) for h, x, y, wx, wy in tops]


# -- the layers: seed, shortest and longest wave in metres, number of waves, bumps. Places and seeds
# are chosen so that a product of 11 km shows everything, with whole tiles of 64 pixels of each land
# cover, and one of 2 km only fields and woods.

_BASE = Layer(
    20,
    (5000, 26_000),
    8,
    *_range(
        (3.6, 5600, 400, 1500, 1150),
        (2.4, 8700, 1500, 1900, 900),
        (2.4, 13_000, 2400, 2200, 1000),
        (2.4, 17_500, 3000, 2300, 1100),
    ),
    power=0.6,
)
_RIDGES = Layer(11, (420, 4200), 24)
_PATCHES = Layer(5, (500, 5000), 16, power=0.8)
_LAKES = Layer(7, (400, 2500), 10, Bump(6.0, (2600, 5400), (1250, 1000), (19_000, 17_000)))
_TOWNS = Layer(8, (250, 1500), 14, Bump(7.0, (4900, 7500), (1150, 1000), (14_000, 16_000)))
_DRY = Layer(21, (1500, 7000), 10, Bump(5.0, (1700, 9300), (1300, 1100), (22_000, 15_000)))
_CLOUDS = Layer(
    38,
    (260, 3600),
    34,
    Bump(3.4, (2400, 3200), (1150, 850), (21_000, 18_000)),
    Bump(3.2, (6200, 9500), (1350, 950), (25_000, 23_000)),
    power=0.9,
)

_SUN = (0.8, 0.6)
"""The direction to the sun in the morning, towards east and south."""

_SHADOW = (420.0, 330.0)
"""Metres to the east and to the south from a cloud's shadow to the cloud."""

# Angle, size in metres and seed of the fields, and of the blocks of houses.
_PARCELS = 0.35, (400.0, 250.0), 3
_BLOCKS = 0.9, (150.0, 110.0), 9

# The bends of the river: amplitude and length in metres, and phase.
_BENDS = ((800, 7300, 1.0), (450, 3100, 0.4), (1200, 27_000, 5.6), (130, 1100, 0.0))

# Thresholds above which a layer shows, in its own units.
_CLOUDY, _LAKE, _TOWN, _CITY, _WOODED, _DRY_LAND = 2.1, 3.0, 2.3, 3.1, 0.55, 2.2
_SNOW_LINE, _ICE, _ROCK_LINE, _TREES_ABOVE = 2.15, 2.75, 1.45, 0.75


def look(east: Numbers, south: Numbers) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Return what is to be seen, and how bright it is.

    Args:
        east: metres to the east of the corner.
        south: metres to the south of it, with as many axes, in a shape that broadcasts with it.

    Returns:
        Values of `Surface`, and by which factor each is brighter than usual, in units of
        `BRIGHTNESS`.
    """
    patches = _PATCHES.get_height(east, south)
    height, is_icy, shade = _raise_mountains(east, south, patches)
    parcel, hedge = _divide(east, south, patches, *_PARCELS)
    surface, brightness = _sow(parcel, patches, _DRY.get_height(east, south) > _DRY_LAND)
    brightness[hedge < 0.03] *= 0.85

    is_wood = (patches > _WOODED) | (height > _TREES_ABOVE)
    surface[is_wood] = Surface.WOOD
    brightness[is_wood] = 1.0
    brightness *= shade
    _build(east, south, patches, surface, brightness)
    is_water = _is_water(east, south, patches, height)
    surface[is_water] = Surface.WATER
    brightness[is_water] = 1.0
    is_rock = height + 0.12 * patches > _ROCK_LINE
    is_snow = (height + 0.1 * patches > _SNOW_LINE) | is_icy
    surface[is_rock] = Surface.ROCK
    surface[is_snow] = Surface.SNOW
    np.copyto(brightness, shade, where=is_rock | is_snow)

    clouds = _CLOUDS.get_height(east, south)
    towards_sun = _CLOUDS.get_height(east + _SHADOW[0], south + _SHADOW[1])
    brightness[towards_sun > _CLOUDY] *= 0.6
    # With less light, snow would be as dark in the near infrared as water.
    np.maximum(brightness, 0.55, out=brightness, where=surface == Surface.SNOW)
    is_cloud = clouds > _CLOUDY
    surface[is_cloud] = Surface.CLOUD
    thickness = clouds[is_cloud] - _CLOUDY
    # The side that looks to the sun, where the cloud ends, is brighter.
    side = np.clip(0.05 * (thickness + _CLOUDY - towards_sun[is_cloud]), -0.1, 0.1)
    brightness[is_cloud] = 0.66 + 0.42 * np.sqrt(np.clip(thickness / 2.2, 0, 1)) + side
    return surface, np.rint(brightness / BRIGHTNESS).astype(np.uint16)


def _raise_mountains(
    east: Numbers, south: Numbers, patches: Numbers
) -> tuple[Numbers, NDArray[np.bool_], Numbers]:
    """Return the height, where there is ice whatever the height, and how much light there is."""
    base, ridges = _BASE.get_height(east, south), _RIDGES.get_height(east, south)
    relief = np.clip(base, 0, 2.2)
    # The absolute value makes sharp ridges where a smooth layer changes its sign.
    height = base + relief * (0.55 - 0.85 * np.abs(ridges))
    steepness = 1000 * _BASE.get_slope(east, south, _SUN) - relief * (
        np.copysign(850, ridges) * _RIDGES.get_slope(east, south, _SUN)
    )
    return height, base + 0.15 * patches > _ICE, np.clip(1 - 0.3 * steepness, 0.5, 1.35)


def _sow(
    parcel: Numbers, patches: Numbers, is_dry: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], Numbers]:
    """Return what grows on parcels, and how bright it is."""
    kind = parcel + 0.1 * patches
    surface = np.full(kind.shape, Surface.MEADOW, np.uint8)
    for limit in (0.25, 0.55, 0.78, 0.9):  # crop, ripe crop, soil, stubble
        surface += kind >= limit
    is_bare = is_dry & (surface < Surface.SOIL)
    surface[is_bare] = np.where(parcel[is_bare] > 0.4, Surface.STUBBLE, Surface.SOIL)
    return surface, 0.85 + 0.3 * parcel


def _build(
    east: Numbers,
    south: Numbers,
    patches: Numbers,
    surface: NDArray[np.uint8],
    brightness: Numbers,
) -> None:
    """Put towns on the ground."""
    town = _TOWNS.get_height(east, south)
    is_town = town > _TOWN
    x, y = (np.broadcast_to(one, town.shape)[is_town] for one in (east, south))
    block, street = _divide(x, y, 0.5 * patches[is_town], *_BLOCKS)
    surface[is_town] = np.where(town[is_town] > _CITY, Surface.CITY, Surface.SUBURB)
    brightness[is_town] = np.where(street < 0.08, 0.72, 0.8 + 0.5 * block)


def _is_water(
    east: Numbers, south: Numbers, patches: Numbers, height: Numbers
) -> NDArray[np.bool_]:
    """Tell whether there is a lake or a river."""
    course, width = np.full_like(east, 5300.0), 105 + 35 * np.sin(TURN * east / 9000)
    for amplitude, length, phase in _BENDS:
        course += amplitude * np.sin(TURN * east / length + phase)
    is_river = (np.abs(south - course + 60 * patches) < width) & (height < _TREES_ABOVE + 0.3)
    return is_river | (_LAKES.get_height(east, south) > _LAKE)


def _divide(
    east: Numbers,
    south: Numbers,
    warp: Numbers,
    angle: float,
    size: tuple[float, float],
    seed: int,
) -> tuple[Numbers, Numbers]:
    """Divide the land into parcels, in rows that are shifted against each other.

    Args:
        east: metres to the east.
        south: metres to the south.
        warp: bends the borders.
        angle: of the rows, in radians.
        size: length and width of a parcel in metres.
        seed: another one gives other numbers.

    Returns:
        A number from 0 to 1 for each parcel, and the distance to its border, of which the middle
        has 0.5.
    """
    random = np.random.RandomState(seed)
    shifts, numbers = random.random_sample(64), random.random_sample(64 * 64)
    length, width = size
    along = (np.cos(angle) * east + np.sin(angle) * south + 120 * warp) / length
    column = np.floor(along).astype(np.int32)
    across = (np.cos(angle) * south - np.sin(angle) * east + 90 * warp) / width
    across += 7 * shifts.take(column & 63)
    row = np.floor(across).astype(np.int32)
    border = 0.5 - np.maximum(np.abs(along - column - 0.5), np.abs(across - row - 0.5))
    return numbers.take((column & 63) << 6 | row & 63), border
