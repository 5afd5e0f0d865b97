"""The STAC item of a staged product.

stactools-sentinel2 makes the first version of the item. Each function here that starts with `_set`
or `_add` corrects or completes one aspect of it. docs/item.md defines the result.
"""

import hashlib
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

from stage_in.safe.bands import TRUE_COLOR
from stage_in.safe.folder import SafeFolder
from stage_in.safe.images import Images
from stage_in.safe.metadata import ProductMetadata
from stage_in.safe.name import ProductName
from stage_in.safe.radiometry import Radiometry
from stage_in.safe.xml import XmlFile
from stage_in.stac.assets import describe_file
from stage_in.stac.projection import set_projection
from stage_in.stac.stactools_item import create_stactools_item
from stage_in.stac.thumbnail import MEDIA_TYPE, SIZE, THUMBNAIL, Thumbnail

if TYPE_CHECKING:
    import pystac

# The first version of an item, and the metadata that complete it.
Draft: TypeAlias = tuple["pystac.Item", ProductMetadata]

_EXTENSIONS = {
    "file": "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "processing": "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "scientific": "https://stac-extensions.github.io/scientific/v1.0.0/schema.json",
}

# Multihash: the code of the algorithm as a varint, the length of the digest, the digest
# (multiformats/multicodec, table.csv).
_MULTIHASH_PREFIX = {"md5": "d50110", "sha3_256": "1620"}
_OWN_ALGORITHM = "sha3_256"

_PREVIEW = "preview"  # the key of the asset
_MIN_GSD = 10  # metres: the ground sampling distance of four bands
_SOFTWARE = ("stage-in", "stactools-sentinel2")


def create_item(
    folder: SafeFolder, images: Images, draft: Draft | None = None
) -> tuple["pystac.Item", Thumbnail | None]:
    """Make the STAC item of a product, and its thumbnail.

    All asset hrefs are relative to the folder that holds the SAFE folder; the thumbnail belongs
    there as well.

    Args:
        folder: the product.
        images: reads its images.
        draft: what `read_item` returned; it is changed. None to read it now.

    Returns:
        The item and the thumbnail; None if a partial product has no image for it.

    Raises:
        ProductError: a file is missing or is not what it should be; or the metadata lack what an
            item needs, contradict each other, or belong to another product.
    """
    present = folder.list_present()
    item, metadata = draft or read_item(folder)
    _set_identity(item, folder.name)
    _set_properties(item, metadata)
    _set_processing(item, metadata)
    _set_licence(item)
    _set_citation(item, metadata)
    _set_completeness(item, folder)
    _set_assets(item, folder.name, present)
    set_projection(item, folder, metadata, images)
    _set_radiometry(item, metadata.radiometry)
    _set_bands(item)
    _add_file_facts(item, folder)
    thumbnail = _make_thumbnail(folder, metadata.images, present, images)
    if thumbnail is not None:
        _add_thumbnail(item, thumbnail)
    return item, thumbnail


def read_image_ahead(images: Images, path: Path, name: str) -> None:
    """Read what the item and the thumbnail need of a verified image, for `create_item`.

    Args:
        images: reads it.
        path: any file of the product.
        name: its path in the SAFE folder.
    """
    if path.suffix == ".jp2":
        images.read_ahead(path, name)
        if describe_file(name).key == _PREVIEW:
            images.read_ahead(path, name, SIZE)


def read_item(folder: SafeFolder) -> Draft:
    """Make the first version of the item of the product's metadata, which need no other file.

    Returns:
        The item of stactools-sentinel2, and the metadata that complete it.

    Raises:
        ProductError: the metadata lack what an item needs, contradict each other, or belong to
            another product.
    """
    documents = folder.read_metadata()
    _, product_path, granule_path = documents
    metadata = ProductMetadata.read(
        folder.name,
        XmlFile(documents[product_path], product_path, "Level-1C_User_Product"),
        XmlFile(documents[granule_path], granule_path, "Level-1C_Tile_ID"),
        folder.entries,
    )
    return create_stactools_item(folder.name, documents), metadata


def _set_identity(item: "pystac.Item", name: ProductName) -> None:
    """Set id and title. stactools-sentinel2 gives a product and its reprocessing the same id."""
    item.id = name.id
    item.common_metadata.title = name.folder


def _set_properties(item: "pystac.Item", metadata: ProductMetadata) -> None:
    """Set what stactools-sentinel2 takes from the clock, leaves out or averages wrongly.

    `datetime` stays the start of the datatake, as in the platform's own items.
    """
    properties = item.properties
    properties["created"] = metadata.generation_time
    properties["gsd"] = _MIN_GSD
    properties["stage-in:sensing_time"] = metadata.sensing_time
    if metadata.snow_cover is not None:
        properties["eo:snow_cover"] = metadata.snow_cover
    angles = ("view:azimuth", "view:incidence_angle")
    for key in angles:
        properties.pop(key, None)
    if metadata.viewing_angles is not None:
        properties |= dict(zip(angles, metadata.viewing_angles, strict=True))


def _set_processing(item: "pystac.Item", metadata: ProductMetadata) -> None:
    """Add how the product was made (stactools-sentinel2 issue 178)."""
    item.properties |= {
        "processing:level": "L1C",
        "processing:version": metadata.baseline,
        "processing:facility": metadata.centre,
        "processing:datetime": metadata.generation_time,
        "processing:software": dict(_list_versions(_SOFTWARE)),
    }
    item.stac_extensions.append(_EXTENSIONS["processing"])


