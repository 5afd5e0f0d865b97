"""The synthetic landscape: reflectance and land cover as functions of the coordinates.

Every pixel of every band can be predicted from its coordinates alone, so a test can check the
pixels of a staged product without a reference file.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from math import inf, pi

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sandbox.landscape import BRIGHTNESS, Surface, look
from sandbox.waves import add_products

# The bands in the order of band_id, in which B8A precedes B09 (S2-PDGS-TAS-DI-PSD, section on
# Spectral_Information_List).
BANDS = (
    "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12",
)  # fmt: skip

RESOLUTION = {
    "B01": 60, "B02": 10, "B03": 10, "B04": 10, "B05": 20, "B06": 20, "B07": 20,
    "B08": 10, "B8A": 20, "B09": 60, "B10": 60, "B11": 20, "B12": 20,
}  # fmt: skip
"""Pixel size by band, in metres."""


class LandCover(IntEnum):
    """The land cover of a pixel."""

    NODATA = 0
    WATER = 1
    VEGETATION = 2
    BARE = 3
    BUILT = 4
    CLOUD = 5
    SNOW = 6


# Top-of-atmosphere reflectance by surface, in the order of BANDS. Scattering raises the short
# wavelengths; water vapour absorbs most of B09 and B10, except above clouds.
_SPECTRA = {
    (Surface.WOOD, LandCover.VEGETATION): (
        0.095, 0.062, 0.071, 0.040, 0.080, 0.210, 0.265, 0.280, 0.295, 0.100, 0.0015, 0.120, 0.055,
    ),
    (Surface.MEADOW, LandCover.VEGETATION): (
        0.110, 0.078, 0.106, 0.072, 0.125, 0.255, 0.300, 0.320, 0.335, 0.115, 0.0015, 0.200, 0.105,
    ),
    (Surface.CROP, LandCover.VEGETATION): (
        0.105, 0.072, 0.108, 0.052, 0.115, 0.290, 0.380, 0.400, 0.415, 0.130, 0.0015, 0.180, 0.085,
    ),
    (Surface.RIPE_CROP, LandCover.VEGETATION): (
        0.115, 0.086, 0.134, 0.125, 0.170, 0.235, 0.270, 0.290, 0.305, 0.105, 0.0017, 0.260, 0.160,
    ),
    (Surface.SOIL, LandCover.BARE): (
        0.125, 0.108, 0.140, 0.172, 0.195, 0.205, 0.220, 0.230, 0.245, 0.085, 0.0020, 0.330, 0.295,
    ),
    (Surface.STUBBLE, LandCover.BARE): (
        0.160, 0.142, 0.188, 0.225, 0.245, 0.255, 0.268, 0.280, 0.295, 0.100, 0.0020, 0.400, 0.350,
    ),
    (Surface.ROCK, LandCover.BARE): (
        0.155, 0.142, 0.155, 0.168, 0.185, 0.195, 0.205, 0.215, 0.225, 0.085, 0.0022, 0.300, 0.260,
    ),
    (Surface.SNOW, LandCover.SNOW): (
        0.450, 0.435, 0.415, 0.400, 0.405, 0.410, 0.415, 0.420, 0.415, 0.150, 0.0040, 0.055, 0.045,
    ),
    (Surface.WATER, LandCover.WATER): (
        0.120, 0.085, 0.064, 0.030, 0.028, 0.026, 0.025, 0.022, 0.020, 0.009, 0.0012, 0.010, 0.007,
    ),
    (Surface.CITY, LandCover.BUILT): (
        0.175, 0.160, 0.162, 0.168, 0.180, 0.190, 0.198, 0.205, 0.215, 0.085, 0.0018, 0.235, 0.200,
    ),
    (Surface.SUBURB, LandCover.BUILT): (
        0.145, 0.118, 0.138, 0.135, 0.155, 0.190, 0.205, 0.215, 0.225, 0.085, 0.0018, 0.225, 0.170,
    ),
    (Surface.CLOUD, LandCover.CLOUD): (
        0.370, 0.362, 0.352, 0.345, 0.350, 0.355, 0.358, 0.350, 0.355, 0.200, 0.0200, 0.300, 0.240,
    ),
}  # fmt: skip

_COVERS = np.zeros(len(Surface), np.uint8)
_REFLECTANCE = np.zeros((len(Surface), len(BANDS)))
for (_surface, _cover), _spectrum in _SPECTRA.items():
    _COVERS[_surface] = _cover
    _REFLECTANCE[_surface] = _spectrum

# Waves that vary the reflectance: wavelength to the east and to the south in metres, and amplitude.
# The shortest ones prevent lossless JPEG 2000 from compressing the rasters to almost nothing. The
# wavelengths are not multiples of the pixel sizes, so no two rows are equal.
_RIPPLES = (
    (7310.0, 5230.0, 0.015),
    (613.0, 887.0, 0.010),
    (47.3, 38.9, 0.005),
    (23.7, 29.1, 0.003),
)

SWATH_SLOPE = 0.2
"""Metres by which the eastern edge of the swath moves west for each metre south.

