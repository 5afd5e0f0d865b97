"""The place of a tile, computed from its name.

Tiles are the squares of 100 km of the Military Grid Reference System (NGA.STND.0037), widened to
109.8 km to the east and south (S2-PDGS-TAS-DI-PSD, "Tiling").
"""

import math
from dataclasses import dataclass
from typing import Self

_BANDS = "CDEFGHJKLMNPQRSTUVWX"  # of latitude, 8 degrees each from 80 degrees south on; X has 12
_COLUMNS = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_SQUARE = 100_000.0  # metres
SIDE = 109_800.0  # metres
_FALSE_EASTING, _FALSE_NORTHING = 500_000.0, 10_000_000.0  # metres
_RADIUS = 0.9996 * 6_367_449.0  # metres: of the sphere with the Earth's meridian, in scale of UTM
_MARGIN = 0.5  # degrees; the sphere is wrong by 0.2 at most


@dataclass(frozen=True)
class Tile:
    """Where a tile is.

    Attributes:
        zone: the UTM zone.
        easting: of its upper-left corner, in metres, to 60 m.
        northing: of its upper-left corner, in metres from the equator, to 60 m.
        is_southern: whether its coordinates have a false northing.
    """

    zone: int
    easting: float
    northing: float
    is_southern: bool

    @classmethod
    def parse(cls, name: str) -> Self:
        """Locate a tile such as `46UEU`.

        Raises:
            ValueError: its zone has no such column or row.
        """
        zone, band = range(1, 61).index(int(name[:2])) + 1, _BANDS.index(name[2])
        column = _COLUMNS[(zone - 1) % 3].index(name[3])
        row = _ROWS.index(name[4]) - (0 if zone % 2 else 5)
        # Names of rows are repeated every 2000 km, which is far more than the height of a band.
        middle = math.radians(8 * band - 80 + (6 if name[2] == "X" else 4)) * _RADIUS
        cycle = len(_ROWS) * _SQUARE
        turns = round((middle - (row + 0.5) * _SQUARE) / cycle)
        return cls(
            zone=zone,
            easting=(column + 1) * _SQUARE,
            northing=(row + 1) * _SQUARE + turns * cycle,
            is_southern=name[2] < "N",
        )

    @property
    def corner(self) -> tuple[float, float]:
        """Easting and northing of its upper-left corner, to 60 m, as in the metadata."""
        return self.easting, self.northing + (_FALSE_NORTHING if self.is_southern else 0)

    def is_near(self, latitude: float, longitude: float) -> bool:
        """Tell whether a position is in the tile, or at most about 50 km away.

        Args:
            latitude: in degrees.
            longitude: in degrees, -180 to 180.
        """
        corners = [
            self._locate(self.easting + x, self.northing - y) for x in (0, SIDE) for y in (0, SIDE)
        ]
        latitudes = [corner[0] for corner in corners]
        if not min(latitudes) - _MARGIN <= latitude <= max(latitudes) + _MARGIN:
            return False
        offsets = [corner[1] for corner in corners]
        margin = _MARGIN / math.cos(math.radians(max(map(abs, latitudes))))
        return min(offsets) - margin <= self.get_offset(longitude) <= max(offsets) + margin

    def get_offset(self, longitude: float) -> float:
        """Return a longitude as degrees east of the central meridian of the zone."""
        return (longitude - (6 * self.zone - 183) + 180) % 360 - 180

    def _locate(self, easting: float, northing: float) -> tuple[float, float]:
        """Return latitude, and longitude from the central meridian (Snyder 1987, section 8)."""
        x, y = (easting - _FALSE_EASTING) / _RADIUS, northing / _RADIUS
        latitude = math.asin(math.sin(y) / math.cosh(x))
        return math.degrees(latitude), math.degrees(math.atan2(math.sinh(x), math.cos(y)))
