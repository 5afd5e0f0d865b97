"""The STAC catalog of a staged product: one item, beside the product's files.

stactools-sentinel2 drafts the item; each function here that begins with `_set` or `_add` mends or
completes one thing of the draft and says which. docs/item.md defines what comes out.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stage_in.disk import writing
from stage_in.errors import ProductError
from stage_in.safe import manifest
from stage_in.safe.bands import TRUE_COLOR
from stage_in.safe.manifest import Entry
from stage_in.safe.metadata import ProductMetadata
from stage_in.safe.radiometry import Radiometry
from stage_in.safe.xml import XmlFile, check_prolog
from stage_in.sources.product import Product
from stage_in.stac import thumbnail
from stage_in.stac.assets import describe_file, is_xml
from stage_in.stac.projection import set_projection
from stage_in.stac.stactools_item import create_stactools_item
from stage_in.urls import get_origin, strip_secrets

if TYPE_CHECKING:
    import pystac

_EXTENSIONS = {
    "file": "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "processing": "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "scientific": "https://stac-extensions.github.io/scientific/v1.0.0/schema.json",
}

# Multihash: the code of the algorithm as a varint, the length of the digest, the digest
# (multiformats/multicodec, table.csv).
_MULTIHASH = {"md5": "d50110", "sha3_256": "1620"}
_OWN_ALGORITHM = "sha3_256"

_FINEST_GSD = 10  # metres: the ground sampling of four bands
_SOFTWARE = ("stage-in", "stactools-sentinel2")


def write_catalog(
    folder: Path,
    product: Product,
    source: "pystac.Item",
    *,
    partial: bool = False,
    verified: bool = True,
) -> Path:
    """Write the catalog of a product whose SAFE folder is at `folder/<id>/<name>.SAFE`.

    All hrefs are relative: the folder may be moved. The same product and source item give the
    same bytes.

    Args:
        folder: the catalog's folder.
        product: which product it is.
        source: the platform's item that it was staged from.
        partial: whether files that manifest.safe lists may be missing.
        verified: whether the digests of its files were checked.

    Returns:
        The catalog's file.

    Raises:
        ProductError: no true STAC item can be made of the product.
        OutputError: the catalog can't be written.
    """
    import pystac

    if source.id.removesuffix(".SAFE") != product.id:
        raise ProductError(f"expected the item of {product.id}, found that of {source.id[:100]!r}")
    item = create_item(
        folder / product.id / product.name, product, partial=partial, verified=verified
    )
    _add_source_link(item, source)
    catalog = pystac.Catalog(
        id=product.id,
        description=f"Sentinel-2 Level-1C product {product.name}",
        catalog_type=pystac.CatalogType.SELF_CONTAINED,
    )
    catalog.add_item(item)
    # Links are made as if in a folder of this name: pystac would take a # in the name of the real
    # one for the begin of a fragment, and write elsewhere.
    catalog.normalize_hrefs("/catalog")
    path = folder / "catalog.json"
    _write(path, catalog)
    _write(folder / product.id / f"{product.id}.json", item)
    return path


def create_item(
    safe: Path, product: Product, *, partial: bool = False, verified: bool = True
) -> "pystac.Item":
    """Make the STAC item of a product, and its thumbnail beside the SAFE folder.

    Args:
        safe: the SAFE folder. All asset hrefs are relative to the folder that holds it.
        product: which product it must be.
        partial: whether files that manifest.safe lists may be missing.
        verified: whether the digests of its files were checked.

    Raises:
        ProductError: a file is missing or is not what it should be, or the metadata lack what an
            item needs, contradict each other, or are another product's.
        OutputError: the thumbnail can't be written.
    """
    entries = manifest.read(_read(safe, manifest.NAME))
    present = _list_present(safe, entries, partial=partial)
    documents = _read_documents(safe, entries)
    _, product_path, granule_path = documents
    description = ProductMetadata.read(
        product,
        XmlFile(documents[product_path], product_path, "Level-1C_User_Product"),
        XmlFile(documents[granule_path], granule_path, "Level-1C_Tile_ID"),
        entries,
    )
    item = create_stactools_item(product, documents)
    _set_identity(item, product)
    _set_properties(item, description)
    _set_processing(item, description)
    _set_licence(item)
    _set_citation(item, description)
    _set_completeness(item, partial=partial, verified=verified)
    _set_assets(item, product, present)
    set_projection(item, safe, description)
    _set_radiometry(item, description.radiometry)
    _set_bands(item)
    _add_file_facts(item, safe, entries, verified=verified)
    _add_thumbnail(item, safe, description.images, present)
    return item


def _list_present(safe: Path, entries: Mapping[str, Entry], *, partial: bool) -> list[str]:
    """Return the files of the product that are there, in the manifest's order.

    A draft lists the files that the metadata name, whether they are there or not.
    """
    present = []
    for path, entry in entries.items():
        file = safe / path
        if not file.is_file():
            if not partial:
                raise ProductError(
                    f"expected {path} in {safe.name}, as {manifest.NAME} lists it, found no such "
                    "file"
                )
            continue
        if (size := file.stat().st_size) != entry.size:
            raise ProductError(
                f"expected {entry.size} bytes of {path} in {safe.name}, found {size}"
            )
        if is_xml(path):
            check_prolog(file, path)
        present.append(path)
    return [manifest.NAME, *present]


def _read_documents(safe: Path, entries: Mapping[str, Entry]) -> dict[str, bytes]:
    """Return what a draft is made of by path: the manifest, the product's and the granule's XML."""
    granules = [path for path in entries if path.endswith("/MTD_TL.xml")]
    if len(granules) != 1:
        raise ProductError(f"expected one granule in {manifest.NAME}, found {', '.join(granules)}")
    return {
        path: _read(safe, path) for path in (manifest.NAME, manifest.PRODUCT_METADATA, *granules)
    }


def _read(safe: Path, path: str) -> bytes:
    try:
        return (safe / path).read_bytes()
    except OSError as error:
        raise ProductError(
            f"expected {path} in {safe.name}, found none that can be read: {error.strerror}"
        ) from error


def _set_identity(item: "pystac.Item", product: Product) -> None:
    """Set the id; a draft's leaves out the baseline: a product and its reprocessing are one."""
    item.id = product.id
    item.common_metadata.title = product.name


