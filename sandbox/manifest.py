"""manifest.safe, which lists the files of a product with their sizes and digests.

It is an XFDU manifest (CCSDS 661.0-B-1) in the Sentinel-SAFE profile. Only the section of data
objects has content, since no reader of the synthetic products needs the others.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from lxml import etree
from lxml.builder import ElementMaker

from sandbox.metadata import REPORTS
from sandbox.recipe import MASK_OF_ALL_BANDS, MASKS_OF_A_BAND, Recipe
from sandbox.xml import E, serialise

_XFDU = "urn:ccsds:schema:xfdu:1"

_TEXT = "text/xml"
_XML = "application/xml"
_BINARY = "application/octet-stream"

# Bands in the order of the manifest, which is that of their file names. The object ID of a band
# contains its resolution and its number among the bands of that resolution.
_BANDS = {
    "B01": "60m_1", "B02": "10m_1", "B03": "10m_2", "B04": "10m_3", "B05": "20m_1",
    "B06": "20m_2", "B07": "20m_3", "B08": "10m_4", "B09": "60m_2", "B10": "60m_3",
    "B11": "20m_5", "B12": "20m_6", "B8A": "20m_4",
}  # fmt: skip

_MASK_NAMES = {
    "DEFECT": "DefectivePixelsMask",
    "DETFOO": "DetectorFootprintMask",
    "NODATA": "NodataPixelsMask",
    "SATURA": "SaturatedPixelsMask",
    "TECQUA": "TechQualityMask",
    "QUALIT": "QualitPixelsMask",
    "CLOUDS": "FineCloudMask_Tile1",
    "CLASSI": "ClassiPixelsMask_Band_00m_0_Tile1",
}

_ALGORITHMS = {"MD5": hashlib.md5, "SHA3-256": hashlib.sha3_256}

_xfdu = ElementMaker(namespace=_XFDU, nsmap={"xfdu": _XFDU})


@dataclass(frozen=True)
class ListedFile:
    """A file that the manifest lists.

    Attributes:
        object_id: ID of its dataObject.
        mime_type: Its type in the manifest.
        path: Its path below the SAFE folder.
    """

    object_id: str
    mime_type: str
    path: str


def listed_files(recipe: Recipe) -> list[ListedFile]:
    """Return the files that the manifest lists, in its order.

    It does not list itself, the pictures in HTML/ and the schemas in rep_info/.
    """
    granule, datastrip = recipe.granule, recipe.datastrip
    files = [
        ListedFile("S2_Level-1C_Product_Metadata", _TEXT, "MTD_MSIL1C.xml"),
        ListedFile("INSPIRE_Metadata", _TEXT, "INSPIRE.xml"),
        ListedFile("HTML_Presentation", "octet", "HTML/UserProduct_index.html"),
        ListedFile("HTML_Presentation_Stylesheet", "octet", "HTML/UserProduct_index.xsl"),
        ListedFile("S2_Level-1C_Datastrip1_Metadata", _XML, f"{datastrip}/MTD_DS.xml"),
        *(_report(check, "Datastrip1", datastrip) for check in REPORTS),
    ]
    if recipe.modern:
        files.append(ListedFile("CAMS_Tile1_Data", _BINARY, f"{granule}/AUX_DATA/AUX_CAMSFO"))
    files.append(ListedFile("ECMWF_Tile1_Data", _BINARY, f"{granule}/AUX_DATA/AUX_ECMWFT"))
    for band, number in (*_BANDS.items(), ("TCI", "TCI")):
        identifier = f"IMG_DATA_Band_{number}_Tile1_Data"
        files.append(ListedFile(identifier, _BINARY, f"{recipe.image(band)}.jp2"))
    files.append(ListedFile("S2_Level-1C_Tile1_Metadata", _XML, f"{granule}/MTD_TL.xml"))
    files.extend(_report(check, "Tile1", granule) for check in REPORTS[:3])
    files.extend(_masks(recipe))
    files.append(_report(REPORTS[-1], "Tile1", granule))
    files.append(ListedFile("Preview_0_Tile1_Data", _BINARY, f"{recipe.preview}.jp2"))
    return files


def write_manifest(recipe: Recipe, safe: Path) -> None:
    """Write manifest.safe for the files below a SAFE folder.

    Args:
        recipe: The product.
        safe: Its folder, which contains all listed files.
    """
    root = _xfdu.XFDU(
        E.informationPackageMap(),
        E.metadataSection(),
        E.dataObjectSection(*(_data_object(recipe, safe, file) for file in listed_files(recipe))),
        version="esa/safe/sentinel/1.1/sentinel-2/msi/archive_l1c_user_product",
    )
    (safe / "manifest.safe").write_bytes(serialise(root))


def _report(check: str, part: str, folder: str) -> ListedFile:
    name = check.split("_")[0].capitalize()
    identifier = f"{name}_OLQC_Report_{part}_InformationData"
    return ListedFile(identifier, _XML, f"{folder}/QI_DATA/{check}.xml")


def _masks(recipe: Recipe) -> list[ListedFile]:
    mime_type = _XML if recipe.masks == "gml" else _BINARY
    common = MASK_OF_ALL_BANDS[recipe.masks]
    masks = [ListedFile(f"{_MASK_NAMES[common]}_Data", mime_type, recipe.mask(common))]
    for kind in MASKS_OF_A_BAND[recipe.masks]:
        for position, (band, number) in enumerate(_BANDS.items()):
            # In the specification, the first band has no number.
            count = f"_{position}" if position else ""
            identifier = f"{_MASK_NAMES[kind]}_Band_{number}{count}_Tile1_Data"
            masks.append(ListedFile(identifier, mime_type, recipe.mask(kind, band)))
    return masks


def _data_object(recipe: Recipe, safe: Path, file: ListedFile) -> etree._Element:
    content = (safe / file.path).read_bytes()
    digest = _ALGORITHMS[recipe.checksum](content).hexdigest()
    return E.dataObject(
        E.byteStream(
            E.fileLocation(locatorType="URL", href=f"./{file.path}"),
            E.checksum(
                digest.upper() if recipe.upper_case_digests else digest,
                checksumName=recipe.checksum,
            ),
            mimeType=file.mime_type,
            size=str(len(content)),
        ),
        ID=file.object_id,
    )
