"""manifest.safe, which lists the files of a product with their sizes and digests.

It is an XFDU manifest (CCSDS 661.0-B-1) in the Sentinel-SAFE profile.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from lxml import etree
from lxml.builder import ElementMaker

from sandbox.footprint import footprint_text
from sandbox.metadata import REPORTS
from sandbox.recipe import MASK_OF_ALL_BANDS, MASKS_OF_A_BAND, Recipe
from sandbox.xml import E, microseconds, milliseconds, serialise

_XFDU = "urn:ccsds:schema:xfdu:1"
_SAFE = "http://www.esa.int/safe/sentinel/1.1"
_GML = "http://www.opengis.net/gml"

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

_xfdu = ElementMaker(namespace=_XFDU, nsmap={"xfdu": _XFDU, "safe": _SAFE, "gml": _GML})
_safe = ElementMaker(namespace=_SAFE)
_gml = ElementMaker(namespace=_GML)


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
    files = listed_files(recipe)
    root = _xfdu.XFDU(
        E.informationPackageMap(_content(recipe, files)),
        E.metadataSection(*_metadata_objects(recipe), *_metadata_pointers(files)),
        E.dataObjectSection(*(_data_object(recipe, safe, file) for file in files)),
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


def _content(recipe: Recipe, files: list[ListedFile]) -> etree._Element:
    """Return the information package map, with nested units for the folders."""
    containers = {
        "HTML": ("HTML", "HTML container"),
        f"{recipe.datastrip}/QI_DATA": ("QI_DATA_Datastrip1", "Quality Control Container"),
        recipe.datastrip: ("Datastrip1", "Datastrip Container"),
        f"{recipe.granule}/AUX_DATA": ("AUX_DATA_GranuleTile1", "Auxiliary Container"),
        f"{recipe.granule}/IMG_DATA": ("IMG_Data_Tile1", "Image Data Container"),
        f"{recipe.granule}/QI_DATA": ("QI_DATA_Tile1", "Quality Control Container"),
        recipe.granule: ("Tile1", "Tile Container"),
        "DATASTRIP": ("Datastrips", "Datastrips Container"),
        "GRANULE": ("Tiles", "Tiles Container"),
    }
    root = _xfdu.contentUnit(
        dmdID="acquisitionPeriod platform",
        pdiID="processing",
        textInfo="SENTINEL-2 MSI Level-1C User Product",
        unitType="Product_Level-1C",
    )
    units = {"": root}

    def unit(folder: str) -> etree._Element:
        if folder not in units:
            identifier, text = containers[folder]
            units[folder] = _xfdu.contentUnit(ID=identifier, textInfo=text)
            unit(folder.rpartition("/")[0]).append(units[folder])
        return units[folder]

    for file in files:
        name = file.object_id.removesuffix("Data").removesuffix("_")
        unit(file.path.rpartition("/")[0]).append(
            _xfdu.contentUnit(
                E.dataObjectPointer(dataObjectID=file.object_id),
                ID=f"{name}Unit" if name.endswith("Information") else f"{name}_Unit",
                unitType=_unit_type(file),
            )
        )
    return root


def _unit_type(file: ListedFile) -> str:
    if file.object_id.endswith("_Metadata"):
        return "Metadata Unit"
    return "Data Unit" if file.path.startswith("HTML/") else "Measurement Data Unit"


def _metadata_pointers(files: list[ListedFile]) -> list[etree._Element]:
    """Return the metadata objects that point to metadata files."""
    return [
        E.metadataObject(
            E.dataObjectPointer(dataObjectID=file.object_id),
            ID=f"{file.object_id}_Information",
            category="DMD",
            classification="DESCRIPTION",
        )
        for file in files
        if file.object_id.endswith("_Metadata")
    ]


def _metadata_objects(recipe: Recipe) -> list[etree._Element]:
    return [
        _wrapped(
            "acquisitionPeriod",
            _safe.acquisitionPeriod(_safe.startTime(milliseconds(recipe.sensing))),
        ),
        _wrapped(
            "measurementOrbitReference",
            _safe.orbitReference(
                _safe.orbitNumber(
                    f"{recipe.orbit:06}", type="start", groundTrackDirection="descending"
                ),
                _safe.relativeOrbitNumber(str(recipe.relative_orbit), type="start"),
            ),
        ),
        _wrapped(
            "platform",
            _safe.platform(
                _safe.familyName("SENTINEL"),
                _safe.number(f"2{recipe.satellite}"),
                _safe.instrument(_safe.familyName("Multi-Spectral Instrument", abbreviation="MSI")),
            ),
        ),
        _wrapped(
            "processing",
            _safe.processing(
                name="Generation of Level-1C User Product",
                start=microseconds(recipe.generation),
            ),
            category="PDI",
            classification="PROVENANCE",
        ),
        _wrapped(
            "measurementFrameSet",
            _safe.frameSet(
                _safe.footPrint(
                    _gml.coordinates(footprint_text(recipe)),
                    srsName="http://www.opengis.net/gml/srs/epsg.xml#4326",
                )
            ),
        ),
    ]


def _wrapped(
    identifier: str,
    content: etree._Element,
    category: str = "DMD",
    classification: str = "DESCRIPTION",
) -> etree._Element:
    return E.metadataObject(
        E.metadataWrap(E.xmlData(content), mimeType="text/xml", vocabularyName="Sentinel-SAFE"),
        ID=identifier,
        category=category,
        classification=classification,
    )
