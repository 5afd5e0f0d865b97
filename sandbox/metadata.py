"""The product's own XML: MTD_MSIL1C.xml, MTD_DS.xml, INSPIRE.xml and the quality reports.

Element names and nesting follow the Sentinel-2 Products Specification Document
(S2-PDGS-TAS-DI-PSD), sections "Level-1C User Product Metadata", "Level-1C Datastrip Metadata"
and "Quality Indicators". Each function returns a file's content.
"""

from datetime import UTC, datetime
from math import cos

from lxml import etree

from sandbox.field import BANDS, RESOLUTION, LandCover
from sandbox.footprint import bounds, footprint_text
from sandbox.granule import archiving
from sandbox.raster import percentage
from sandbox.recipe import Recipe
from sandbox.xml import E, microseconds, milliseconds, root_maker, serialise

REPORTS = (
    "FORMAT_CORRECTNESS",
    "GENERAL_QUALITY",
    "GEOMETRIC_QUALITY",
    "RADIOMETRIC_QUALITY",
    "SENSOR_QUALITY",
)
"""The quality reports of a datastrip. A granule has all except the radiometric one."""

# In the order of BANDS: minimum, maximum and central wavelength in nm, and solar irradiance in
# W/m²/µm (Sentinel-2A spectral response functions, COPE-GSEG-EOPG-TN-15-0007).
_SPECTRUM = (
    (412, 456, 442.7, 1884.69),
    (456, 533, 492.7, 1959.66),
    (538, 583, 559.8, 1823.24),
    (646, 684, 664.6, 1512.06),
    (695, 714, 704.1, 1424.64),
    (731, 749, 740.5, 1287.61),
    (769, 797, 782.8, 1162.08),
    (760, 907, 832.8, 1041.63),
    (837, 881, 864.7, 955.32),
    (932, 958, 945.1, 812.92),
    (1337, 1412, 1373.5, 367.15),
    (1539, 1682, 1613.7, 245.59),
    (2078, 2320, 2202.4, 85.25),
)

_INSPIRE = """\
<?xml version="1.0" encoding="UTF-8"?>
<gmd:MD_Metadata xmlns:gmd="http://www.isotc211.org/2005/gmd"
                 xmlns:gco="http://www.isotc211.org/2005/gco">
  <gmd:fileIdentifier><gco:CharacterString>{name}</gco:CharacterString></gmd:fileIdentifier>
  <gmd:dateStamp><gco:Date>{date}</gco:Date></gmd:dateStamp>
  <gmd:identificationInfo>
    <gmd:MD_DataIdentification>
      <gmd:extent>
        <gmd:EX_Extent>
          <gmd:geographicElement>
            <gmd:EX_GeographicBoundingBox>
              <gmd:westBoundLongitude><gco:Decimal>{west}</gco:Decimal></gmd:westBoundLongitude>
              <gmd:eastBoundLongitude><gco:Decimal>{east}</gco:Decimal></gmd:eastBoundLongitude>
              <gmd:southBoundLatitude><gco:Decimal>{south}</gco:Decimal></gmd:southBoundLatitude>
              <gmd:northBoundLatitude><gco:Decimal>{north}</gco:Decimal></gmd:northBoundLatitude>
            </gmd:EX_GeographicBoundingBox>
          </gmd:geographicElement>
        </gmd:EX_Extent>
      </gmd:extent>
    </gmd:MD_DataIdentification>
  </gmd:identificationInfo>
</gmd:MD_Metadata>
"""

_REPORT = """\
<?xml version="1.0" encoding="UTF-8"?>
<Earth_Explorer_File>
  <Earth_Explorer_Header>
    <Fixed_Header>
      <File_Name>{identifier}</File_Name>
      <File_Description>Report of {check}</File_Description>
      <Mission>{mission}</Mission>
      <File_Class>OPER</File_Class>
      <File_Type>REP_OLQCPA</File_Type>
    </Fixed_Header>
  </Earth_Explorer_Header>
  <Data_Block type="xml">
    <report globalStatus="PASSED" date="{date}">
      <checkList>
        <parentID>{identifier}</parentID>
        <name>{check}</name>
        <version>1.0</version>
        <check><inspection id="{check}" name="{check}" status="PASSED" creation="{date}"/></check>
      </checkList>
    </report>
  </Data_Block>
</Earth_Explorer_File>
"""