def _list_versions(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in names:
        try:
            yield name, version(name)
        except PackageNotFoundError:  # the sources are run without being installed
            yield name, "unknown"


def _set_licence(item: "pystac.Item") -> None:
    """Describe the licence link. STAC 1.1 writes `other` for a licence without SPDX identifier."""
    item.properties["license"] = "other"
    for link in item.get_links("license"):
        link.media_type = "application/pdf"
        link.title = "Legal notice on the use of Copernicus Sentinel data"


def _set_citation(item: "pystac.Item", metadata: ProductMetadata) -> None:
    """Add the DOI of the collection."""
    import pystac

    if metadata.doi is None:
        return
    item.properties["sci:doi"] = metadata.doi
    item.stac_extensions.append(_EXTENSIONS["scientific"])
    item.add_link(pystac.Link("cite-as", f"https://doi.org/{metadata.doi}"))


def _set_completeness(item: "pystac.Item", folder: SafeFolder) -> None:
    """Record that files were left out or not verified; nothing if the product is complete."""
    if folder.partial:
        item.properties["stage-in:partial"] = True
    if not folder.verified:
        item.properties["stage-in:verified"] = False


def _set_assets(item: "pystac.Item", name: ProductName, present: list[str]) -> None:
    """Give the item one asset for each file that is present, and no other.

    stactools-sentinel2 has no masks, no quality reports and no auxiliary data, but has images and
    INSPIRE.xml even if they are missing.

    Consumers copy assets side by side by the last part of their href, so of files with the same
    name only one becomes an asset: the quality reports of the granule, not those of the datastrip.
    """
    import pystac

    made = {}
    for key, asset in item.assets.items():
        # The href is None for a file that manifest.safe does not list.
        path = str(asset.href or "").removeprefix(f"{name.folder}/")
        made[path] = key, asset
    item.assets = {}
    # The bands come first, in the order of stactools-sentinel2.
    paths = dict.fromkeys([path for path in made if path in present] + present)
    granule = {PurePosixPath(path).name for path in paths if path.startswith("GRANULE/")}
    for path in paths:
        if path.startswith("DATASTRIP/") and PurePosixPath(path).name in granule:
            continue
        file = describe_file(path)
        key, asset = made.get(path) or (file.key, pystac.Asset(path, roles=[*file.roles]))
        if file.bands:
            asset.extra_fields["bands"] = [{"name": name} for name in file.bands]
        asset.href = f"./{name.folder}/{path}"
        asset.title = asset.title or file.title
        asset.media_type = asset.media_type or file.media_type
        item.add_asset(path if key in item.assets else key, asset)


def _set_radiometry(item: "pystac.Item", radiometry: Radiometry) -> None:
    """Set scale and offset to the product's own (stactools-sentinel2 issue 44).

    stactools-sentinel2 guesses them from the baseline in TILE_ID.
    """
    for asset in item.assets.values():
        if "data" not in (asset.roles or []):
            continue
        (band,) = asset.extra_fields["eo:bands"]
        (values,) = asset.extra_fields["raster:bands"]
        values["scale"] = radiometry.scale
        values["offset"] = radiometry.offset(band["name"])
        values["nodata"] = radiometry.nodata


def _set_bands(item: "pystac.Item") -> None:
    """Add STAC 1.1's `bands` beside `eo:bands` and `raster:bands`."""
    for asset in item.assets.values():
        fields = asset.extra_fields
        named: list[dict[str, Any]] = fields.get("eo:bands") or fields.get("bands") or []
        values: list[dict[str, Any]] = fields.get("raster:bands") or [{}] * len(named)
        if named:
            fields["bands"] = [_merge_band(*pair) for pair in zip(named, values, strict=True)]


def _merge_band(spectral: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    common = {"name", "description", "data_type", "nodata", "unit", "statistics"}
    return {
        name if name in common else f"{prefix}:{name}": value
        for prefix, fields in (("eo", spectral), ("raster", values))
        for name, value in fields.items()
    }


def _add_file_facts(item: "pystac.Item", folder: SafeFolder) -> None:
    """Add the size of each file, and its digest if that was verified.

    manifest.safe, which no manifest lists, gets a digest of its own.
    """
    item.stac_extensions.append(_EXTENSIONS["file"])
    for asset in item.assets.values():
        path = asset.href.removeprefix(f"./{folder.path.name}/")
        entry = folder.entries.get(path)
        if entry is None:
            _describe_content(asset, folder.read(path))
            continue
        asset.extra_fields["file:size"] = entry.size
        if folder.verified and entry.algorithm and entry.digest:
            prefix = _MULTIHASH_PREFIX[entry.algorithm]
            asset.extra_fields["file:checksum"] = f"{prefix}{entry.digest}"


def _describe_content(asset: "pystac.Asset", content: bytes) -> None:
    digest = hashlib.new(_OWN_ALGORITHM, content).hexdigest()
    asset.extra_fields["file:size"] = len(content)
    asset.extra_fields["file:checksum"] = f"{_MULTIHASH_PREFIX[_OWN_ALGORITHM]}{digest}"


def _make_thumbnail(
    folder: SafeFolder, paths: Mapping[str, str], present: list[str], images: Images
) -> Thumbnail | None:
    """Make the thumbnail of the preview, or of the true colour image."""
    previews = [path for path in present if describe_file(path).key == _PREVIEW]
    sources = [path for path in (*previews, paths[TRUE_COLOR]) if path in present]
    return Thumbnail.make(folder.path, sources, images) if sources else None


def _add_thumbnail(item: "pystac.Item", thumbnail: Thumbnail) -> None:
    import pystac

    asset = pystac.Asset(f"./{THUMBNAIL}", "Thumbnail", media_type=MEDIA_TYPE, roles=["thumbnail"])
    # The PNG is not georeferenced, although the item has a `proj:code`.
    asset.extra_fields |= {"proj:code": None, "proj:shape": list(thumbnail.shape)}
    _describe_content(asset, thumbnail.content)
    item.add_asset("thumbnail", asset)
