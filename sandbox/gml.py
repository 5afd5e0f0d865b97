"""Masks as polygons, which products have up to baseline 03.01.

The format is a mask of the Earth Observation profile of GML (OGC 10-157), in UTM coordinates.
"""

from affine import Affine
from lxml import etree
from lxml.builder import ElementMaker
from rasterio.features import shapes
from shapely import LinearRing, Polygon, box
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from sandbox.field import LandCover
from sandbox.raster import DETECTORS, land_cover
from sandbox.recipe import Recipe
from sandbox.xml import serialise

_GML = "http://www.opengis.net/gml/3.2"
_EOP = "http://www.opengis.net/eop/2.0"


def gml_mask(recipe: Recipe, kind: str, band: str) -> bytes:
    """Write a GML mask.

    Args:
        recipe: The product.
        kind: CLOUDS, DEFECT, DETFOO, NODATA, SATURA or TECQUA.
        band: The band, or B00 for a mask of all bands.
    """
    eop = ElementMaker(namespace=_EOP, nsmap={"eop": _EOP, "gml": _GML})
    gml = ElementMaker(namespace=_GML)
    mask = f"MSK_{kind}_{band}"
    features = [
        eop.MaskFeature(
            _gml_id(f"{name}.{number}"),
            eop.maskType(type_, codeSpace=f"urn:gs2:S2PDGS:mask:{kind}"),
            eop.extentOf(
                gml.Polygon(
                    _gml_id(f"{name}.{number}.Polygon"),
                    gml.exterior(_ring(gml, polygon.exterior)),
                    *(gml.interior(_ring(gml, ring)) for ring in polygon.interiors),
                )
            ),
        )
        for number, (name, type_, polygon) in enumerate(_mask_members(recipe, kind, band), 1)
    ]
    left, bottom, right, top = _square(recipe).bounds
    content = [
        gml.name(f"{mask} of {recipe.granule_id}"),
        gml.boundedBy(
            gml.Envelope(
                gml.lowerCorner(f"{left:.0f} {bottom:.0f}"),
                gml.upperCorner(f"{right:.0f} {top:.0f}"),
                srsName=f"urn:ogc:def:crs:EPSG::{recipe.place.epsg}",
            )
        ),
    ]
    if features:
        content.append(eop.maskMembers(*features))
    return serialise(eop.Mask(_gml_id(mask), *content))


def _square(recipe: Recipe) -> Polygon:
    left, top = recipe.place.ulx, recipe.place.uly
    return box(left, top - recipe.extent, left + recipe.extent, top)


def _mask_members(recipe: Recipe, kind: str, band: str) -> list[tuple[str, str, Polygon]]:
    """Return name, type and outline of the areas of a mask."""
    data = Polygon(recipe.outline)
    if kind == "CLOUDS":
        return [("OPAQUE", "OPAQUE", cloud) for cloud in _clouds(recipe, data)]
    if kind == "DETFOO":
        return [
            (f"detector_footprint-{band}-{detector:02}", "DETECTOR_FOOTPRINT", part)
            for detector, part in zip(DETECTORS, _detector_strips(recipe, data), strict=True)
            if part is not None
        ]
    if kind == "NODATA":
        return [
            (f"nodata-{band}", "QT_NODATA_PIXELS", part)
            for part in _polygons(_square(recipe).difference(data))
        ]
    return []


def _clouds(recipe: Recipe, data: Polygon) -> list[Polygon]:
    """Return the outlines of the clouds in pixels of 60 m, clipped to the area with data."""
    cloudy = (land_cover(recipe, 60) == LandCover.CLOUD).astype("uint8")
    corner = Affine(60, 0, recipe.place.ulx, 0, -60, recipe.place.uly)
    outlines = [shape(outline) for outline, _ in shapes(cloudy, cloudy == 1, transform=corner)]
    return [cloud for outline in outlines for cloud in _polygons(outline.intersection(data))]


def _detector_strips(recipe: Recipe, data: Polygon) -> list[Polygon | None]:
    """Return the area with data that each detector sees; None if it sees none."""
    left, bottom, right, top = _square(recipe).bounds
    width = (right - left) / len(DETECTORS)
    parts = []
    for number in range(len(DETECTORS)):
        strip = box(left + number * width, bottom, left + (number + 1) * width, top)
        part = _polygons(strip.intersection(data))
        parts.append(part[0] if part else None)
    return parts


def _polygons(area: BaseGeometry) -> list[Polygon]:
    return [
        part for part in getattr(area, "geoms", [area]) if isinstance(part, Polygon) and part.area
    ]


def _ring(gml: ElementMaker, ring: LinearRing) -> etree._Element:
    positions = " ".join(f"{x:.0f} {y:.0f}" for x, y in ring.coords)
    return gml.LinearRing(gml.posList(positions, srsDimension="2"))


def _gml_id(value: str) -> dict[str, str]:
    return {f"{{{_GML}}}id": value}
