"""The metadata of a product, checked against its name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from stage_in.errors import ProductError
from stage_in.safe.bands import BANDS, TRUE_COLOR
from stage_in.safe.footprint import FOOTPRINT, check_footprint
from stage_in.safe.manifest import Entry
from stage_in.safe.name import ProductName
from stage_in.safe.paths import check_path
from stage_in.safe.radiometry import Radiometry
from stage_in.safe.tile import SIDE
from stage_in.safe.viewing_angles import read_viewing_angles
from stage_in.safe.xml import XmlFile
from stage_in.secrets import excerpt

_INFO = "{*}General_Info/Product_Info"
_GRANULE = f"{_INFO}/Product_Organisation/Granule_List/Granule"
_GEOCODING = "{*}Geometric_Info/Tile_Geocoding"
_ANGLES = "{*}Geometric_Info/Tile_Angles"
_CONTENT = "{*}Quality_Indicators_Info/Image_Content_QI"

# stactools-sentinel2 copies these numbers unchecked. Where they are there, they must be in range.
_CONVERSION = "{*}General_Info/Product_Image_Characteristics/Reflectance_Conversion"
_PRODUCT_RANGES = {f"{_CONVERSION}/U": (0.5, 2)}
_GRANULE_RANGES = {
    f"{_CONTENT}/CLOUDY_PIXEL_PERCENTAGE": (0, 100),
    f"{_CONTENT}/DEGRADED_MSI_DATA_PERCENTAGE": (0, 100),
    f"{_ANGLES}/Mean_Sun_Angle/ZENITH_ANGLE": (0, 180),
    f"{_ANGLES}/Mean_Sun_Angle/AZIMUTH_ANGLE": (0, 360),
}
_RESOLUTIONS = (10, 20, 60)  # metres
_CORNER_TOLERANCE = 1000  # metres; the images are compared with the corner exactly
_DATASTRIP_ID = re.compile(
    r"S2[A-D]_OPER_MSI_L1C_DS_(?P<centre>\w{4})_\d{8}T\d{6}_S\d{8}T\d{6}_N\d\d\.\d\d", re.ASCII
)
_DOI = re.compile(
    r"(https?://(dx\.)?doi\.org/|doi:)?(?P<doi>10\.\d{4,9}/[-.;()/:\w]{1,100})", re.ASCII
)


@dataclass(frozen=True)
class ProductMetadata:
    """The fields of MTD_MSIL1C.xml and MTD_TL.xml that stactools-sentinel2 does not read.

    Attributes:
        generation_time: when the product was processed, in UTC.
        baseline: the processing baseline, such as `05.11`.
        centre: the processing centre, such as `2APS`, as the identifiers of the specification
            name it.
        doi: of the collection, such as `10.5270/S2_-742ikth`; from baseline 05.00 on.
        sensing_time: when the first line of the tile was sensed, in UTC.
        epsg: EPSG code of the tile's coordinate reference system.
        corner: easting and northing of the tile's upper-left corner, in metres.
        images: path of each band's image below the SAFE folder, by band; `TCI` is the true colour
            image.
        radiometry: how digital numbers become reflectance.
        snow_cover: per cent; from baseline 04.00 on.
        viewing_angles: mean azimuth and zenith of the viewing direction over all bands, in
            degrees.
    """

    generation_time: str
    baseline: str
    centre: str
    doi: str | None
    sensing_time: str
    epsg: int
    corner: tuple[float, float]
    images: Mapping[str, str]
    radiometry: Radiometry
    snow_cover: float | None
    viewing_angles: tuple[float, float] | None

    @classmethod
    def read(
        cls,
        name: ProductName,
        product: XmlFile,
        granule: XmlFile,
        entries: Mapping[str, Entry],
    ) -> Self:
        """Read the metadata of a product, and check that they belong to it.

        Args:
            name: the product's name.
            product: MTD_MSIL1C.xml.
            granule: MTD_TL.xml.
            entries: what manifest.safe lists.

        Raises:
            ProductError: the metadata belong to another product, contradict each other, or lack
                what an item needs.
        """
        _check_product(name, product)
        _check_granule(name, granule)
        snow = f"{_CONTENT}/SNOW_PIXEL_PERCENTAGE"
        return cls(
            generation_time=product.time(f"{_INFO}/GENERATION_TIME"),
            baseline=product.text(f"{_INFO}/PROCESSING_BASELINE"),
            centre=_read_centre(product),
            doi=_read_doi(product),
            sensing_time=granule.time("{*}General_Info/SENSING_TIME"),
            epsg=name.epsg,
            corner=_read_corner(name, granule),
            images=_read_images(name, product, entries),
            radiometry=Radiometry.read(product),
            snow_cover=None if _lacks(granule, snow) else granule.number(snow, 0, 100),
            viewing_angles=read_viewing_angles(granule),
        )


def _check_product(name: ProductName, product: XmlFile) -> None:
    product.expect(f"{_INFO}/PRODUCT_URI", name.folder)
    product.expect(f"{_INFO}/PROCESSING_LEVEL", "Level-1C")
    product.expect(f"{_INFO}/PRODUCT_TYPE", "S2MSI1C")
    product.expect(f"{_INFO}/PROCESSING_BASELINE", name.baseline)
    product.expect(f"{_INFO}/Datatake/SPACECRAFT_NAME", name.spacecraft)
    direction = f"{_INFO}/Datatake/SENSING_ORBIT_DIRECTION"
    if product.elements(direction):
        product.text(direction, "ASCENDING|DESCENDING")
    product.time(f"{_INFO}/PRODUCT_START_TIME")
    _check_ranges(product, _PRODUCT_RANGES)
    product.element(_CONVERSION)
    product.element("{*}Quality_Indicators_Info")
    path = f"{_INFO}/Datatake/SENSING_ORBIT_NUMBER"
    if product.number(path) != name.relative_orbit:
        raise ProductError(
            f"{product.describe(path)} must be {name.relative_orbit:03}, but is "
            f"{product.text(path)}"
        )
    for element in product.elements(FOOTPRINT) or [product.element(FOOTPRINT)]:
        check_footprint(element.text or "", name.place, product.describe(FOOTPRINT))


def _check_granule(name: ProductName, granule: XmlFile) -> None:
    """Check MTD_TL.xml against the name. The baseline in TILE_ID is ignored."""
    path = "{*}General_Info/TILE_ID"
    tile_id = granule.text(path)
    if f"_T{name.tile}_" not in tile_id:
        raise ProductError(
            f"{granule.describe(path)} must contain tile {name.tile}, but is "
            f"{excerpt(tile_id, 100)}"
        )
    granule.expect(f"{_GEOCODING}/HORIZONTAL_CS_CODE", f"EPSG:{name.epsg}")
    for resolution in _RESOLUTIONS:
        for side in ("NROWS", "NCOLS"):
            path = f"{_GEOCODING}/Size[@resolution='{resolution}']/{side}"
            granule.text(path, r"[1-9]\d{0,4}")
            granule.number(path, 1, SIDE / resolution)
    _check_ranges(granule, _GRANULE_RANGES)
    granule.element(_CONTENT)


def _check_ranges(file: XmlFile, ranges: Mapping[str, tuple[float, float]]) -> None:
    for path, (minimum, maximum) in ranges.items():
        if not _lacks(file, path):  # stactools-sentinel2 leaves out what is lacking
            file.number(path, minimum, maximum)


def _lacks(file: XmlFile, path: str) -> bool:
    """Tell whether a number is missing, or is NaN because it could not be computed."""
    return [(element.text or "").strip() for element in file.elements(path)] in ([], ["NaN"])


def _read_centre(product: XmlFile) -> str:
    identifier = product.element(_GRANULE).get("datastripIdentifier", "")
    match = _DATASTRIP_ID.fullmatch(identifier)
    if match is None:
        raise ProductError(
            f"the datastripIdentifier of Granule in {product.name} must look like "
            "S2A_OPER_MSI_L1C_DS_2APS_20230216T063628_S20230216T045412_N05.09, but is "
            f"{excerpt(identifier, 100)!r}"
        )
    return match["centre"].rstrip("_")


def _read_doi(product: XmlFile) -> str | None:
    elements = product.elements(f"{_INFO}/PRODUCT_DOI")
    match = _DOI.fullmatch((elements[0].text or "").strip()) if len(elements) == 1 else None
    return match["doi"] if match else None


def _read_corner(name: ProductName, granule: XmlFile) -> tuple[float, float]:
    """Return the upper-left corner. stactools-sentinel2 uses that of the first resolution."""
    numbers = name.place.corner
    ranges = [(number - _CORNER_TOLERANCE, number + _CORNER_TOLERANCE) for number in numbers]
    corners = {
        (
            granule.number(f"{position}/ULX", *ranges[0]),
            granule.number(f"{position}/ULY", *ranges[1]),
        )
        for position in (f"{_GEOCODING}/Geoposition[@resolution='{res}']" for res in _RESOLUTIONS)
    }
    if len(corners) != 1 or len(granule.elements(f"{_GEOCODING}/Geoposition")) != len(_RESOLUTIONS):
        raise ProductError(
            f"{granule.describe(_GEOCODING)} must have one upper-left corner for all resolutions, "
            f"but has {len(corners)}"
        )
    return corners.pop()


def _read_images(
    name: ProductName, product: XmlFile, entries: Mapping[str, Entry]
) -> dict[str, str]:
    """Return the paths of the images, which must be the 14 of one granule in manifest.safe.

    stactools-sentinel2 copies `IMAGE_FILE` even if it contains `../` or lacks a band.
    """
    product.element(_GRANULE)
    images: dict[str, str] = {}
    for element in product.elements(f"{_GRANULE}/IMAGE_FILE"):
        path = check_path(f"{(element.text or '').strip()}.jp2", f"IMAGE_FILE of {product.name}")
        band = path.removesuffix(".jp2").rpartition("_")[2]
        if f"/T{name.tile}_" not in path:
            raise ProductError(
                f"IMAGE_FILE of {product.name} must be of tile {name.tile}, but is {path}"
            )
        if band in images or path not in entries:
            raise ProductError(
                f"each IMAGE_FILE of {product.name} must occur once and be in manifest.safe, but "
                f"{path} does not"
            )
        images[band] = path
    differing = {*BANDS, TRUE_COLOR} ^ images.keys()
    if differing:
        raise ProductError(
            f"IMAGE_FILE of {product.name} must name {len(BANDS)} bands and {TRUE_COLOR}, but "
            f"these are missing or unknown: {', '.join(sorted(differing))}"
        )
    return images
