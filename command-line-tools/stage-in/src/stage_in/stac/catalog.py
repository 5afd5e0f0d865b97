"""The self-contained STAC catalog: catalog.json and the item beside its SAFE folder."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stage_in.disk import writing
from stage_in.errors import ProductError
from stage_in.safe.folder import SafeFolder
from stage_in.safe.images import Images
from stage_in.safe.name import ProductName
from stage_in.secrets import excerpt, strike
from stage_in.stac.item import Draft, create_item
from stage_in.stac.thumbnail import THUMBNAIL
from stage_in.urls import get_origin, strip_secrets

if TYPE_CHECKING:
    import pystac

CATALOG = "catalog.json"
# The links are made for a made-up folder: if the real one had a # in its name, pystac would take it
# for the start of a fragment.
_FOLDER = "/catalog"
# Neither delimiters of parameters nor encoded characters (RFC 3986, section 2).
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._~()/-]*")


def make_catalog_file(names: Sequence[ProductName]) -> bytes:
    """Make the content of catalog.json.

    All hrefs are relative, so the catalog may be moved.

    Args:
        names: its products, at least one; their order does not matter.
    """
    import pystac

    catalog = _make_catalog(names)
    for name in sorted(names, key=lambda name: name.id):
        href = f"./{name.id}/{name.id}.json"
        catalog.add_link(pystac.Link("item", href, pystac.MediaType.GEOJSON))
    return _encode(catalog)


def make_item_files(
    folder: SafeFolder,
    source: "pystac.Item",
    images: Images,
    names: Sequence[ProductName],
    draft: Draft | None = None,
) -> dict[str, bytes]:
    """Make the item of a product, and its thumbnail.

    The same product and source item give the same bytes.

    Args:
        folder: the product, which belongs at `<id>/<name>.SAFE` in the catalog.
        source: the platform's item from which it was staged.
        images: reads its images.
        names: all products of the catalog.
        draft: as for `create_item`.

    Returns:
        The content of the item and of the thumbnail, by path in the catalog.

    Raises:
        ProductError: no correct STAC item can be made of the product.
    """
    product = folder.name
    if source.id.removesuffix(".SAFE") != product.id:
        raise ProductError(
            f"the item must be that of {product}, but is that of {excerpt(source.id, 100)!r}"
        )
    item, thumbnail = create_item(folder, images, draft)
    _add_source_link(item, source)
    catalog = _make_catalog(names)
    catalog.add_item(item)
    catalog.normalize_hrefs(_FOLDER)
    files = {f"{product.id}/{product.id}.json": _encode(item)}
    if thumbnail is not None:
        files[f"{product.id}/{THUMBNAIL}"] = thumbnail.content
    return files


def _make_catalog(names: Sequence[ProductName]) -> "pystac.Catalog":
    import pystac

    one = len(names) == 1
    products = f"product {names[0].folder}" if one else "products"
    return pystac.Catalog(
        id=names[0].id if one else "sentinel-2-l1c",
        description=f"Sentinel-2 Level-1C {products}",
        catalog_type=pystac.CatalogType.SELF_CONTAINED,
        href=f"{_FOLDER}/{CATALOG}",
    )


def write_files(path: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a catalog into its folder.

    Raises:
        OutputError: they can't be written.
    """
    for name, content in files.items():
        with writing(path / name):
            (path / name).write_bytes(content)


def _add_source_link(item: "pystac.Item", source: "pystac.Item") -> None:
    """Link to the platform's item if it has a URL, without what may be secret in that."""
    import pystac

    href = strip_secrets(source.get_self_href() or "")
    try:
        get_origin(href)
    except ProductError:
        return
    path = href.partition("://")[2].partition("/")[2]
    if strike(href) != href or _PLAIN_PATH.fullmatch(path) is None:
        return  # a part of it may be secret, or be no URI
    item.add_link(
        pystac.Link("via", href, "application/geo+json", "The item that this was staged from")
    )


def _encode(document: "pystac.STACObject") -> bytes:
    fields = document.to_dict(include_self_link=False)
    try:
        return f"{json.dumps(fields, indent=2, allow_nan=False)}\n".encode()
    except ValueError as error:
        raise ProductError(
            f"the metadata of {document.id} must contain only finite numbers: {error}"
        ) from error
