"""Size and place of the images of an item, as their files have them."""

from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from stage_in.errors import ProductError
from stage_in.safe.metadata import ProductMetadata
from stage_in.safe.raster import Raster

if TYPE_CHECKING:
    import pystac

_TOLERANCE = 5.0  # metres that a corner may be off: half of the smallest pixel
_FIELDS = ("gsd", "proj:shape", "proj:transform", "proj:bbox")


def set_projection(item: "pystac.Item", safe: Path, description: ProductMetadata) -> None:
    """Set size and place of each image to what its file says.

    A draft computes them from the metadata alone. Where the metadata say another number of
    pixels, as of a product that was made smaller, the file is right: it is what gets read.

    Args:
        item: its asset hrefs are relative to the folder that holds the SAFE folder.
        safe: the SAFE folder.
        description: where the metadata have the product.

    Raises:
        ProductError: a band or the true colour image can't be read, or is somewhere else.
    """
    required = set(description.images.values())
    differing = []
    for asset in item.assets.values():
        if asset.media_type != "image/jp2":
            continue
        name = asset.href.removeprefix(f"./{safe.name}/")
        drafted = asset.extra_fields.get("proj:shape")
        try:
            raster = Raster.read(safe / name, name)
            _check_place(raster, name, description, drafted)
        except ProductError as error:
            if name in required:
                raise
            # A mask or a preview does no harm where it is: nobody computes with it unasked.
            logger.warning("No size and place of this one in the item: {}", error)
            asset.extra_fields = {
                key: value for key, value in asset.extra_fields.items() if key not in _FIELDS
            }
            continue
        if drafted not in (None, list(raster.shape)):
            differing.append(name)
        _set_grid(asset, raster)
    if differing:
        logger.warning(
            "Rows and columns of {} images are not those that the metadata say, {} first: the "
            "item says those of the files",
            *(len(differing), differing[0]),
        )


def _check_place(
    raster: Raster, name: str, description: ProductMetadata, drafted: list[int] | None
) -> None:
    if raster.transform is None:
        if drafted != list(raster.shape):
            raise ProductError(
                f"expected {name} to say where it is, or {drafted or 'known'} rows and columns as "
                f"the metadata say, found {raster.shape}"
            )
        return
    if raster.epsg != description.epsg:
        raise ProductError(
            f"expected {name} in EPSG:{description.epsg}, as MTD_TL.xml says, "
            f"found EPSG:{raster.epsg}"
        )
    corner = raster.transform[2], raster.transform[5]
    if any(abs(a - b) > _TOLERANCE for a, b in zip(corner, description.corner, strict=True)):
        raise ProductError(
            f"expected the upper-left corner of {name} at {description.corner}, as MTD_TL.xml "
            f"says, found it at {corner}"
        )


def _set_grid(asset: "pystac.Asset", raster: Raster) -> None:
    fields = asset.extra_fields
    fields["proj:shape"] = list(raster.shape)
    if raster.transform is not None:
        fields["proj:transform"] = list(raster.transform)
        fields["proj:bbox"] = raster.bbox
    bands = fields.get("raster:bands", [])
    for band in bands:
        band["data_type"] = raster.data_type
        if raster.pixel is not None:
            band["spatial_resolution"] = raster.pixel
    # That of a band is the instrument's, however many pixels the file has.
    if "data" not in (asset.roles or []) and raster.pixel is not None:
        fields["gsd"] = raster.pixel
