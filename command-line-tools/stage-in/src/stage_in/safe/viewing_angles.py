"""The mean viewing direction of a product, from MTD_TL.xml."""

import math
from xml.etree.ElementTree import Element

from stage_in.errors import ProductError
from stage_in.safe.bands import BANDS
from stage_in.safe.xml import XmlFile, parse_number

_MEANS = "{*}Geometric_Info/Tile_Angles/Mean_Viewing_Incidence_Angle_List"


def read_viewing_angles(granule: XmlFile) -> tuple[float, float] | None:
    """Return the mean azimuth and zenith of the viewing direction over all bands, in degrees.

    Azimuths are averaged as directions: the arithmetic mean of 350° and 10° would point south.

    Returns:
        Azimuth and zenith; None if a band has no angles, as the schema allows.

    Raises:
        ProductError: the bands or the numbers are invalid.
    """
    means = granule.elements(f"{_MEANS}/Mean_Viewing_Incidence_Angle")
    bands = {mean.get("bandId") for mean in means}
    if not bands <= {str(index) for index in range(len(BANDS))}:
        raise ProductError(
            f"{granule.describe(_MEANS)} must have bandId 0 to {len(BANDS) - 1}, but has "
            f"{', '.join(sorted(map(repr, bands)))}"
        )
    azimuths = [math.radians(_read_angle(granule, mean, "AZIMUTH_ANGLE", 360)) for mean in means]
    zeniths = [_read_angle(granule, mean, "ZENITH_ANGLE", 90) for mean in means]
    if len(bands) < len(BANDS) or any(map(math.isnan, azimuths + zeniths)):
        return None
    north, east = sum(map(math.cos, azimuths)), sum(map(math.sin, azimuths))
    # Rounded, because the last digit of a cosine depends on the machine's mathematical library.
    azimuth = round(math.degrees(math.atan2(east, north)) % 360, 6) % 360
    return azimuth, round(sum(zeniths) / len(zeniths), 6)


def _read_angle(granule: XmlFile, mean: Element, name: str, maximum: float) -> float:
    text = (mean.findtext(name) or "").strip()
    if text == "NaN":
        return math.nan
    what = f"{name} in {granule.describe(_MEANS)}"
    angle = parse_number(text, what)
    if not 0 <= angle <= maximum:
        raise ProductError(f"{what} must be 0 to {maximum} degrees, but is {angle:g}")
    return angle
