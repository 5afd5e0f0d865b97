"""What a product's metadata say of it, checked against its name."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from xml.etree.ElementTree import Element

from stage_in.errors import ProductError
from stage_in.safe.bands import BANDS, TRUE_COLOR
from stage_in.safe.manifest import Entry, check_path
from stage_in.safe.radiometry import Radiometry
from stage_in.safe.xml import XmlFile, read_number
from stage_in.sources.product import Product

_INFO = "{*}General_Info/Product_Info"
_GRANULE = f"{_INFO}/Product_Organisation/Granule_List/Granule"
_FOOTPRINT = "{*}Geometric_Info/Product_Footprint/Product_Footprint/Global_Footprint/EXT_POS_LIST"
_GEOCODING = "{*}Geometric_Info/Tile_Geocoding"
_ANGLES = "{*}Geometric_Info/Tile_Angles"
_MEANS = f"{_ANGLES}/Mean_Viewing_Incidence_Angle_List"
_CONTENT = "{*}Quality_Indicators_Info/Image_Content_QI"

# Numbers that a draft takes as they are: where they are there, they are within these bounds.
_CONVERSION = "{*}General_Info/Product_Image_Characteristics/Reflectance_Conversion"
_NUMBERS = {f"{_CONVERSION}/U": (0.5, 2)}
_GRANULE_NUMBERS = {
    f"{_CONTENT}/CLOUDY_PIXEL_PERCENTAGE": (0, 100),
    f"{_CONTENT}/DEGRADED_MSI_DATA_PERCENTAGE": (0, 100),
    f"{_ANGLES}/Mean_Sun_Angle/ZENITH_ANGLE": (0, 180),
    f"{_ANGLES}/Mean_Sun_Angle/AZIMUTH_ANGLE": (0, 360),
}
_RESOLUTIONS = (10, 20, 60)  # metres
# Of a footprint; real ones have five to some twenty. What mends a ring that crosses itself takes
# 100 s for so many, and never ends for a thousand.
_MAX_CORNERS = 200
_DATASTRIP_ID = re.compile(
    r"S2[A-D]_OPER_MSI_L1C_DS_(?P<centre>\w{4})_\d{8}T\d{6}_S\d{8}T\d{6}_N\d\d\.\d\d", re.ASCII
)
_DOI = re.compile(r"(https?://(dx\.)?doi\.org/|doi:)?(?P<doi>10\.\w{4,}/[!-~]+)", re.ASCII)


@dataclass(frozen=True)
class ProductMetadata:
    """What MTD_MSIL1C.xml and MTD_TL.xml say, as far as an item needs more than it is drafted with.

    Attributes:
        generation_time: when the product was processed, in UTC.
        baseline: the processing baseline, such as `05.11`.
        centre: which processing centre made it, such as `2APS`: the site of the specification's
            identifiers.
        doi: of the collection, such as `10.5270/S2_-742ikth`, from baseline 05.00 on.
        sensing_time: when the tile's first line was sensed, in UTC.
        epsg: code of the tile's coordinate reference system.
        corner: easting and northing of the tile's upper-left corner, in metres.
        images: path below the SAFE folder by band, and of the true colour image by `TCI`.
        radiometry: how digital numbers become reflectance.
        snow_cover: in per cent, from baseline 04.00 on.
        view: mean azimuth and zenith of the line of sight, in degrees, of all bands.
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
    view: tuple[float, float] | None

    @classmethod
    def read(
        cls, product: Product, document: XmlFile, granule: XmlFile, entries: Mapping[str, Entry]
    ) -> Self:
        """Read the metadata of a product, and check that they are this product's.

        Args:
            product: which it must be.
            document: MTD_MSIL1C.xml.
            granule: MTD_TL.xml.
            entries: what manifest.safe lists, complete.

        Raises:
            ProductError: they are another's, contradict each other, or lack what an item needs.
        """
        _check_product(product, document)
        _check_granule(product, granule)
        snow = f"{_CONTENT}/SNOW_PIXEL_PERCENTAGE"
        return cls(
            generation_time=document.time(f"{_INFO}/GENERATION_TIME"),
            baseline=document.text(f"{_INFO}/PROCESSING_BASELINE"),
            centre=_read_centre(document),
            doi=_read_doi(document),
            sensing_time=granule.time("{*}General_Info/SENSING_TIME"),
            epsg=_epsg(product.tile),
            corner=_read_corner(granule),
            images=_read_images(product, document, entries),
            radiometry=Radiometry.read(document),
            snow_cover=granule.number(snow, 0, 100) if granule.elements(snow) else None,
            view=_read_view(granule),
        )


