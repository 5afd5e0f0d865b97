"""The self-contained STAC catalog: catalog.json and the item beside its SAFE folder."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from stage_in.disk import writing
from stage_in.errors import ProductError
from stage_in.safe.folder import SafeFolder
from stage_in.stac.item import create_item
from stage_in.urls import get_origin, strip_secrets

if TYPE_CHECKING:
    import pystac

CATALOG = "catalog.json"


def write_catalog(path: Path, folder: SafeFolder, source: "pystac.Item") -> Path:
    """Write the catalog of a product.

    All hrefs are relative, so the catalog may be moved. The same product and source item give the
    same bytes.

    Args:
        path: the folder of the catalog.
        folder: the product, at `<path>/<id>/<name>.SAFE`.
        source: the platform's item from which it was staged.

    Returns:
        The file catalog.json.

    Raises:
        ProductError: no correct STAC item can be made of the product.
        OutputError: the catalog can't be written.
    """
    import pystac

    product = folder.name
    if source.id.removesuffix(".SAFE") != product.id:
        raise ProductError(f"expected the item of {product}, found that of {source.id[:100]!r}")
    item = create_item(folder)
    _add_source_link(item, source)
    catalog = pystac.Catalog(
        id=product.id,
        description=f"Sentinel-2 Level-1C product {product.folder}",
        catalog_type=pystac.CatalogType.SELF_CONTAINED,
    )
    catalog.add_item(item)
    # The links are made for a made-up folder: if the real one had a # in its name, pystac would
    # take it for the start of a fragment.
    catalog.normalize_hrefs("/catalog")
    file = path / CATALOG
    _write(file, catalog)
    _write(path / product.id / f"{product.id}.json", item)
    return file


def _add_source_link(item: "pystac.Item", source: "pystac.Item") -> None:
    """Link to the platform's item if it has a URL, without what may be secret in that."""
    import pystac

    href = strip_secrets(source.get_self_href() or "")
    try:
        get_origin(href)
    except ProductError:
        return
    if not (href.isascii() and href.isprintable()):
        return  # it is not a URI (RFC 3986, section 2)
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
