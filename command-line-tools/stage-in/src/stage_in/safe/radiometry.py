"""The radiometry of a product: how its digital numbers become reflectance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from stage_in.errors import ProductError
from stage_in.safe.bands import BANDS
from stage_in.safe.xml import XmlFile, parse_number
from stage_in.secrets import excerpt

_CHARACTERISTICS = "{*}General_Info/Product_Image_Characteristics"
_MAX_NUMBER = 65_535  # the images have 16 bits
_MAX_QUANTIFICATION = 100_000  # 10,000 in all products, 1000 in the first ones
_OFFSETS = f"{_CHARACTERISTICS}/Radiometric_Offset_List"


@dataclass(frozen=True)
class Radiometry:
    """What turns a digital number into top-of-atmosphere reflectance.

    reflectance = (DN + RADIO_ADD_OFFSET) / QUANTIFICATION_VALUE (Sentinel-2 Products Specification
    Document, S2-PDGS-TAS-DI-PSD, from issue 14.9: Radiometric_Offset_List). STAC writes it as
    DN * scale + offset.

    Attributes:
        quantification: QUANTIFICATION_VALUE.
        add_offsets: RADIO_ADD_OFFSET by band, in digital numbers.
        nodata: the digital number that means "no data".
    """

    quantification: float
    add_offsets: Mapping[str, float]
    nodata: int

    @classmethod
    def read(cls, product: XmlFile) -> Self:
        """Read MTD_MSIL1C.xml. The processing baseline does not matter.

        Raises:
            ProductError: a value is missing, occurs twice or is not a number.
        """
        path = f"{_CHARACTERISTICS}/QUANTIFICATION_VALUE"
        quantification = product.number(path, 1, _MAX_QUANTIFICATION)
        return cls(quantification, _read_offsets(product), _read_nodata(product))

    @property
    def scale(self) -> float:
        """Reflectance per digital number."""
        return 1 / self.quantification

    def offset(self, band: str) -> float:
        """Return the reflectance of the digital number 0 of a band."""
        return self.add_offsets[band] / self.quantification


def _read_offsets(product: XmlFile) -> dict[str, float]:
    if not product.elements(_OFFSETS):
        return dict.fromkeys(BANDS, 0.0)
    product.element(_OFFSETS)
    offsets = {}
    for element in product.elements(f"{_OFFSETS}/RADIO_ADD_OFFSET"):
        band_id = element.get("band_id", "")
        what = f"RADIO_ADD_OFFSET of band_id {excerpt(band_id, 10)!r} in {product.name}"
        if band_id in offsets:
            raise ProductError(f"{what} must occur once, but occurs again")
        offsets[band_id] = parse_number(element.text, what)
        if abs(offsets[band_id]) > _MAX_NUMBER:
            raise ProductError(f"{what} must be a digital number, but is {offsets[band_id]:g}")
    expected = {str(index): band for index, band in enumerate(BANDS)}
    if offsets.keys() != expected.keys():
        raise ProductError(
            f"{product.name} must have RADIO_ADD_OFFSET of band_id 0 to {len(BANDS) - 1}, but has "
            f"{', '.join(sorted(offsets)) or 'none'}"
        )
    # Adding 0.0 turns -0.0 into 0.0, so that JSON never has "-0.0".
    return {band: offsets[band_id] + 0.0 for band_id, band in expected.items()}


def _read_nodata(product: XmlFile) -> int:
    """Read SPECIAL_VALUE_INDEX of NODATA; 0, the specification's value, if there is none."""
    for element in product.elements(f"{_CHARACTERISTICS}/Special_Values"):
        if (element.findtext("SPECIAL_VALUE_TEXT") or "").strip() == "NODATA":
            what = f"SPECIAL_VALUE_INDEX of NODATA in {product.name}"
            number = parse_number(element.findtext("SPECIAL_VALUE_INDEX"), what)
            if not 0 <= number <= _MAX_NUMBER or number != int(number):
                raise ProductError(f"{what} must be a digital number, but is {number:g}")
            return int(number)
    return 0
