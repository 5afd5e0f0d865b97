"""The item that stactools-sentinel2 makes, without its side effects on pystac and the process."""

import re
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

from stage_in.errors import ProductError
from stage_in.logger import logger
from stage_in.safe.footprint import FOOTPRINT, orient
from stage_in.safe.manifest import GRANULE_METADATA, PRODUCT_METADATA
from stage_in.safe.name import ProductName
from stage_in.safe.xml import parse_xml
from stage_in.secrets import excerpt

if TYPE_CHECKING:
    import pystac


_IDENTIFIER = re.compile(r"[-\w.:]{1,100}", re.ASCII)  # also times

_making = threading.Lock()


def preload() -> None:
    """Import the heavy libraries, which takes half a second.

    Importing stactools-sentinel2 makes pystac read through fsspec in the whole process. That
    misinterprets paths that contain `::` or `://`, so pystac's own way to read is restored.
    """
    if "stactools.sentinel2.stac" not in sys.modules:
        # With too little memory, this raises an exception, while OpenBLAS ends the process.
        import rasterio.crs  # noqa: F401
        from pystac.stac_io import StacIO

        before = type(StacIO.default())
        import stactools.sentinel2.stac  # noqa: F401

        StacIO.set_default(before)


def create_stactools_item(name: ProductName, metadata: Mapping[str, bytes]) -> "pystac.Item":
    """Create an item of a product's metadata with stactools-sentinel2.

    Meanwhile pystac's default way to read is replaced, for this thread only.

    Args:
        name: the product's name.
        metadata: the content of the metadata files by path below the SAFE folder, checked.

    Returns:
        An item that shares nothing with any other. Its asset hrefs start with the SAFE folder's
        name.

    Raises:
        ProductError: stactools-sentinel2 fails.
    """
    documents: dict[str, bytes] = {}
    with _making, _reading_only(documents):
        for path, content in metadata.items():  # prefixes are registered for all threads
            documents[f"{name.folder}/{path}"] = _adapt(content, path)
        import pystac
        from stactools.sentinel2.stac import create_item

        try:
            with _warnings_logged():
                # It searches the whole href for bands and resolutions. So the href here has no
                # parents, which might be called B12 or tile_10m.
                made = create_item(name.folder)
        except (ProductError, MemoryError):
            raise
        except Exception as error:  # it raises many kinds of exceptions for invalid metadata
            raise ProductError(
                f"stactools-sentinel2 can't make a STAC item of {', '.join(metadata)} in "
                f"{name.folder}: {type(error).__name__} {excerpt(error, 200)}"
            ) from error
    # Its bands, provider and licence are module-level objects that all items share.
    item = pystac.Item.from_dict(made.to_dict(include_self_link=False), preserve_dict=True)
    item.properties = {key: value for key, value in item.properties.items() if value is not None}
    _check_properties(item)
    return item


def _check_properties(item: "pystac.Item") -> None:
    """Check what stactools-sentinel2 copies from the metadata without a check.

    Raises:
        ProductError: an identifier is too long or has other characters than identifiers have, or a
            number is out of range.
    """
    for key, value in item.properties.items():
        if not key.startswith("s2:") or key == "s2:reflectance_conversion_factor":
            continue
        if key.endswith("_percentage"):
            valid = isinstance(value, float) and 0 <= value <= 100
        else:
            valid = isinstance(value, str) and _IDENTIFIER.fullmatch(value) is not None
        if not valid:
            raise ProductError(
                f"the field {key} in the metadata of {item.id} has no valid value, but "
                f"{excerpt(str(value), 80)!r}"
            )


def _adapt(document: bytes, name: str) -> bytes:
    """Return a metadata file without what is valid and stactools-sentinel2 reads wrongly."""
    if name.endswith(PRODUCT_METADATA):
        adapt = _orient_footprint
    elif name.endswith(GRANULE_METADATA):
        adapt = _replace_missing_values
    else:
        return document
    root = parse_xml(document, name)
    adapt(root)
    # stactools-sentinel2 finds elements by this prefix, which real documents have.
    register_namespace("n1", root.tag.removeprefix("{").partition("}")[0])
    return bytes(tostring(root, encoding="UTF-8"))


def _orient_footprint(root: Element) -> None:
    for footprint in root.findall(FOOTPRINT):
        footprint.text = orient(footprint.text or "")


def _replace_missing_values(root: Element) -> None:
    """Replace the values that MTD_TL.xml lacks in a way that stactools-sentinel2 rejects.

    The schema allows a percentage of NaN and an empty list of viewing angles. The percentage is
    left out. The angles get a value that never reaches the item, which has angles of its own.
    """
    for parent in root.findall("{*}Quality_Indicators_Info/Image_Content_QI"):
        for element in [*parent]:
            if (element.text or "").strip() == "NaN":
                parent.remove(element)
    for angles in root.findall("{*}Geometric_Info/Tile_Angles"):
        means = angles.find("Mean_Viewing_Incidence_Angle_List")
        if means is None or len(means) == 0:
            if means is None:
                means = SubElement(angles, "Mean_Viewing_Incidence_Angle_List")
            mean = SubElement(means, "Mean_Viewing_Incidence_Angle", bandId="0")
            for angle in ("ZENITH_ANGLE", "AZIMUTH_ANGLE"):
                SubElement(mean, angle, unit="deg").text = "0"


@contextmanager
def _warnings_logged() -> Iterator[None]:
    """Log the warnings of the libraries, except those that users can't act on.

    The platform's footprints are clockwise, so each of them gets a warning. Deprecation warnings
    are for the developers of the libraries.
    """
    from antimeridian import FixWindingWarning

    ignored = (FixWindingWarning, DeprecationWarning, PendingDeprecationWarning)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if not issubclass(warning.category, ignored):
            logger.warning("Warning about the metadata: {}", warning.message)


@contextmanager
def _reading_only(documents: Mapping[str, bytes]) -> Iterator[None]:
    """Let pystac read these documents by href and nothing else; restore its own way afterwards."""
    preload()
    from pystac.stac_io import DefaultStacIO, StacIO

    before = type(StacIO.default())
    thread = threading.get_ident()

    class DocumentIO(DefaultStacIO):
        def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
            if threading.get_ident() != thread:
                return str(before().read_text(source, *args, **kwargs))
            if source not in documents:
                raise ProductError(
                    f"the metadata in manifest.safe must be {', '.join(documents)}, but one is "
                    f"{excerpt(source, 200)}"
                )
            try:
                return documents[source].decode()
            except UnicodeDecodeError as error:
                raise ProductError(f"the file {source} is not in UTF-8: {error}") from error

    StacIO.set_default(DocumentIO)
    try:
        yield
    finally:
        StacIO.set_default(before)
        _clear_xml_caches()


def _clear_xml_caches() -> None:
    """Clear XmlElement's method caches, which keep the parsed trees alive.

    Each cache is shared by all elements and holds the last hundred calls.
    """
    from stactools.core.io.xml import XmlElement

    for method in vars(XmlElement).values():
        if clear := getattr(method, "cache_clear", None):
            clear()
