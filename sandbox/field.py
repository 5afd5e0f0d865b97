"""The synthetic landscape: reflectance and land cover as functions of the coordinates.

Every pixel of every band can be predicted from its coordinates alone, so a test can check the
pixels of a staged product without a reference file.
"""

from dataclasses import dataclass
from enum import IntEnum
from math import inf, pi

import numpy as np
from numpy.typing import ArrayLike, NDArray

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

PATCH = 1920.0
"""Width of a patch of one land cover, in metres.

It is a multiple of 10, 20, 60, 320 and 640 m, so no pixel of any raster, and no tile of 64 x 64
pixels of 10 m, lies in two patches.
"""


class LandCover(IntEnum):
    """The land cover of a patch."""

    NODATA = 0
    WATER = 1
    VEGETATION = 2
    BARE = 3
    BUILT = 4
    CLOUD = 5
    SNOW = 6


# A row of patches repeats this sequence; the next row to the south starts two elements later. Thus
# two by two neighbouring patches have four different land covers.
_COVER_CYCLE = np.array(
    [
        LandCover.VEGETATION,
        LandCover.WATER,
        LandCover.BARE,
        LandCover.CLOUD,
        LandCover.BUILT,
        LandCover.SNOW,
    ],
    np.uint8,
)

# Top-of-atmosphere reflectance by land cover, in the order of BANDS. Scattering raises the short
# wavelengths; water vapour absorbs most of B09 and B10.
_SPECTRA = {
    LandCover.WATER: (
        0.135, 0.105, 0.080, 0.055, 0.046, 0.038, 0.035, 0.030, 0.027, 0.010, 0.0012, 0.012, 0.008,
    ),
    LandCover.VEGETATION: (
        0.125, 0.095, 0.085, 0.053, 0.100, 0.260, 0.325, 0.345, 0.360, 0.120, 0.0015, 0.170, 0.080,
    ),
    LandCover.BARE: (
        0.150, 0.140, 0.155, 0.195, 0.215, 0.225, 0.240, 0.250, 0.265, 0.090, 0.0020, 0.345, 0.305,
    ),
    LandCover.BUILT: (
        0.165, 0.155, 0.150, 0.160, 0.170, 0.180, 0.190, 0.195, 0.205, 0.080, 0.0018, 0.225, 0.190,
    ),
    LandCover.CLOUD: (
        0.500, 0.490, 0.470, 0.490, 0.500, 0.515, 0.520, 0.510, 0.525, 0.250, 0.0120, 0.370, 0.280,
    ),
    LandCover.SNOW: (
        0.720, 0.740, 0.720, 0.710, 0.700, 0.690, 0.670, 0.640, 0.620, 0.200, 0.0040, 0.080, 0.060,
    ),
}  # fmt: skip

_TABLE = np.full((len(LandCover), len(BANDS)), np.nan)
for _cover, _spectrum in _SPECTRA.items():
    _TABLE[_cover] = _spectrum

# Waves that vary the reflectance: wavelength to the east and to the south in metres, and amplitude.
# The shortest ones prevent lossless JPEG 2000 from compressing the rasters to almost nothing. The
# wavelengths are not multiples of the pixel sizes, so no two rows are equal.
_RIPPLES = (
    (7310.0, 5230.0, 0.015),
    (613.0, 887.0, 0.010),
    (47.3, 38.9, 0.009),
    (23.7, 29.1, 0.006),
)

SWATH_SLOPE = 0.2
"""Metres by which the eastern edge of the swath moves west for each metre south.

A descending Sentinel-2 crosses middle latitudes at about 11 degrees to the meridian.
"""


def patch_cover(column: ArrayLike, row: ArrayLike) -> NDArray[np.uint8]:
    """Return the land cover of a patch, by its column and row from the upper-left corner."""
    index = (np.asarray(column) + 2 * np.asarray(row)) % len(_COVER_CYCLE)
    cover: NDArray[np.uint8] = _COVER_CYCLE[index]
    return cover


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
        cover = patch_cover(np.floor(east / PATCH).astype(int), np.floor(south / PATCH).astype(int))
        in_swath = east + SWATH_SLOPE * south < self.swath
        return np.asarray(np.where(in_swath, cover, LandCover.NODATA), np.uint8)

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
        flat: NDArray[np.float64] = _TABLE[self.land_cover(x, y), index]
        return flat * self._ripple(index, x, y)

    def _ripple(self, index: int, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        east, south = self._from_corner(x, y)
        ripple = np.asarray(1.0)
        for number, (length, breadth, amplitude) in enumerate(_RIPPLES):
            # The phase differs between bands, so that tests notice when two bands are swapped.
            phase = 0.7 * self.seed + 0.4 * index + number
            # With one factor per axis, sines are computed per row and column, not per pixel.
            ripple = ripple + amplitude * (
                np.sin(2 * pi * east / length + phase) * np.cos(2 * pi * south / breadth - phase)
            )
        return ripple

    def _from_corner(
        self, x: ArrayLike, y: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.asarray(x, float) - self.ulx, self.uly - np.asarray(y, float)
