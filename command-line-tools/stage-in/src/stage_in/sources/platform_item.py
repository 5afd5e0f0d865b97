"""The platform's STAC item, from a URL or a file."""

import json
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stage_in.errors import (
    NotFoundError,
    ProductError,
    StageInError,
    TemporaryError,
    VerificationError,
)
from stage_in.logger import logger
from stage_in.secrets import excerpt
from stage_in.sources.item_reference import list_item_urls
from stage_in.sources.odata import OData, find_uuid, list_origins
from stage_in.transfer.client import Client
from stage_in.urls import redact

if TYPE_CHECKING:
    import pystac

# Real items have 30 to 60 KB, with one value in 40 bytes. Nested lists take up to 140 times the
# memory of their text, so values are counted as well.
MAX_ITEM_SIZE = 16 * 1024 * 1024  # bytes of an item or an ItemCollection
MAX_VALUES = 700_000
_parsing = threading.Lock()


def fetch_items(url: str, client: Client) -> "list[pystac.Item]":
    """Read a STAC item or an ItemCollection from a URL, without sending the token to its host.

    Raises:
        StageInError: the kind depends on the failure.
    """
    with client.get(url) as body:
        content = body.read(MAX_ITEM_SIZE)
    return parse_items(content, redact(url))


def find_items(
    urls: Sequence[str], client: Client, stand_ins: Sequence[str] = ()
) -> "list[pystac.Item]":
    """Read a STAC item or an ItemCollection from the first of several URLs that has it.

    All but the last may belong to services that are no STAC API. A product's URL in the OData
    service means the item of that product.

    Args:
        urls: at least one.
        client: makes the requests.
        stand_ins: origins where a product is looked up before the platform's.

    Raises:
        StageInError: the kind depends on the failure.
    """
    *others, last = urls
    if uuid := find_uuid(last):
        product = OData(client, list_origins(urls, stand_ins)).get(uuid)
        logger.info("{} is {}", redact(last), product.name)
        return find_items(list_item_urls(product.name.id, stand_ins), client)
    for url in others:
        try:
            return fetch_items(url, client)
        except TemporaryError:
            raise
        except StageInError as error:
            logger.debug("No item at {}: {}", redact(url), error)
    return fetch_items(last, client)


def load_items(path: Path) -> "list[pystac.Item]":
    """Read a STAC item or an ItemCollection from a file.

    Raises:
        NotFoundError: there is no such file.
        ProductError: it is neither.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_ITEM_SIZE + 1)
    except FileNotFoundError as error:
        remedy = (
            ""
            if path.is_absolute()
            else " in the working directory. Give an absolute path or a URL"
        )
        raise NotFoundError(f"there is no file {path}{remedy}") from error
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or error
        raise ProductError(
            f"can't read the STAC item at {excerpt(path, 100)!r}: {found}"
        ) from error
    if len(content) > MAX_ITEM_SIZE:
        raise ProductError(
            f"the file {path} must have at most {MAX_ITEM_SIZE} bytes, but has more. Give several "
            "files"
        )
    return parse_items(content, str(path), show=lambda found: "something else")


def parse_items(
    content: bytes,
    source: str,
    show: Callable[[str], str] = str,
) -> "list[pystac.Item]":
    """Parse a STAC item or an ItemCollection, such as the result of a search.

    Args:
        content: the JSON document, in UTF-8.
        source: where it comes from, for the message.
        show: returns how a message shows what was found. The content of a local file is not shown,
            because it may be any file that this user can read.

    Returns:
        At least one item.

    Raises:
        VerificationError: it is not JSON: a page of HTML, or damaged on the way.
        ProductError: it is neither an item nor an ItemCollection with items.
    """
    if sum(map(content.count, (b"[", b"{", b","))) > MAX_VALUES:
        raise ProductError(
            f"the items at {source} must have at most {MAX_VALUES} values, but have more. Give "
            "several files"
        )
    try:
        fields: Any = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise VerificationError(
            f"there must be a STAC item in JSON at {source}, but there is "
            f"{show(repr(excerpt(content, 40)))}"
        ) from error
    if isinstance(fields, dict) and fields.get("type") == "FeatureCollection":
        features = fields.get("features")
        if not isinstance(features, list) or not features:
            raise ProductError(f"the ItemCollection at {source} contains no item")
        _warn_of_more(fields, source)
        return [_parse_item(feature, source, show) for feature in features]
    return [_parse_item(fields, source, show)]


def _warn_of_more(fields: dict[str, Any], source: str) -> None:
    """Warn if a search has found more than this page of its result holds."""
    links = fields.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "next":
            logger.warning(
                "The search result at {} has more pages, which are not staged. Search with a "
                "higher limit, or save all items with pystac-client",
                source,
            )
            return


def _parse_item(fields: Any, source: str, show: Callable[[str], str]) -> "pystac.Item":
    import pystac

    if not isinstance(fields, dict) or fields.get("type") != "Feature":
        kind = fields.get("type", "no type") if isinstance(fields, dict) else type(fields).__name__
        raise ProductError(
            "there must be a STAC item (type Feature) or an ItemCollection (FeatureCollection) at "
            f"{source}, but there is {show(excerpt(kind, 40))}"
        )
    try:
        with _parsing, warnings.catch_warnings():  # which is not made for several threads
            warnings.simplefilter("ignore")  # pystac warns of items that call themselves deprecated
            item = pystac.Item.from_dict(fields, preserve_dict=False)
    except MemoryError:  # this machine's fault
        raise
    except Exception as error:  # pystac raises many kinds of exceptions for invalid items
        raise ProductError(
            f"there must be a valid STAC item at {source}, but there is "
            f"{show(f'{type(error).__name__} {excerpt(error, 200)}')}"
        ) from error
    if not isinstance(item.id, str):
        kind = type(item.id).__name__
        raise ProductError(
            f"the id of the STAC item at {source} must be a string, but is of type {kind}"
        )
    return item


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
