"""Writes synthetic Level-1C products as SAFE folders. Equal recipes give equal bytes."""

from collections.abc import Iterator
from pathlib import Path

from sandbox import gml, granule, metadata, raster
from sandbox.field import BANDS, RESOLUTION, look_at_grid
from sandbox.manifest import write_manifest
from sandbox.recipe import MASKS_OF_A_BAND, NEW, OLD, Recipe

__all__ = ["NEW", "OLD", "Recipe", "make_product"]

_INDEX = """\
<?xml version="1.0" encoding="UTF-8"?>
<html xmlns="http://www.w3.org/1999/xhtml">
  <head><title>{name}</title></head>
  <body>
    <h1>{name}</h1>
    <p>A synthetic Sentinel-2 Level-1C product for tests.</p>
  </body>
</html>
"""

_STYLESHEET = """\
<?xml version="1.0" encoding="UTF-8"?>
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:template match="/">
    <html><body><xsl:value-of select="//PRODUCT_URI"/></body></html>
  </xsl:template>
</xsl:stylesheet>
"""

_SCHEMA = """\
<?xml version="1.0" encoding="UTF-8"?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"
           targetNamespace="https://{schema}/PSD/User_Product_Level-1C.xsd">
  <xs:element name="Level-1C_User_Product"/>
</xs:schema>
"""


def make_product(folder: Path, recipe: Recipe) -> Path:
    """Write a product.

    Args:
        folder: Parent of the SAFE folder; created if it does not exist.
        recipe: The product to write.

    Returns:
        Path of the SAFE folder.

    Raises:
        FileExistsError: The SAFE folder exists.
    """
    safe = folder / recipe.name
    safe.mkdir(parents=True)
    # Some readers require this folder, which is empty in current products.
    (safe / "rep_info").mkdir()
    for path, content in _contents(recipe):
        file = safe / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    write_manifest(recipe, safe)
    look_at_grid.cache_clear()  # that of a full tile takes half a gigabyte
    return safe


def _contents(recipe: Recipe) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of every file except the manifest."""
    yield from _metadata(recipe)
    yield from _images(recipe)
    yield from _gml_masks(recipe) if recipe.masks == "gml" else _jp2_masks(recipe)


def _metadata(recipe: Recipe) -> Iterator[tuple[str, bytes]]:
    tile, datastrip = recipe.granule, recipe.datastrip
    yield "MTD_MSIL1C.xml", metadata.product_metadata(recipe)
    yield "INSPIRE.xml", metadata.inspire(recipe)
    yield f"{tile}/MTD_TL.xml", granule.granule_metadata(recipe)
    yield f"{datastrip}/MTD_DS.xml", metadata.datastrip_metadata(recipe)
    for check in metadata.REPORTS:
        yield (
            f"{datastrip}/QI_DATA/{check}.xml",
            metadata.report(recipe, check, recipe.datastrip_id),
        )
        if check != "RADIOMETRIC_QUALITY":
            yield (
                f"{tile}/QI_DATA/{check}.xml",
                metadata.report(recipe, check, recipe.granule_id),
            )

    yield "HTML/UserProduct_index.html", _INDEX.format(name=recipe.name).encode()
    yield "HTML/UserProduct_index.xsl", _STYLESHEET.encode()
    yield "HTML/star_bg.jpg", raster.picture()
    if not recipe.modern:
        path = "rep_info/S2_User_Product_Level-1C_Metadata.xsd"
        yield path, _SCHEMA.format(schema=recipe.schema).encode()

    yield f"{tile}/AUX_DATA/AUX_ECMWFT", _meteorology(1620 if recipe.modern else 810)
    if recipe.modern:
        yield f"{tile}/AUX_DATA/AUX_CAMSFO", _meteorology(2970)


def _images(recipe: Recipe) -> Iterator[tuple[str, bytes]]:
    for band in BANDS:
        yield f"{recipe.image(band)}.jp2", raster.band(recipe, band)
    yield f"{recipe.image('TCI')}.jp2", raster.true_colour(recipe, 10)
    yield f"{recipe.preview}.jp2", raster.true_colour(recipe, raster.PREVIEW_RESOLUTION)


def _gml_masks(recipe: Recipe) -> Iterator[tuple[str, bytes]]:
    yield recipe.mask("CLOUDS"), gml.gml_mask(recipe, "CLOUDS", "B00")
    for kind in MASKS_OF_A_BAND["gml"]:
        for band in BANDS:
            yield recipe.mask(kind, band), gml.gml_mask(recipe, kind, band)


def _jp2_masks(recipe: Recipe) -> Iterator[tuple[str, bytes]]:
    yield recipe.mask("CLASSI"), raster.classification_mask(recipe)
    for resolution in sorted(set(RESOLUTION.values())):
        # All bands of a resolution have equal masks, so each is encoded once.
        detectors = raster.detector_mask(recipe, resolution)
        quality = raster.quality_mask(recipe, resolution)
        for band in (band for band in BANDS if RESOLUTION[band] == resolution):
            yield recipe.mask("DETFOO", band), detectors
            yield recipe.mask("QUALIT", band), quality


def _meteorology(size: int) -> bytes:
    """Return meaningless bytes that start and end like a GRIB message."""
    return b"GRIB" + bytes(number * number % 251 for number in range(size - 8)) + b"7777"