A descending Sentinel-2 crosses middle latitudes at about 11 degrees to the meridian.
"""


# The largest grid whose surfaces are remembered, because each band asks for them again.
_MAX_REMEMBERED = 2**24  # pixels


@lru_cache(maxsize=24)  # rows of grids: those of all rasters of a full tile
def look_at_grid(east: bytes, south: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Return what `look` returns for a grid, and remember it."""
    return look(np.frombuffer(east)[np.newaxis, :], np.frombuffer(south)[:, np.newaxis])


@dataclass(frozen=True)
class Field:
    """Reflectance and land cover of one product.

    Attributes:
        ulx: Easting of the product's upper-left corner, in metres.
        uly: Northing of the same corner, in metres.
        seed: Shifts the ripples, so that two products of a tile differ. It does not change the land
            cover.
        swath: Distance of the swath's eastern edge from the corner, along the northern edge of the
            product, in metres. The edge moves west by `SWATH_SLOPE`.
    """

    ulx: float
    uly: float
    seed: int = 0
    swath: float = inf

    def land_cover(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.uint8]:
        """Return the land cover at UTM coordinates.

        Args:
            x: Easting in metres, a scalar or an array.
            y: Northing in metres, in a shape that broadcasts with `x`.

        Returns:
            Values of `LandCover`, in the broadcast shape.
        """
        east, south = self._from_corner(x, y)
        surface, _ = self._look(east, south)
        in_swath = east + SWATH_SLOPE * south < self.swath
        return np.asarray(np.where(in_swath, _COVERS[surface], LandCover.NODATA), np.uint8)

    def reflectance(self, band: str, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Compute the top-of-atmosphere reflectance at UTM coordinates.

        Args:
            band: One of `BANDS`.
            x: Easting in metres, a scalar or an array.
            y: Northing in metres, in a shape that broadcasts with `x`.

        Returns:
            Reflectance from 0 to 1, NaN where there are no data.
        """
        index = BANDS.index(band)
        east, south = self._from_corner(x, y)
        surface, brightness = self._look(east, south)
        factors = BRIGHTNESS * _REFLECTANCE[:, index]
        reflectance = np.asarray(1 + self._ripple(index, east, south))
        reflectance *= factors[surface]
        reflectance *= brightness
        if self.swath < inf:
            in_swath = east + SWATH_SLOPE * south < self.swath
            reflectance = np.where(in_swath, reflectance, np.nan)
        return reflectance

    @staticmethod
    def _look(
        east: NDArray[np.float64], south: NDArray[np.float64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        is_grid = east.ndim == 2 and east.shape[0] == south.shape[1] == 1
        if is_grid and east.size * south.size <= _MAX_REMEMBERED:
            return look_at_grid(east.tobytes(), south.tobytes())
        shape = np.broadcast_shapes(east.shape, south.shape)
        surface, brightness = look(np.atleast_1d(east), np.atleast_1d(south))
        return surface.reshape(shape), brightness.reshape(shape)

    def _ripple(
        self, index: int, east: NDArray[np.float64], south: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        to_east, to_south = [], []
        for number, (length, breadth, amplitude) in enumerate(_RIPPLES):
            # The phase differs between bands, so that tests notice when two bands are swapped.
            phase = 0.7 * self.seed + 0.4 * index + number
            to_east.append(amplitude * np.sin(2 * pi * east / length + phase))
            to_south.append(np.cos(2 * pi * south / breadth - phase))
        return add_products(np.stack(to_east), np.stack(to_south))

    def _from_corner(
        self, x: ArrayLike, y: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the metres to the east and to the south, in arrays with as many axes."""
        east, south = np.asarray(x, float) - self.ulx, self.uly - np.asarray(y, float)
        axes = max(east.ndim, south.ndim)
        east, south = (one.reshape((1,) * (axes - one.ndim) + one.shape) for one in (east, south))
        return east, south
