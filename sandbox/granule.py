"""MTD_TL.xml, the metadata of the granule.

Element names and nesting follow the Sentinel-2 Products Specification Document
(S2-PDGS-TAS-DI-PSD), section "Level-1C Tile Metadata".
"""

from lxml import etree

from sandbox.angles import tile_angles
from sandbox.field import BANDS, LandCover
from sandbox.raster import percentage
from sandbox.recipe import MASK_OF_ALL_BANDS, MASKS_OF_A_BAND, Recipe
from sandbox.xml import E, microseconds, root_maker, serialise


def granule_metadata(recipe: Recipe) -> bytes:
    """Write MTD_TL.xml."""
    n1 = root_maker(recipe, "S2_PDI_Level-1C_Tile_Metadata.xsd")
    return serialise(
        n1(
            "Level-1C_Tile_ID",
            n1.General_Info(
                E.TILE_ID(recipe.tile_id, metadataLevel="Brief"),
                E.DATASTRIP_ID(recipe.datastrip_id, metadataLevel="Standard"),
                E.DOWNLINK_PRIORITY("NOMINAL", metadataLevel="Standard"),
                E.SENSING_TIME(microseconds(recipe.tile_sensing), metadataLevel="Standard"),
                archiving(recipe),
            ),
            n1.Geometric_Info(_geocoding(recipe), tile_angles(recipe)),
            n1.Quality_Indicators_Info(
                _image_content(recipe),
                E.Pixel_Level_QI(*_mask_files(recipe), geometry="FULL_RESOLUTION"),
                E.PVI_FILENAME(f"{recipe.preview}.jp2"),
                metadataLevel="Standard",
            ),
        )
    )


def _geocoding(recipe: Recipe) -> etree._Element:
    zone, northern = recipe.place.epsg % 100, recipe.place.epsg < 32700
    parts = [
        E.HORIZONTAL_CS_NAME(f"WGS84 / UTM zone {zone}{'N' if northern else 'S'}"),
        E.HORIZONTAL_CS_CODE(f"EPSG:{recipe.place.epsg}"),
    ]
    resolutions = (10, 20, 60)
    for resolution in resolutions:
        size = recipe.extent // resolution
        parts.append(E.Size(E.NROWS(size), E.NCOLS(size), resolution=str(resolution)))
    for resolution in resolutions:
        parts.append(
            E.Geoposition(
                E.ULX(recipe.place.ulx),
                E.ULY(recipe.place.uly),
                E.XDIM(resolution),
                E.YDIM(-resolution),
                resolution=str(resolution),
            )
        )
    return E.Tile_Geocoding(*parts, metadataLevel="Brief")


def _image_content(recipe: Recipe) -> etree._Element:
    content = E.Image_Content_QI(
        E.CLOUDY_PIXEL_PERCENTAGE(percentage(recipe, LandCover.CLOUD)),
        E.DEGRADED_MSI_DATA_PERCENTAGE("0"),
    )
    if recipe.modern:
        content.append(E.SNOW_PIXEL_PERCENTAGE(percentage(recipe, LandCover.SNOW)))
    return content


def _mask_files(recipe: Recipe) -> list[etree._Element]:
    files = [
        E.MASK_FILENAME(recipe.mask(kind, band), bandId=str(index), type=f"MSK_{kind}")
        for index, band in enumerate(BANDS)
        for kind in MASKS_OF_A_BAND[recipe.masks]
    ]
    common = MASK_OF_ALL_BANDS[recipe.masks]
    files.append(E.MASK_FILENAME(recipe.mask(common), type=f"MSK_{common}"))
    return files


def archiving(recipe: Recipe) -> etree._Element:
    """Return Archiving_Info, which is the same for granule and datastrip."""
    return E.Archiving_Info(
        E.ARCHIVING_CENTRE(recipe.station),
        E.ARCHIVING_TIME(microseconds(recipe.generation)),
        metadataLevel="Expertise",
    )
