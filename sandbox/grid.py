"""The tiling grid: where a tile lies, computed from its name.

Sentinel-2 tiles are the 100 km squares of the Military Grid Reference System (NGA.STND.0037),
widened to 109.8 km to the east and south.
"""

import re
from dataclasses import dataclass
from math import ceil, floor

_LATITUDE_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_COLUMNS = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_NAME = re.compile(rf"(\d\d)([{_LATITUDE_BANDS}])([A-Z])([{_ROWS}])")

_SQUARE = 100_000
_ROW_CYCLE = len(_ROWS) * _SQUARE
_FALSE_NORTHING = 10_000_000
# Metres of northing in a degree of latitude: a mean, good to 10 km between the equator and the
# polar ends of the grid. Squares of one name are 2000 km apart.
_DEGREE = 110_950

# Corners are whole multiples of the coarsest pixel, so that the pixels of all resolutions nest.
_SNAP = 60


@dataclass(frozen=True)
class Tile:
    """Where a tile lies.

    Attributes:
        epsg: Code of its UTM coordinate reference system, 326zz in the north, 327zz in the south.
        ulx: Easting of its upper-left corner, in metres.
        uly: Northing of its upper-left corner, in metres, with the false northing in the south.
    """

    epsg: int
    ulx: int
    uly: int


def locate(name: str) -> Tile:
    """Find a tile by its name.

    Args:
        name: Zone, latitude band, column and row of the 100 km square, as "32TQM".

    Returns:
        The tile's coordinate reference system and upper-left corner. Easting and northing are
        snapped outwards to multiples of 60 m, the northing counted from the equator.

    Raises:
        ValueError: There is no such square.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"expected a tile such as 32TQM, found {name!r}")
    zone, band = int(match[1]), _LATITUDE_BANDS.index(match[2])
    column = _COLUMNS[(zone - 1) % 3].find(match[3])
    if not 1 <= zone <= 60 or column < 0:
        raise ValueError(f"the grid has no tile {name}: zone {zone} has no column {match[3]}")

    west = (column + 1) * _SQUARE
    south = _southern_edge(match[4], zone, band, name)
    northern = match[2] >= "N"
    uly = ceil((south + _SQUARE) / _SNAP) * _SNAP
    return Tile(
        epsg=(32600 if northern else 32700) + zone,
        ulx=floor(west / _SNAP) * _SNAP,
        uly=uly if northern else uly + _FALSE_NORTHING,
    )


def _southern_edge(row: str, zone: int, band: int, name: str) -> int:
    """Metres from the equator, negative in the south."""
    height = 12 if band == len(_LATITUDE_BANDS) - 1 else 8
    middle = (-80 + 8 * band + height / 2) * _DEGREE
    # Rows begin at A on the equator in odd zones, at F in even ones.
    first = (_ROWS.index(row) - (0 if zone % 2 else 5)) * _SQUARE
    turns = round((middle - _SQUARE / 2 - first) / _ROW_CYCLE)
    edge = first + turns * _ROW_CYCLE
    # A square that straddles two bands goes by the name of either.
    if abs(edge + _SQUARE / 2 - middle) > height / 2 * _DEGREE + _SQUARE:
        raise ValueError(f"the grid has no tile {name}: no row {row} in its latitude band")
    return edge
