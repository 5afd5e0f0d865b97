"""The mean viewing direction over all bands."""

import pytest
from lxml import etree

from sandbox.granule import granule_metadata
from sandbox.product import NEW
from stage_in.errors import ProductError
from stage_in.safe.bands import BANDS
from stage_in.safe.viewing_angles import read_viewing_angles
from stage_in.safe.xml import XmlFile


def read(azimuths: list[str], zeniths: list[str] | None = None) -> tuple[float, float] | None:
    """Read MTD_TL.xml with these angles, one of each band."""
    root = etree.fromstring(granule_metadata(NEW))
    means = [*root.iter("Mean_Viewing_Incidence_Angle")]
    for mean, azimuth, zenith in zip(means, azimuths, zeniths or ["5"] * len(means), strict=True):
        mean.find("AZIMUTH_ANGLE").text = azimuth
        mean.find("ZENITH_ANGLE").text = zenith
    return read_edited(etree.tostring(root))


def read_edited(document: bytes) -> tuple[float, float] | None:
    return read_viewing_angles(XmlFile(document, "MTD_TL.xml", "Level-1C_Tile_ID"))


def test_azimuths_around_north_have_a_mean_in_the_north() -> None:
    """Their arithmetic mean would point south."""
    azimuth, _ = read(["350", "10"] * 6 + ["0"])
    assert azimuth == pytest.approx(0, abs=1e-6)
    azimuth, _ = read(["350"] * 12 + ["10"])
    assert 350 < azimuth < 352


def test_zeniths_have_an_arithmetic_mean() -> None:
    zeniths = [str(number) for number in range(len(BANDS))]
    assert read(["90"] * len(BANDS), zeniths) == (90, 6)


def test_no_mean_unless_each_band_has_angles() -> None:
    assert read(["NaN"] + ["10"] * 12) is None
    assert read(["10"] * 13, ["5"] * 12 + ["NaN"]) is None
    root = etree.fromstring(granule_metadata(NEW))
    mean = root.find(".//Mean_Viewing_Incidence_Angle")
    means = mean.getparent()
    means.remove(mean)
    assert read_edited(etree.tostring(root)) is None
    means[:] = []
    assert read_edited(etree.tostring(root)) is None
    means.getparent().remove(means)
    assert read_edited(etree.tostring(root)) is None


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('Angle bandId="3"', 'Angle bandId="x"', "bandId 0 to 12"),
        ('Angle bandId="3"', 'Angle bandId="13"', "bandId 0 to 12"),
        ('<AZIMUTH_ANGLE unit="deg">2', '<AZIMUTH_ANGLE unit="deg">9', "0 to 360 degrees"),
        ('<AZIMUTH_ANGLE unit="deg">2', '<AZIMUTH_ANGLE unit="deg">-', "0 to 360 degrees"),
        ('<AZIMUTH_ANGLE unit="deg">2', '<AZIMUTH_ANGLE unit="deg">x', "must be a number"),
    ],
)
def test_invalid_angles_are_refused(old: str, new: str, complaint: str) -> None:
    text = granule_metadata(NEW).decode()
    assert old in text
    with pytest.raises(ProductError) as error:
        read_edited(text.replace(old, new).encode())
    assert complaint in str(error.value)
    assert "MTD_TL.xml" in str(error.value)