def _check_product(product: Product, document: XmlFile) -> None:
    """Check MTD_MSIL1C.xml against the name (S2-PDGS-TAS-DI-PSD, "Product naming")."""
    mission, _, _, baseline, orbit, *_ = product.id.split("_")
    document.expect(f"{_INFO}/PRODUCT_URI", product.name)
    document.expect(f"{_INFO}/PROCESSING_LEVEL", "Level-1C")
    document.expect(f"{_INFO}/PRODUCT_TYPE", "S2MSI1C")
    document.expect(f"{_INFO}/PROCESSING_BASELINE", f"{baseline[1:3]}.{baseline[3:]}")
    document.expect(f"{_INFO}/Datatake/SPACECRAFT_NAME", f"Sentinel-{mission[1:]}")
    document.text(f"{_INFO}/Datatake/SENSING_ORBIT_DIRECTION", "ASCENDING|DESCENDING")
    document.time(f"{_INFO}/PRODUCT_START_TIME")
    _check_numbers(document, _NUMBERS)
    document.element(_CONVERSION)
    document.element("{*}Quality_Indicators_Info")
    path = f"{_INFO}/Datatake/SENSING_ORBIT_NUMBER"
    if document.number(path) != int(orbit[1:]):
        raise ProductError(
            f"expected {orbit[1:]} as {document.called(path)}, found {document.text(path)}"
        )
    for element in document.elements(_FOOTPRINT) or [document.element(_FOOTPRINT)]:
        _check_footprint(element.text or "", document.called(_FOOTPRINT))


def _check_granule(product: Product, granule: XmlFile) -> None:
    """Check MTD_TL.xml against the tile; the baseline in TILE_ID is not asked for its opinion."""
    path = "{*}General_Info/TILE_ID"
    tile_id = granule.text(path)
    if f"_T{product.tile}_" not in tile_id:
        raise ProductError(
            f"expected tile {product.tile} in {granule.called(path)}, found {tile_id[:100]}"
        )
    granule.expect(f"{_GEOCODING}/HORIZONTAL_CS_CODE", f"EPSG:{_epsg(product.tile)}")
    for resolution in _RESOLUTIONS:
        for name in ("NROWS", "NCOLS"):
            granule.text(f"{_GEOCODING}/Size[@resolution='{resolution}']/{name}", r"[1-9]\d{0,5}")
    _check_numbers(granule, _GRANULE_NUMBERS)
    granule.element(_CONTENT)


def _check_numbers(document: XmlFile, bounds: Mapping[str, tuple[float, float]]) -> None:
    for path, (least, most) in bounds.items():
        # NaN is said of angles of a tile without an edge in the light; a draft leaves them out.
        if [element.text for element in document.elements(path)] not in ([], ["NaN"]):
            document.number(path, least, most)


def _check_footprint(text: str, what: str) -> None:
    """Check that there are pairs, or triples, of numbers, as many as of a closed triangle at least.

    Whether the ring is closed is not looked at.
    """
    numbers = text.split()
    for number in numbers:
        read_number(number, what)
    if not 8 <= len(numbers) <= 2 * _MAX_CORNERS or (len(numbers) % 2 and len(numbers) % 3):
        raise ProductError(
            f"expected latitude and longitude of 4 to {_MAX_CORNERS} corners as {what}, "
            f"found {text[:80]!r}"
        )


def _epsg(tile: str) -> int:
    """Return the code of UTM on WGS 84 in a tile's zone: 326zz in the north, 327zz in the south."""
    return (32600 if tile[2] >= "N" else 32700) + int(tile[:2])


