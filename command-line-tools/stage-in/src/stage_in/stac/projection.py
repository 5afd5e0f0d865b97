"""Size and georeferencing of the images of an item, read from the files."""

from typing import TYPE_CHECKING

from stage_in.errors import ProductError
from stage_in.logger import logger
from stage_in.safe.folder import SafeFolder
from stage_in.safe.images import Images, LimitError
from stage_in.safe.metadata import ProductMetadata
from stage_in.safe.raster import Raster

if TYPE_CHECKING:
    import pystac

_TOLERANCE = 5.0  # metres by which a corner may differ: half of the smallest pixel
_FIELDS = ("gsd", "proj:shape", "proj:transform", "proj:bbox", "raster:bands", "bands")


def set_projection(
    item: "pystac.Item", folder: SafeFolder, metadata: ProductMetadata, images: Images
) -> None:
    """Set size and georeferencing of each image to those of its file.

    stactools-sentinel2 computes them from the metadata. Where the file has another number of
    pixels, as in a downsampled product, the file is right because it will be read.

    Args:
        item: an item whose asset hrefs are relative to the folder that holds the SAFE folder.
        folder: the product.
        metadata: where the product is according to its metadata.
        images: reads the images.

    Raises:
        ProductError: a band or the true colour image can't be read, or is somewhere else; or any
            image takes too much memory or time.
    """
    required = set(metadata.images.values())
    differing = []
    for asset in item.assets.values():
        if asset.media_type != "image/jp2":
            continue
        name = asset.href.removeprefix(f"./{folder.path.name}/")
        computed = asset.extra_fields.get("proj:shape")
        try:
            raster = images.read_raster(folder.path / name, name)
            _check_georeferencing(raster, name, metadata, computed)
        except LimitError:
            raise
        except ProductError as error:
            if name in required:
                raise
            # Masks and previews are optional, so a damaged one only gets a warning.
            logger.warning("The item has no size and georeferencing of this file: {}", error)
            asset.extra_fields = {
                key: value for key, value in asset.extra_fields.items() if key not in _FIELDS
            }
            continue
        if computed not in (None, list(raster.shape)):
            differing.append(name)
        _set_fields(asset, raster)
    if differing:
        logger.warning(
            "{} images differ in their numbers of rows and columns from the metadata, the first of "
            "them {}. The item contains the numbers from the files",
            *(len(differing), differing[0]),
        )


def _check_georeferencing(
    raster: Raster, name: str, metadata: ProductMetadata, computed: list[int] | None
) -> None:
    if raster.transform is None:
        if computed != list(raster.shape):
            raise ProductError(
                f"the image {name} must be georeferenced, or have {computed or 'known'} rows and "
                f"columns as in the metadata, but has {raster.shape}"
            )
        return
    if raster.epsg != metadata.epsg:
        raise ProductError(
            f"the image {name} must be in EPSG:{metadata.epsg}, as in MTD_TL.xml, but is in "
            f"EPSG:{raster.epsg}"
        )
    corner = raster.transform[2], raster.transform[5]
    if any(abs(a - b) > _TOLERANCE for a, b in zip(corner, metadata.corner, strict=True)):
        raise ProductError(
            f"the upper-left corner of {name} must be at {metadata.corner}, as in MTD_TL.xml, but "
            f"is at {corner}"
        )


def _set_fields(asset: "pystac.Asset", raster: Raster) -> None:
    fields = asset.extra_fields
    fields["proj:shape"] = list(raster.shape)
    if raster.transform is not None:
        fields["proj:transform"] = list(raster.transform)
        fields["proj:bbox"] = raster.bbox
    if "mask" in (asset.roles or []):
        names = fields.pop("bands", [])
        fields["raster:bands"] = [{} for _ in range(raster.count)]
        if len(names) == raster.count:
            fields["bands"] = names
    for band in fields.get("raster:bands", []):
        band["data_type"] = raster.data_type
        if raster.pixel_size is not None:
            band["spatial_resolution"] = raster.pixel_size
    # The gsd of a band is the instrument's, whatever the number of pixels.
    if "data" not in (asset.roles or []) and raster.pixel_size is not None:
        fields["gsd"] = raster.pixel_size
