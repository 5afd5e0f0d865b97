"""How the numbers of a product become reflectance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from stage_in.errors import ProductError
from stage_in.safe.bands import BANDS
from stage_in.safe.xml import XmlFile, read_number

_CHARACTERISTICS = "{*}General_Info/Product_Image_Characteristics"
_LIST = f"{_CHARACTERISTICS}/Radiometric_Offset_List"


@dataclass(frozen=True)
class Radiometry:
    """What turns a digital number into top-of-atmosphere reflectance.

    reflectance = (DN + RADIO_ADD_OFFSET) / QUANTIFICATION_VALUE (Sentinel-2 Products Specification
    XmlFile, S2-PDGS-TAS-DI-PSD, from issue 14.9: Radiometric_Offset_List); STAC has it as
    DN * scale + offset.

    Attributes:
        quantification: QUANTIFICATION_VALUE.
        add_offsets: RADIO_ADD_OFFSET by band, in digital numbers.
        nodata: the digital number that stands for no data.
    """

    quantification: float
    add_offsets: Mapping[str, float]
    nodata: int

    @classmethod
    def read(cls, document: XmlFile) -> Self:
        """Read it from MTD_MSIL1C.xml: the baseline that a product is of says nothing of it.

        Raises:
            ProductError: part of it is missing, there twice or no number.
        """
        path = f"{_CHARACTERISTICS}/QUANTIFICATION_VALUE"
        quantification = document.number(path)
        if quantification <= 0:
            raise ProductError(
                f"expected {document.called(path)} above 0, found {quantification:g}"
            )
        return cls(quantification, _read_offsets(document), _read_nodata(document))

    @property
    def scale(self) -> float:
        """Reflectance per digital number."""
        return 1 / self.quantification

    def offset(self, band: str) -> float:
        """Reflectance of the digital number 0 of a band."""
        return self.add_offsets[band] / self.quantification


def _read_offsets(document: XmlFile) -> dict[str, float]:
    if not document.elements(_LIST):
        return dict.fromkeys(BANDS, 0.0)
    document.element(_LIST)
    offsets = {}
    for element in document.elements(f"{_LIST}/RADIO_ADD_OFFSET"):
        band_id = element.get("band_id", "")
        what = f"RADIO_ADD_OFFSET of band_id {band_id[:10]!r} in {document.name}"
        if band_id in offsets:
            raise ProductError(f"expected {what} once, found it again")
        offsets[band_id] = read_number(element.text, what)
    expected = {str(index): band for index, band in enumerate(BANDS)}
    if offsets.keys() != expected.keys():
        raise ProductError(
            f"expected RADIO_ADD_OFFSET of band_id 0 to {len(BANDS) - 1} in {document.name}, "
            f"found those of {', '.join(sorted(offsets)) or 'none'}"
        )
    # Not -0.0, which would be written as such.
    return {band: offsets[band_id] + 0.0 for band_id, band in expected.items()}


def _read_nodata(document: XmlFile) -> int:
    """Read SPECIAL_VALUE_INDEX of NODATA; 0, as the specification has it, where there is none."""
    for element in document.elements(f"{_CHARACTERISTICS}/Special_Values"):
        if (element.findtext("SPECIAL_VALUE_TEXT") or "").strip() == "NODATA":
            what = f"SPECIAL_VALUE_INDEX of NODATA in {document.name}"
            return int(read_number(element.findtext("SPECIAL_VALUE_INDEX"), what))
    return 0