def _read_centre(document: XmlFile) -> str:
    identifier = document.element(_GRANULE).get("datastripIdentifier", "")
    match = _DATASTRIP_ID.fullmatch(identifier)
    if match is None:
        raise ProductError(
            f"expected datastripIdentifier of Granule in {document.name} to be like "
            "S2A_OPER_MSI_L1C_DS_2APS_20230216T063628_S20230216T045412_N05.09, "
            f"found {identifier[:100]!r}"
        )
    return match["centre"].rstrip("_")


def _read_doi(document: XmlFile) -> str | None:
    elements = document.elements(f"{_INFO}/PRODUCT_DOI")
    match = _DOI.fullmatch((elements[0].text or "").strip()) if len(elements) == 1 else None
    return match["doi"] if match else None


def _read_corner(granule: XmlFile) -> tuple[float, float]:
    position = f"{_GEOCODING}/Geoposition[@resolution='10']"
    return granule.number(f"{position}/ULX"), granule.number(f"{position}/ULY")


def _read_images(
    product: Product, document: XmlFile, entries: Mapping[str, Entry]
) -> dict[str, str]:
    """Return where the images are: the same 14 of one granule that manifest.safe lists.

    `IMAGE_FILE` may say `../` or lack a band, and a draft is made of it all the same.
    """
    document.element(_GRANULE)
    images: dict[str, str] = {}
    for element in document.elements(f"{_GRANULE}/IMAGE_FILE"):
        path = check_path(f"{(element.text or '').strip()}.jp2", f"IMAGE_FILE of {document.name}")
        band = path.removesuffix(".jp2").rpartition("_")[2]
        if f"/T{product.tile}_" not in path:
            raise ProductError(
                f"expected tile {product.tile} in IMAGE_FILE of {document.name}, found {path}"
            )
        if band in images or path not in entries:
            raise ProductError(
                f"expected each IMAGE_FILE of {document.name} once and in manifest.safe, "
                f"found {path}"
            )
        images[band] = path
    missing = {*BANDS, TRUE_COLOR} ^ images.keys()
    if missing:
        raise ProductError(
            f"expected IMAGE_FILE of {len(BANDS)} bands and {TRUE_COLOR} in {document.name}, "
            f"found the wrong ones: {', '.join(sorted(missing))}"
        )
    return images


def _read_view(granule: XmlFile) -> tuple[float, float] | None:
    """Return the mean azimuth and zenith of the line of sight; None if a band has none.

    A draft has the arithmetic mean of the azimuths, which is south of two that look north.
    """
    means = granule.elements(f"{_MEANS}/Mean_Viewing_Incidence_Angle")
    bands = {mean.get("bandId") for mean in means}
    if not means or not bands <= {str(index) for index in range(len(BANDS))}:
        raise ProductError(
            f"expected bandId 0 to {len(BANDS) - 1} in {granule.called(_MEANS)}, found "
            f"{', '.join(sorted(map(repr, bands))) or 'none'}"
        )
    azimuths = [math.radians(_read_angle(granule, mean, "AZIMUTH_ANGLE", 360)) for mean in means]
    zeniths = [_read_angle(granule, mean, "ZENITH_ANGLE", 90) for mean in means]
    if len(bands) < len(BANDS) or any(map(math.isnan, azimuths + zeniths)):
        return None
    north, east = sum(map(math.cos, azimuths)), sum(map(math.sin, azimuths))
    # Rounded to what the mean of angles is good for: the libraries of two machines may differ in
    # the last digit of a cosine.
    azimuth = round(math.degrees(math.atan2(east, north)) % 360, 6) % 360
    return azimuth, round(sum(zeniths) / len(zeniths), 6)


def _read_angle(granule: XmlFile, mean: Element, name: str, most: float) -> float:
    text = (mean.findtext(name) or "").strip()
    if text == "NaN":
        return math.nan
    what = f"{name} in {granule.called(_MEANS)}"
    angle = read_number(text, what)
    if not 0 <= angle <= most:
        raise ProductError(f"expected 0 to {most} degrees as {what}, found {angle:g}")
    return angle