def _set_properties(item: "pystac.Item", description: ProductMetadata) -> None:
    """Set what a draft takes from the clock, leaves out or averages wrongly.

    `datetime` stays the datatake's start, as in the platform's own items.
    """
    properties = item.properties
    properties["created"] = description.generation_time
    properties["gsd"] = _FINEST_GSD
    properties["stage-in:sensing_time"] = description.sensing_time
    if description.snow_cover is not None:
        properties["eo:snow_cover"] = description.snow_cover
    for key in ("view:azimuth", "view:incidence_angle"):
        properties.pop(key, None)
    if description.view is not None:
        properties["view:azimuth"], properties["view:incidence_angle"] = description.view


def _set_processing(item: "pystac.Item", description: ProductMetadata) -> None:
    """Add how the product came about (stactools-sentinel2 issue 178)."""
    item.properties |= {
        "processing:level": "L1C",
        "processing:version": description.baseline,
        "processing:facility": description.centre,
        "processing:datetime": description.generation_time,
        "processing:software": dict(_versions(_SOFTWARE)),
    }
    item.stac_extensions.append(_EXTENSIONS["processing"])


def _versions(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in names:
        try:
            yield name, version(name)
        except PackageNotFoundError:  # run from its sources
            yield name, "unknown"


def _set_licence(item: "pystac.Item") -> None:
    """Say what the licence link is: STAC 1.1 has `other` for one that is no SPDX licence."""
    item.properties["license"] = "other"
    for link in item.get_links("license"):
        link.media_type = "application/pdf"
        link.title = "Legal notice on the use of Copernicus Sentinel data"


def _set_citation(item: "pystac.Item", description: ProductMetadata) -> None:
    """Add the collection's DOI, which a draft has not."""
    import pystac

    if description.doi is None:
        return
    item.properties["sci:doi"] = description.doi
    item.stac_extensions.append(_EXTENSIONS["scientific"])
    item.add_link(pystac.Link("cite-as", f"https://doi.org/{description.doi}"))


def _set_completeness(item: "pystac.Item", *, partial: bool, verified: bool) -> None:
    """Say what was left out, which a draft can't know; nothing where nothing was."""
    if partial:
        item.properties["stage-in:partial"] = True
    if not verified:
        item.properties["stage-in:verified"] = False


def _set_assets(item: "pystac.Item", product: Product, present: list[str]) -> None:
    """Have one asset for manifest.safe and each file that it lists and that is there, and no other.

    A draft has no masks, no quality reports and no auxiliary data, but images and INSPIRE.xml
    even if they are missing.
    """
    import pystac

    drafted = {}
    for key, asset in item.assets.items():
        # None is the href of what manifest.safe doesn't list.
        path = str(asset.href or "").removeprefix(f"{product.name}/")
        drafted[path] = key, asset
    item.assets = {}
    # The bands first, as drafted.
    for path in dict.fromkeys([path for path in drafted if path in present] + present):
        file = describe_file(path)
        key, asset = drafted.get(path) or (file.key, pystac.Asset(path, roles=[*file.roles]))
        asset.href = f"./{product.name}/{path}"
        asset.title = asset.title or file.title
        asset.media_type = asset.media_type or file.media_type
        item.add_asset(path if key in item.assets else key, asset)


def _set_radiometry(item: "pystac.Item", radiometry: Radiometry) -> None:
    """Set scale and offset to what the product says (stactools-sentinel2 issue 44).

    A draft guesses them by the baseline in TILE_ID.
    """
    for asset in _data(item):
        (band,) = asset.extra_fields["eo:bands"]
        (values,) = asset.extra_fields["raster:bands"]
        values["scale"] = radiometry.scale
        values["offset"] = radiometry.offset(band["name"])
        values["nodata"] = radiometry.nodata


def _data(item: "pystac.Item") -> list["pystac.Asset"]:
    return [asset for asset in item.assets.values() if "data" in (asset.roles or [])]


def _set_bands(item: "pystac.Item") -> None:
    """Add STAC 1.1's `bands` beside `eo:bands` and `raster:bands`, which a draft has alone."""
    for asset in item.assets.values():
        fields = asset.extra_fields
        if "eo:bands" not in fields:
            continue
        values: list[dict[str, Any]] = fields.get("raster:bands") or [{}] * len(fields["eo:bands"])
        fields["bands"] = [
            _merge_band(*pair) for pair in zip(fields["eo:bands"], values, strict=True)
        ]


def _merge_band(spectral: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    common = {"name", "description", "data_type", "nodata", "unit", "statistics"}
    return {
        name if name in common else f"{prefix}:{name}": value
        for prefix, fields in (("eo", spectral), ("raster", values))
        for name, value in fields.items()
    }


def _add_file_facts(
    item: "pystac.Item", safe: Path, entries: Mapping[str, Entry], *, verified: bool
) -> None:
    """Add size and digest of each file, which a draft has not: one that was verified, or none.

    manifest.safe, which nothing lists, has its own.
    """
    item.stac_extensions.append(_EXTENSIONS["file"])
    for asset in item.assets.values():
        path = asset.href.removeprefix(f"./{safe.name}/")
        entry = entries.get(path)
        if entry is None:
            _write_facts(asset, _read(safe, path))
            continue
        asset.extra_fields["file:size"] = entry.size
        if verified and entry.algorithm and entry.digest:
            asset.extra_fields["file:checksum"] = f"{_MULTIHASH[entry.algorithm]}{entry.digest}"


def _write_facts(asset: "pystac.Asset", content: bytes) -> None:
    digest = hashlib.new(_OWN_ALGORITHM, content).hexdigest()
    asset.extra_fields["file:size"] = len(content)
    asset.extra_fields["file:checksum"] = f"{_MULTIHASH[_OWN_ALGORITHM]}{digest}"


def _add_thumbnail(
    item: "pystac.Item", safe: Path, images: Mapping[str, str], present: list[str]
) -> None:
    """Write the picture beside the SAFE folder; none where a part of a product has no image."""
    import pystac

    previews = [path for path in present if describe_file(path).key == "preview"]
    sources = [path for path in (*previews, images[TRUE_COLOR]) if path in present]
    if not sources:
        return
    picture = thumbnail.Thumbnail.make(safe, sources)
    path = safe.parent / thumbnail.NAME
    with writing(path):
        path.write_bytes(picture.content)
    asset = pystac.Asset(
        f"./{thumbnail.NAME}", "Thumbnail", media_type=thumbnail.MEDIA_TYPE, roles=["thumbnail"]
    )
    # A picture has no place, the item's `proj:code` notwithstanding.
    asset.extra_fields |= {"proj:code": None, "proj:shape": list(picture.shape)}
    _write_facts(asset, picture.content)
    item.add_asset("thumbnail", asset)


def _add_source_link(item: "pystac.Item", source: "pystac.Item") -> None:
    """Link to the platform's item, where that says where it is; without what may be secret."""
    import pystac

    href = strip_secrets(source.get_self_href() or "")
    try:
        get_origin(href)
    except ProductError:
        return
    if not (href.isascii() and href.isprintable()):
        return  # as a URI is written (RFC 3986, section 2)
    item.add_link(
        pystac.Link("via", href, "application/geo+json", "The item that this was staged from")
    )


def _write(path: Path, document: "pystac.STACObject") -> None:
    fields = document.to_dict(include_self_link=False)
    try:
        text = json.dumps(fields, indent=2, allow_nan=False)
    except ValueError as error:
        raise ProductError(f"expected numbers in the metadata of {document.id}: {error}") from error
    with writing(path):
        path.write_text(f"{text}\n", encoding="utf-8")
