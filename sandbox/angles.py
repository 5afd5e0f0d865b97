"""Sun and viewing angles, computed from the position in the angle grids."""

from math import floor

from lxml import etree

from sandbox.field import BANDS
from sandbox.raster import DETECTORS
from sandbox.recipe import Recipe
from sandbox.xml import E

# The angle grids have a node every 5 km and cover a whole tile, even if the product is smaller.
_GRID_STEP = 5000
_GRID_SIZE = 23

# Angles at the upper-left corner in degrees, and their gradients in degrees per node.
_SUN_ZENITH, _SUN_AZIMUTH = 34.2, 151.6
_SUN_ZENITH_GRADIENT, _SUN_AZIMUTH_GRADIENT = 0.035, 0.085
_VIEW_ZENITH, _VIEW_AZIMUTH = 3.1, 286.0
_VIEW_ZENITH_GRADIENT = 0.39


def tile_angles(recipe: Recipe) -> etree._Element:
    """Return Tile_Angles of MTD_TL.xml: grids and means, by band and detector."""
    nodes = range(_GRID_SIZE)
    middle = recipe.extent / 2 / _GRID_STEP

    def sun_zenith(column: float, row: float) -> float:
        return _SUN_ZENITH + _SUN_ZENITH_GRADIENT * (row - column)

    def sun_azimuth(column: float, row: float) -> float:
        return _SUN_AZIMUTH + _SUN_AZIMUTH_GRADIENT * (column + row)

    def view_zenith(index: int, column: float) -> float:
        return _VIEW_ZENITH + 0.02 * index + _VIEW_ZENITH_GRADIENT * column

    def view_azimuth(index: int, detector: int) -> float:
        # Odd detectors look ahead of the satellite, even ones behind it.
        return _VIEW_AZIMUTH + 0.3 * index + (8 if detector % 2 else -8)

    def seen(detector: int, column: int) -> bool:
        return DETECTORS.index(detector) == min(floor(column / middle), len(DETECTORS) - 1)

    def view_grids(index: int, detector: int) -> etree._Element:
        zeniths = [view_zenith(index, i) if seen(detector, i) else None for i in nodes]
        azimuths = [view_azimuth(index, detector) if seen(detector, i) else None for i in nodes]
        return E.Viewing_Incidence_Angles_Grids(
            E.Zenith(*_values([zeniths] * _GRID_SIZE)),
            E.Azimuth(*_values([azimuths] * _GRID_SIZE)),
            bandId=str(index),
            detectorId=str(detector),
        )

    means = (
        E.Mean_Viewing_Incidence_Angle(
            *_direction(
                view_zenith(index, middle),
                sum(view_azimuth(index, detector) for detector in DETECTORS) / len(DETECTORS),
            ),
            bandId=str(index),
        )
        for index in range(len(BANDS))
    )
    return E.Tile_Angles(
        E.Sun_Angles_Grid(
            E.Zenith(*_values([[sun_zenith(i, j) for i in nodes] for j in nodes])),
            E.Azimuth(*_values([[sun_azimuth(i, j) for i in nodes] for j in nodes])),
        ),
        E.Mean_Sun_Angle(*_direction(sun_zenith(middle, middle), sun_azimuth(middle, middle))),
        *(view_grids(index, detector) for index in range(len(BANDS)) for detector in DETECTORS),
        E.Mean_Viewing_Incidence_Angle_List(*means),
        metadataLevel="Standard",
    )


def _values(grid: list[list[float | None]]) -> list[etree._Element]:
    rows = (" ".join("NaN" if v is None else f"{v:.4f}" for v in row) for row in grid)
    return [
        E.COL_STEP(_GRID_STEP, unit="m"),
        E.ROW_STEP(_GRID_STEP, unit="m"),
        E.Values_List(*map(E.VALUES, rows)),
    ]


def _direction(zenith: float, azimuth: float) -> list[etree._Element]:
    return [
        E.ZENITH_ANGLE(f"{zenith:.6f}", unit="deg"),
        E.AZIMUTH_ANGLE(f"{azimuth:.6f}", unit="deg"),
    ]