def product_metadata(recipe: Recipe) -> bytes:
    """Write MTD_MSIL1C.xml."""
    n1 = root_maker(recipe, "User_Product_Level-1C.xsd")
    return serialise(
        n1(
            "Level-1C_User_Product",
            n1.General_Info(_product_info(recipe), _image_characteristics(recipe)),
            n1.Geometric_Info(
                E.Product_Footprint(
                    E.Product_Footprint(E.Global_Footprint(E.EXT_POS_LIST(footprint_text(recipe)))),
                    E.RASTER_CS_TYPE("POINT"),
                    E.PIXEL_ORIGIN(1),
                ),
                E.Coordinate_Reference_System(
                    E.GEO_TABLES("EPSG", version="1"),
                    E.HORIZONTAL_CS_TYPE("GEOGRAPHIC"),
                ),
            ),
            n1.Quality_Indicators_Info(*_product_quality(recipe)),
        )
    )


def datastrip_metadata(recipe: Recipe) -> bytes:
    """Write MTD_DS.xml, without the telemetry that makes up most of a real one."""
    n1 = root_maker(recipe, "S2_PDI_Level-1C_Datastrip_Metadata.xsd")
    return serialise(
        n1(
            "Level-1C_DataStrip_ID",
            n1.General_Info(
                E.Datatake_Info(
                    *_datatake(recipe),
                    datatakeIdentifier=recipe.datatake_id,
                    metadataLevel="Standard",
                ),
                E.Datastrip_Time_Info(
                    E.DATASTRIP_SENSING_START(microseconds(recipe.datastrip_sensing)),
                    E.DATASTRIP_SENSING_STOP(microseconds(recipe.tile_sensing)),
                    metadataLevel="Standard",
                ),
                archiving(recipe),
            ),
        )
    )


def inspire(recipe: Recipe) -> bytes:
    """Write INSPIRE.xml, a short ISO 19139 record."""
    west, south, east, north = bounds(recipe)
    return _INSPIRE.format(
        name=recipe.name,
        date=f"{recipe.generation:%Y-%m-%d}",
        west=west,
        south=south,
        east=east,
        north=north,
    ).encode()


def report(recipe: Recipe, check: str, identifier: str) -> bytes:
    """Write a quality report in which all checks passed.

    Args:
        recipe: The product.
        check: One of `REPORTS`.
        identifier: The identifier of the granule or datastrip that was checked.
    """
    return _REPORT.format(
        check=check,
        identifier=identifier,
        mission=f"S2{recipe.satellite}",
        date=microseconds(recipe.generation),
    ).encode()


# -- parts of MTD_MSIL1C.xml


def _product_info(recipe: Recipe) -> etree._Element:
    start = milliseconds(recipe.sensing)
    info = E.Product_Info(
        E.PRODUCT_START_TIME(start),
        E.PRODUCT_STOP_TIME(start),
        E.PRODUCT_URI(recipe.name),
        E.PROCESSING_LEVEL("Level-1C"),
        E.PRODUCT_TYPE("S2MSI1C"),
        E.PROCESSING_BASELINE(recipe.baseline),
        E.GENERATION_TIME(microseconds(recipe.generation)),
        E.PREVIEW_IMAGE_URL("Not applicable"),
        E.PREVIEW_GEO_INFO("Not applicable"),
        E.Datatake(*_datatake(recipe), datatakeIdentifier=recipe.datatake_id),
        E.Query_Options(E.PRODUCT_FORMAT("SAFE_COMPACT"), completeSingleTile="true"),
        E.Product_Organisation(
            E.Granule_List(
                E.Granule(
                    *(E.IMAGE_FILE(recipe.image(band)) for band in (*BANDS, "TCI")),
                    datastripIdentifier=recipe.datastrip_id,
                    granuleIdentifier=recipe.granule_id,
                    imageFormat="JPEG2000",
                )
            )
        ),
    )
    if recipe.baseline >= "05.00":
        # Products have a DOI since Collection 1.
        info.find("PROCESSING_BASELINE").addnext(
            E.PRODUCT_DOI("https://doi.org/10.5270/S2_-742ikth")
        )
    return info


