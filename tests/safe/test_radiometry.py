"""Scale, offsets and the number for "no data", read from MTD_MSIL1C.xml."""

from dataclasses import replace

import pytest

from sandbox.metadata import product_metadata
from sandbox.product import NEW, OLD, Recipe
from stage_in.errors import ProductError
from stage_in.safe.bands import BANDS
from stage_in.safe.radiometry import Radiometry
from stage_in.safe.xml import XmlFile


def read(recipe: Recipe, *edits: tuple[str, str]) -> Radiometry:
    text = product_metadata(recipe).decode()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return Radiometry.read(XmlFile(text.encode(), "MTD_MSIL1C.xml", "Level-1C_User_Product"))


def test_each_band_has_its_own_offset() -> None:
    offsets = tuple(range(-1200, -1200 + 13 * 100, 100))
    radiometry = read(replace(NEW, offsets=offsets, quantification=8000))
    assert radiometry.scale == 0.000125
    assert [radiometry.offset(band) for band in BANDS] == [offset / 8000 for offset in offsets]
    # The order of band_id is not alphabetical: B8A is 8 and B09 is 9.
    assert radiometry.add_offsets["B8A"] == -400
    assert radiometry.add_offsets["B09"] == -300
    assert radiometry.nodata == 0


def test_offsets_are_0_without_a_list() -> None:
    for recipe in (OLD, replace(NEW, offsets=None)):
        radiometry = read(recipe)
        assert [radiometry.offset(band) for band in BANDS] == [0] * 13


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('band_id="12"', 'band_id="11"', "band_id '11' in MTD_MSIL1C.xml must occur once"),
        ('band_id="12"', 'band_id="13"', "band_id 0 to 12"),
        ('band_id="0"', 'id="0"', "band_id 0 to 12"),
        ('band_id="3">-1000<', 'band_id="3">minus<', "RADIO_ADD_OFFSET of band_id '3'"),
        ('band_id="3">-1000<', 'band_id="3"><', "is ''"),
        (">10000<", ">0<", "must be 1 to 100000"),
        (">10000<", ">-10000<", "is -10000"),
        (">10000<", ">1e300<", "is 1e+300"),
        ('band_id="3">-1000<', 'band_id="3">-70000<', "is -70000"),
        (">10000<", ">NaN<", "must be a number"),
        ("QUANTIFICATION_VALUE", "QUANTIFICATION", "once, but occurs 0 times"),
        ("</Radiometric_Offset_List>", "</Radiometric_Offset_List><Radiometric_Offset_List/>", "2"),
        ("SPECIAL_VALUE_INDEX", "SPECIAL_INDEX", "SPECIAL_VALUE_INDEX of NODATA"),
        ("_INDEX>0<", "_INDEX>1e300<", "SPECIAL_VALUE_INDEX of NODATA"),
        ("_INDEX>0<", "_INDEX>-1<", "is -1"),
        ("_INDEX>0<", "_INDEX>0.5<", "is 0.5"),
    ],
)
def test_invalid_radiometry_is_refused(old: str, new: str, complaint: str) -> None:
    with pytest.raises(ProductError) as error:
        read(NEW, (old, new))
    assert complaint in str(error.value)
    assert "MTD_MSIL1C.xml" in str(error.value)
