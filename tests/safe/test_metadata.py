"""The metadata of a product: what is read, and what contradicts its name or its manifest."""

from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from sandbox.field import LandCover
from sandbox.granule import granule_metadata
from sandbox.manifest import listed_files
from sandbox.metadata import product_metadata
from sandbox.product import NEW, OLD, Recipe
from sandbox.raster import percentage
from stage_in.errors import ProductError
from stage_in.safe.bands import BANDS
from stage_in.safe.manifest import Entry
from stage_in.safe.metadata import ProductMetadata
from stage_in.safe.name import ProductName
from stage_in.safe.xml import XmlFile
from tests.editing import PRODUCT

GRANULE = "MTD_TL.xml"


def read(recipe: Recipe, file: str = PRODUCT, old: str = "", new: str = "") -> ProductMetadata:
    """Read the metadata of a recipe after a text in one of the files was replaced."""
    texts = {
        PRODUCT: product_metadata(recipe).decode(),
        GRANULE: granule_metadata(recipe).decode(),
    }
    assert old in texts[file]
    if old:
        texts[file] = texts[file].replace(old, new)
    return ProductMetadata.read(
        ProductName.parse(recipe.name),
        XmlFile(texts[PRODUCT].encode(), PRODUCT, "Level-1C_User_Product"),
        XmlFile(texts[GRANULE].encode(), GRANULE, "Level-1C_Tile_ID"),
        {file.path: Entry(file.path, 1) for file in listed_files(recipe)},
    )


def test_metadata_of_a_new_product() -> None:
    metadata = read(NEW)
    assert metadata.generation_time == "2024-08-14T11:52:31.000000Z"
    assert metadata.sensing_time == "2024-08-14T10:06:46.266543Z"
    assert (metadata.baseline, metadata.centre) == ("05.11", "2APS")
    assert metadata.doi == "10.5270/S2_-742ikth"
    assert (metadata.epsg, metadata.corner) == (32632, (699960, 4700040))
    assert metadata.images.keys() == {*BANDS, "TCI"}
    assert all(PurePosixPath(path).stem.endswith(band) for band, path in metadata.images.items())
    assert metadata.snow_cover == float(percentage(NEW, LandCover.SNOW)) > 1


def test_metadata_of_an_old_product() -> None:
    metadata = read(OLD)
    assert metadata.centre == "EPAE"
    assert metadata.doi is None
    assert metadata.snow_cover is None


def test_the_baseline_in_tile_id_is_ignored() -> None:
    assert read(replace(NEW, tile_id_baseline="02.09")) == read(NEW)


@pytest.mark.parametrize("doi", ["", "https://doi.org/", "http://dx.doi.org/", "doi:"])
def test_notations_of_a_doi(doi: str) -> None:
    old = "https://doi.org/10.5270/S2_-742ikth"
    assert read(NEW, PRODUCT, old, f"{doi}10.5270/S2_-742ikth").doi == "10.5270/S2_-742ikth"
    for unknown in (
        "unknown",
        "10.5270/&lt;x&gt;",
        f"10.5270/{'x' * 101}",
        "10.x/y",
        "10.5270/a?b=c",
    ):
        assert read(NEW, PRODUCT, old, f"{doi}{unknown}").doi is None


REFUSED = {
    "another product": (PRODUCT, "<PRODUCT_URI>S2A", "<PRODUCT_URI>S2B", "PRODUCT_URI"),
    "level": (PRODUCT, ">Level-1C<", ">Level-2A<", "must be Level-1C"),
    "baseline": (PRODUCT, ">05.11<", ">05.10<", "must be 05.11"),
    "spacecraft": (PRODUCT, ">Sentinel-2A<", ">Sentinel-2B<", "must be Sentinel-2A"),
    "orbit": (PRODUCT, ">122<", ">123<", "must be 122"),
    "direction": (PRODUCT, ">DESCENDING<", ">SIDEWAYS<", "SENSING_ORBIT_DIRECTION"),
    "start": (PRODUCT, "PRODUCT_START_TIME>2024", "PRODUCT_START_TIME>", "PRODUCT_START_TIME"),
    "leaving": (PRODUCT, "IMAGE_FILE>GRANULE/", "IMAGE_FILE>../GRANULE/", "plain and relative"),
    "absolute": (PRODUCT, "IMAGE_FILE>GRANULE/", "IMAGE_FILE>/GRANULE/", "plain and relative"),
    "unlisted": (PRODUCT, "_B03</IMAGE_FILE>", "_B13</IMAGE_FILE>", "in manifest.safe, but"),
    "another tile": (PRODUCT, "IMG_DATA/T32TQM", "IMG_DATA/T32TQL", "must be of tile 32TQM"),
    "twice": (PRODUCT, "_B03</IMAGE_FILE>", "_B02</IMAGE_FILE>", "once"),
    "granules": (
        PRODUCT,
        "</Granule>",
        "</Granule><Granule/>",
        "Granule in MTD_MSIL1C.xml must occur once",
    ),
    "datastrip": (PRODUCT, 'datastripIdentifier="S2A_', 'datastripIdentifier="', "datastripIden"),
    "footprint": (PRODUCT, "EXT_POS_LIST>4", "EXT_POS_LIST>N", "EXT_POS_LIST"),
    "corners": (PRODUCT, "EXT_POS_LIST>", f"EXT_POS_LIST>{'42 11 ' * 200}", "4 to 200 corners"),
    "no footprint": (PRODUCT, "EXT_POS_LIST", "INT_POS_LIST", "EXT_POS_LIST"),
    "conversion": (PRODUCT, "Reflectance_Conversion", "Reflectance", "Reflectance_Conversion"),
    "truncated": (
        PRODUCT,
        "</n1:Level-1C_User_Product>",
        "",
        "MTD_MSIL1C.xml is not well-formed XML",
    ),
    "root": (PRODUCT, "n1:Level-1C_User", "n1:Level-2A_User", "must be Level-1C_User_Product"),
    "tile": (GRANULE, "_T32TQM_", "_T32TQL_", "must contain tile 32TQM"),
    "zone": (GRANULE, "EPSG:32632", "EPSG:32633", "must be EPSG:32632"),
    "no size": (GRANULE, "<NROWS>1098</NROWS>", "", "/NROWS in"),
    "clouds": (GRANULE, "CLOUDY_PIXEL_PERCENTAGE>", "CLOUDY_PIXEL_PERCENTAGE>900", "0 to 100"),
    "place": (PRODUCT, "EXT_POS_LIST>42", "EXT_POS_LIST>52", "at the tile in the product's name"),
    "rows": (GRANULE, "<NROWS>1098</NROWS>", "<NROWS>99999</NROWS>", "NROWS"),
    "corner": (GRANULE, "<ULX>699960<", "<ULX>799960<", "ULX"),
    "corner of a resolution": (GRANULE, '<Geoposition resolution="60"', "<Geoposition", "ULX"),
    "no content": (GRANULE, "Image_Content_QI", "Content", "Image_Content_QI"),
    "sun": (GRANULE, '<ZENITH_ANGLE unit="deg">3', '<ZENITH_ANGLE unit="deg">x', "ZENITH_ANGLE"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_contradictions_are_refused(what: str) -> None:
    file, old, new, complaint = REFUSED[what]
    with pytest.raises(ProductError) as error:
        read(NEW, file, old, new)
    message = str(error.value)
    assert complaint in message
    assert "\n" not in message
    assert file in message
    assert error.value.exit_code == 65