def _datatake(recipe: Recipe) -> list[etree._Element]:
    return [
        E.SPACECRAFT_NAME(f"Sentinel-2{recipe.satellite}"),
        E.DATATAKE_TYPE("INS-NOBS"),
        E.DATATAKE_SENSING_START(milliseconds(recipe.sensing)),
        E.SENSING_ORBIT_NUMBER(recipe.relative_orbit),
        E.SENSING_ORBIT_DIRECTION("DESCENDING"),
    ]


def _image_characteristics(recipe: Recipe) -> etree._Element:
    parts = [
        _special_value("NODATA", 0),
        _special_value("SATURATED", 65535),
        E.Image_Display_Order(E.RED_CHANNEL(3), E.GREEN_CHANNEL(2), E.BLUE_CHANNEL(1)),
        E.QUANTIFICATION_VALUE(recipe.quantification, unit="none"),
    ]
    if recipe.offsets is not None:
        offsets = (
            E.RADIO_ADD_OFFSET(offset, band_id=str(index))
            for index, offset in enumerate(recipe.offsets)
        )
        parts.append(E.Radiometric_Offset_List(*offsets))
    parts.append(_reflectance_conversion(recipe))
    parts.append(E.Spectral_Information_List(*map(_spectral_information, range(len(BANDS)))))
    # The gains convert sensor counts to radiance, which Level-1C does not need.
    parts.extend(E.PHYSICAL_GAINS(1.0, bandId=str(index)) for index in range(len(BANDS)))
    parts.append(E.REFERENCE_BAND(3))
    return E.Product_Image_Characteristics(*parts)


def _special_value(text: str, index: int) -> etree._Element:
    return E.Special_Values(E.SPECIAL_VALUE_TEXT(text), E.SPECIAL_VALUE_INDEX(index))


def _reflectance_conversion(recipe: Recipe) -> etree._Element:
    # The correction for the distance of the sun (S2-MSI ATBD, radiometry) is
    # u = 1 / (1 - 0.01673 cos(0.0172 (t - 2)))², with t in days since 1950-01-01.
    days = (recipe.sensing - datetime(1950, 1, 1, tzinfo=UTC)).days
    u = (1 - 0.01673 * cos(0.0172 * (days - 2))) ** -2
    irradiances = (
        E.SOLAR_IRRADIANCE(irradiance, bandId=str(index), unit="W/m²/µm")
        for index, (_, _, _, irradiance) in enumerate(_SPECTRUM)
    )
    return E.Reflectance_Conversion(E.U(f"{u:.12f}"), E.Solar_Irradiance_List(*irradiances))


def _spectral_information(index: int) -> etree._Element:
    band = BANDS[index]
    shortest, longest, centre, _ = _SPECTRUM[index]
    return E.Spectral_Information(
        E.RESOLUTION(RESOLUTION[band]),
        E.Wavelength(
            E.MIN(shortest, unit="nm"), E.MAX(longest, unit="nm"), E.CENTRAL(centre, unit="nm")
        ),
        bandId=str(index),
        physicalBand=f"B{band[1:].lstrip('0')}",
    )


def _product_quality(recipe: Recipe) -> list[etree._Element]:
    quality = [E.Cloud_Coverage_Assessment(percentage(recipe, LandCover.CLOUD))]
    if recipe.modern:
        quality.append(E.Snow_Coverage_Assessment(percentage(recipe, LandCover.SNOW)))
    quality.append(
        E.Technical_Quality_Assessment(
            E.DEGRADED_ANC_DATA_PERCENTAGE("0.0"), E.DEGRADED_MSI_DATA_PERCENTAGE("0")
        )
    )
    checks = (E.quality_check("PASSED", checkType=check) for check in REPORTS)
    quality.append(E.Quality_Control_Checks(E.Quality_Inspections(*checks), E.Failed_Inspections()))
    return quality
