"""Which asset each file of a product becomes, unless stactools-sentinel2 has one for it.

Only the 13 bands have the role `data`, so that consumers which select by that role get them and
nothing else. Each asset has a role, because many consumers treat one without a role as data.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

_GRANULE = r"GRANULE/[^/]+"
_DATASTRIP = r"DATASTRIP/[^/]+"
_MASK = re.compile(rf"{_GRANULE}/QI_DATA/MSK_(?P<kind>[A-Z]+)_(?P<band>B\d[\dA])\.(gml|jp2)")
_REPORT = re.compile(rf"(?P<part>{_GRANULE}|{_DATASTRIP})/QI_DATA/(?P<check>[A-Z_]+)\.xml")
_AUXILIARY = re.compile(rf"{_GRANULE}/AUX_DATA/(?P<name>\w+)")
_PREVIEW = re.compile(rf"{_GRANULE}/QI_DATA/\w+_PVI\.jp2")

# Kinds of masks (S2-PDGS-TAS-DI-PSD, "Quality indicators data": GML up to baseline 03.01, JPEG
# 2000 from 04.00 on).
_MASKS = {
    "CLASSI": "Clouds, cirrus and snow",
    "CLOUDS": "Clouds",
    "DEFECT": "Defective pixels",
    "DETFOO": "Detector footprints",
    "NODATA": "No data",
    "QUALIT": "Quality",
    "SATURA": "Saturated pixels",
    "TECQUA": "Technical quality",
}
# The bands of the masks in JPEG 2000 (S2-PDGS-TAS-DI-PSD, "Quality masks").
_MASK_BANDS = {
    "CLASSI": ("opaque_clouds", "cirrus_clouds", "snow_ice"),
    "DETFOO": ("detector_footprint",),
    "QUALIT": (
        *("ancillary_lost", "ancillary_degraded", "msi_lost", "msi_degraded", "defective"),
        *("nodata", "partially_corrected_crosstalk", "saturated_l1a"),
    ),
}
_AUXILIARY_DATA = {
    "AUX_CAMSFO": "Atmospheric composition (CAMS)",
    "AUX_ECMWFT": "Meteorology (ECMWF)",
}
_MEDIA_TYPES = {
    ".gml": "application/gml+xml",
    ".html": "text/html",
    ".jp2": "image/jp2",
    ".jpg": "image/jpeg",
    ".safe": "application/xml",
    ".xml": "application/xml",
    ".xsd": "application/xml",
    ".xsl": "application/xslt+xml",
}


@dataclass(frozen=True)
class FileAsset:
    """The asset of a file.

    Attributes:
        key: the key of the asset.
        title: the title shown to people.
        roles: the roles of the asset.
        media_type: the media type of the file.
        bands: the names of the bands of a mask in JPEG 2000; empty for other files.
    """

    key: str
    title: str
    roles: tuple[str, ...]
    media_type: str
    bands: tuple[str, ...] = ()


def describe_file(path: str) -> FileAsset:
    """Return the asset of a file of a product.

    Args:
        path: relative to the SAFE folder.
    """
    key, title, roles = _describe(path)
    suffix = PurePosixPath(path).suffix.lower()
    mask = _MASK.fullmatch(path) if suffix == ".jp2" else None
    bands = _MASK_BANDS.get(mask["kind"], ()) if mask is not None else ()
    media_type = _MEDIA_TYPES.get(suffix, "application/octet-stream")
    return FileAsset(key, title, roles, media_type, bands)


def _describe(path: str) -> tuple[str, str, tuple[str, ...]]:
    if match := _MASK.fullmatch(path):
        kind, band = match["kind"], match["band"]
        title = _MASKS.get(kind, kind) + ("" if band == "B00" else f" - {band}")
        return f"mask_{kind}_{band}".lower(), title, ("metadata", "mask")
    if match := _REPORT.fullmatch(path):
        part = match["part"].partition("/")[0].lower()
        check = match["check"].replace("_", " ").lower()
        roles = ("metadata", "quality-report")
        return f"{part}_{match['check']}".lower(), f"Report on {check}, {part}", roles
    if match := _AUXILIARY.fullmatch(path):
        name = match["name"]
        return name.lower(), _AUXILIARY_DATA.get(name, name), ("metadata", "auxiliary")
    if _PREVIEW.fullmatch(path):
        return "preview", "True color preview", ("overview",)
    if path.startswith("HTML/"):
        return path, PurePosixPath(path).name, ("metadata", "presentation")
    # The path is a key that no other file and none of the keys above has.
    return path, PurePosixPath(path).name, ("metadata",)
