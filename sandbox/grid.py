"""The tiling grid: the location of a tile, computed from its name.

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
# Mean northing of a degree of latitude in metres, within 10 km everywhere in the grid. That is
# enough to tell squares of the same name apart, which are 2000 km from each other.
_DEGREE = 110_950

# Corners are multiples of the largest pixel size, so that the pixels of all resolutions align.
_SNAP = 60


@dataclass(frozen=True)
class Tile:
    """Location of a tile.

    Attributes:
        epsg: Code of its UTM coordinate reference system, 326zz (north) or 327zz (south).
        ulx: Easting of its upper-left corner, in metres.
        uly: Northing of its upper-left corner, in metres; in the south it includes the false
            northing.
    """

    epsg: int
    ulx: int
    uly: int


def locate(name: str) -> Tile:
    """Locate a tile by its name.

    Args:
        name: Zone, latitude band, column and row of the 100 km square, as "32TQM".

    Returns:
        The tile's coordinate reference system and upper-left corner. Easting and northing are
        snapped outwards to multiples of 60 m, the northing counted from the equator.

    Raises:
        ValueError: The grid does not contain this tile.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"expected a tile such as 32TQM, found {name!r}")
    zone, band = int(match[1]), _LATITUDE_BANDS.index(match[2])
    column = _COLUMNS[(zone - 1) % 3].find(match[3])
    if not 1 <= zone <= 60 or column < 0:
        raise ValueError(
            f"expected a tile of the grid, found {name}: zone {zone} has no such column"
        )

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
    """Return the distance of a square from the equator in metres, negative in the south."""
    height = 12 if band == len(_LATITUDE_BANDS) - 1 else 8
    middle = (-80 + 8 * band + height / 2) * _DEGREE
    # At the equator, rows start with A in odd zones and with F in even zones.
    first = (_ROWS.index(row) - (0 if zone % 2 else 5)) * _SQUARE
    turns = round((middle - _SQUARE / 2 - first) / _ROW_CYCLE)
    edge = first + turns * _ROW_CYCLE
    # A square that lies in two latitude bands has a name in each of them.
    if abs(edge + _SQUARE / 2 - middle) > height / 2 * _DEGREE + _SQUARE:
        raise ValueError(
            f"expected a tile of the grid, found {name}: its latitude band has no such row"
        )
    return edge
