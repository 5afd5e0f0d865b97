"""The STAC catalog of a staged product: one item, beside the product's files."""

import json
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.errors import ProductError, StageInError
from app.manifest import check_path
from app.metadata import parse_xml
from app.output import writing
from app.product import Product

if TYPE_CHECKING:
    import pystac

_loading = threading.Lock()


def preload() -> None:
    """Import the heavy libraries, which takes a second, while there is something to wait for.

    Importing stactools-sentinel2 replaces pystac's way to read by fsspec's, which takes a path with
    `::` or `://` in it for something else; here it is put back.
    """
    with _loading:
        if "stactools.sentinel2.stac" not in sys.modules:
            from pystac.stac_io import DefaultStacIO, StacIO

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import stactools.sentinel2.stac  # noqa: F401

            StacIO.set_default(DefaultStacIO)


def write_catalog(
    folder: Path,
    product: Product,
    source: "pystac.Item",
    *,
    partial: bool = False,
    verified: bool = True,
) -> Path:
    """Write the catalog of a product whose SAFE folder is at `folder/<id>/<name>.SAFE`.

    All hrefs are relative: the folder may be moved.

    Args:
        folder: the catalog's folder.
        product: which product it is.
        source: the platform's item.
        partial: whether only some bands were staged.
        verified: whether the digests of its files were checked.

    Returns:
        The catalog's file.

    Raises:
        ProductError: no STAC item can be made of the product's metadata.
    """
    import pystac

    item = create_item(folder / product.id / product.name, product, partial=partial)
    if not verified:
        item.properties["stage-in:verified"] = False
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


def create_item(safe: Path, product: Product, *, partial: bool) -> "pystac.Item":
    """Make the STAC item of a product, its asset hrefs relative to the SAFE folder's parent.

    Args:
        safe: the SAFE folder, complete.
        product: which product it must be.
        partial: whether files may be missing.

    Raises:
        ProductError: the metadata lacks what an item needs, or is another product's.
    """
    with _reading_below(safe.parent):
        from stactools.sentinel2.stac import create_item as create_sentinel2_item

        try:
            with warnings.catch_warnings():
                # It warns that it mends the winding order of footprints, which is what is wanted.
                warnings.simplefilter("ignore")
                # It looks for bands and resolutions in the whole href, so that a parent folder
                # called B12 or tile_10m would change them: here the href has no parents.
                item: pystac.Item = create_sentinel2_item(product.name)
        except StageInError:
            raise
        except Exception as error:
            raise ProductError(
                f"expected the metadata of {product.name} to make a STAC item: "
                f"{type(error).__name__}: {str(error)[:200]}"
            ) from error
    _check_identity(item, product)
    # Its own id leaves out the baseline: a product and its reprocessing would be one item.
    item.id = product.id
    # The same product gives the same catalog.
    item.properties["created"] = item.properties.get("s2:generation_time")
    for key, asset in [*item.assets.items()]:
        path = check_path(asset.href, f"asset {key} of {product.name}")
        if not (safe.parent / path).is_file():
            if partial:
                del item.assets[key]
                continue
            raise ProductError(f"expected {path} as asset {key}, found no such file")
        asset.href = f"./{path}"
    return item


def _write(path: Path, document: "pystac.STACObject") -> None:
    with writing(path):
        fields = document.to_dict(include_self_link=False)
        path.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _reading_below(folder: Path) -> Iterator[None]:
    """Let pystac read the product's XML below a folder, none with a DOCTYPE."""
    preload()
    from pystac.stac_io import DefaultStacIO, StacIO

    class ProductIO(DefaultStacIO):
        def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
            document = (folder / check_path(str(source), "the metadata")).read_bytes()
            parse_xml(document, str(source))
            return document.decode()

    StacIO.set_default(ProductIO)
    try:
        yield
    finally:
        StacIO.set_default(DefaultStacIO)


def _check_identity(item: "pystac.Item", product: Product) -> None:
    found = item.properties.get("s2:product_uri")
    if found != product.name:
        raise ProductError(f"expected PRODUCT_URI {product.name} in MTD_MSIL1C.xml, found {found}")
    tile_id = str(item.properties.get("s2:tile_id"))
    if f"_T{product.tile}_" not in tile_id:
        raise ProductError(f"expected tile {product.tile} in MTD_TL.xml, found TILE_ID {tile_id}")
