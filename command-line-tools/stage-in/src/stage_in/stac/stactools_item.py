"""The draft of an item that stactools-sentinel2 makes, kept from what it does beside."""

import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from loguru import logger

from stage_in.errors import ProductError
from stage_in.sources.product import Product

if TYPE_CHECKING:
    import pystac


_loading = threading.Lock()


def preload() -> None:
    """Import the heavy libraries, which takes a second, while there is something to wait for.

    Importing stactools-sentinel2 replaces pystac's way to read by fsspec's, which takes a path
    with `::` or `://` in it for something else, for the whole process: here it is put back.
    """
    with _loading:
        if "stactools.sentinel2.stac" not in sys.modules:
            from pystac.stac_io import StacIO

            before = type(StacIO.default())
            import stactools.sentinel2.stac  # noqa: F401

            StacIO.set_default(before)


def create_stactools_item(product: Product, documents: Mapping[str, bytes]) -> "pystac.Item":
    """Let stactools-sentinel2 make an item of a product's metadata.

    Not to be called from two threads at once: pystac's way to read is global, and changed
    meanwhile.

    Args:
        product: which product it is.
        documents: the metadata by path below the SAFE folder, checked.

    Returns:
        An item that shares nothing with any other; its asset hrefs begin with the product's name.

    Raises:
        ProductError: it can't.
    """
    with _reading_only({f"{product.name}/{path}": content for path, content in documents.items()}):
        import pystac
        from stactools.sentinel2.stac import create_item

        try:
            with _warnings_logged():
                # It looks for bands and resolutions in the whole href, so that a parent folder
                # called B12 or tile_10m would change them: here the href has no parents.
                made = create_item(product.name)
        except ProductError:
            raise
        except Exception as error:  # whatever it stumbles over, the metadata are not what it takes
            raise ProductError(
                f"expected {', '.join(documents)} in {product.name} to make a STAC item: "
                f"{type(error).__name__} {str(error)[:200]}"
            ) from error
    # Its bands, provider and licence are objects of the module, the same for all items.
    return pystac.Item.from_dict(made.to_dict(include_self_link=False), preserve_dict=True)


@contextmanager
def _warnings_logged() -> Iterator[None]:
    """Log what is warned of, but for what is no news.

    The platform's footprints are clockwise and turned round each time, and what libraries have
    deprecated of each other is not the user's business.
    """
    from antimeridian import FixWindingWarning

    known = (FixWindingWarning, DeprecationWarning, PendingDeprecationWarning)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if not issubclass(warning.category, known):
            logger.warning("Of the metadata: {}", warning.message)


@contextmanager
def _reading_only(documents: Mapping[str, bytes]) -> Iterator[None]:
    """Let pystac read these documents by href and nothing else; restore how it read before."""
    preload()
    from pystac.stac_io import DefaultStacIO, StacIO

    class DocumentIO(DefaultStacIO):
        def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
            if source not in documents:
                raise ProductError(
                    f"expected manifest.safe to name {', '.join(documents)} as the metadata, "
                    f"found {str(source)[:200]}"
                )
            try:
                return documents[source].decode()
            except UnicodeDecodeError as error:
                raise ProductError(f"expected {source} in UTF-8: {error}") from error

    before = type(StacIO.default())
    StacIO.set_default(DocumentIO)
    try:
        yield
    finally:
        StacIO.set_default(before)
        _clear_xml_caches()


def _clear_xml_caches() -> None:
    """Let go of the documents that were read.

    XmlElement's methods are cached for all elements together: the last hundred questions would
    keep the trees of all documents that they were asked of.
    """
    from stactools.core.io.xml import XmlElement

    for method in vars(XmlElement).values():
        if forget := getattr(method, "cache_clear", None):
            forget()
