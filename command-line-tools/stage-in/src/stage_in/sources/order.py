"""The order that a user gives: which products to stage, and the items that describe them."""

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from stage_in.errors import NotFoundError, ProductError, UsageError
from stage_in.safe.manifest import MAX_PRODUCT_SIZE
from stage_in.safe.name import EXAMPLE
from stage_in.secrets import register_url
from stage_in.sources.item_reference import parse_reference
from stage_in.sources.platform_item import find_items, load_items, parse_items
from stage_in.sources.product import Product, find_asset_key
from stage_in.sources.removal import explained
from stage_in.transfer.access import Access
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.client import Client
from stage_in.transfer.retries import retry_until_answered, wait_for_answer

if TYPE_CHECKING:
    import pystac

# One item, an ItemCollection, or where to find either: what `parse_reference` accepts.
Reference: TypeAlias = Union[str, "Mapping[str, Any]", "pystac.Item", "pystac.ItemCollection"]


@dataclass(frozen=True)
class Order:
    """A product to stage, and the platform's item of it."""

    product: Product
    item: "pystac.Item"

    @property
    def size(self) -> int:
        """Bytes of the whole product, as the item gives them; 0 if it does not."""
        size = self.item.assets[find_asset_key(self.item)].extra_fields.get("file:size")
        return size if isinstance(size, int) and 0 < size < MAX_PRODUCT_SIZE else 0


def list_references(
    items: "Reference | os.PathLike[str] | Iterable[Reference | os.PathLike[str]]",
) -> list[Reference]:
    """Return one or several references as a list."""
    import pystac

    if isinstance(items, str | os.PathLike):
        return [os.fspath(items)]
    if isinstance(items, Mapping | pystac.Item | pystac.ItemCollection):
        return [items]
    if not isinstance(items, Iterable):
        raise _refuse(items)
    return [os.fspath(item) if isinstance(item, os.PathLike) else item for item in items]


def read_orders(
    references: Sequence[Reference],
    access: Access,
    client: Client,
    arrivals: Arrivals,
    patience: float,
) -> list[Order]:
    """Read the items that a user gives, in parallel.

    Args:
        references: one for each item or ItemCollection, at least one.
        access: what the environment grants access to.
        client: makes the requests.
        arrivals: counts the bytes of the items.
        patience: seconds without new data after which this fails.

    Returns:
        The products in the order in which they are given, each once.

    Raises:
        UsageError: a reference is not what is accepted.
        StageInError: an item can't be read, or does not describe a product; the kind depends on
            the failure.
    """
    if not references:
        raise UsageError("no item was given. Give at least one")
    found: dict[int, Sequence[pystac.Item]] = {}
    remote: dict[int, Callable[[], Sequence[pystac.Item]]] = {}
    files: dict[int, Path] = {}
    missing: dict[NotFoundError, list[str]] = {}
    for number, reference in enumerate(references):
        if not isinstance(reference, str):
            found[number] = _read_object(reference)
            continue
        parsed = parse_reference(reference, access.trust.stand_ins)
        if isinstance(parsed, Path):
            files[number] = parsed
            continue
        for url in parsed:
            register_url(url)
        remote[number] = partial(_find_items, parsed, client, access.trust.stand_ins, missing)
    if access.credentials is not None and (files or remote):
        retry_until_answered([access.credentials.use_one_time_code], arrivals, patience)
    for number, path in files.items():
        # A pipe that delivers nothing ends the run like a server.
        found[number] = wait_for_answer(partial(load_items, path), arrivals, patience)
    try:
        answers = retry_until_answered([*remote.values()], arrivals, patience)
    except NotFoundError as error:
        with explained(missing[error], access.trust):
            raise
    found.update(zip(remote, answers, strict=True))
    orders: dict[str, Order] = {}
    for number in range(len(references)):
        for order in _find_products(found[number], access.trust.origins, files.get(number)):
            orders.setdefault(order.product.id, order)
    if not orders:
        raise ProductError("the ItemCollections contain no item")
    return [*orders.values()]


def _find_items(
    urls: list[str],
    client: Client,
    stand_ins: Sequence[str],
    missing: dict[NotFoundError, list[str]],
) -> "Sequence[pystac.Item]":
    """Read items; if there are none, note the URLs for the error."""
    try:
        return find_items(urls, client, stand_ins)
    except NotFoundError as error:
        missing[error] = urls
        raise


def _read_object(
    reference: "Mapping[str, Any] | pystac.Item | pystac.ItemCollection",
) -> "Sequence[pystac.Item]":
    """Return the items of an object that Python code gives."""
    import pystac

    if isinstance(reference, pystac.Item):
        return [reference]
    if isinstance(reference, pystac.ItemCollection):
        return reference.items
    try:
        content = json.dumps(dict(reference))
    except (TypeError, ValueError, RecursionError) as error:
        raise _refuse(reference) from error
    return parse_items(content.encode(), "a dictionary")


def _find_products(
    items: "Sequence[pystac.Item]", origins: Collection[str], file: Path | None
) -> list[Order]:
    orders = []
    for number, item in enumerate(items, start=1):
        try:
            orders.append(Order(Product.from_item(item, origins), item))
        except ProductError as error:
            if file is None:
                raise
            what = f"item {number} in the file {file}" if len(items) > 1 else f"the file {file}"
            raise ProductError(  # the message quotes the file, which may be any file
                f"{what} must be the STAC item of a Sentinel-2 Level-1C product, with an id such "
                f"as {EXAMPLE} and a Product asset at a host of the platform or one named in "
                "CDSE_TRUSTED_HOSTS, but has another id, asset or host"
            ) from error
    return orders


def _refuse(found: object) -> UsageError:
    return UsageError(
        "an item must be a STAC item, an ItemCollection, a URL, a path or a product name, but is "
        f"of type {type(found).__name__}"
    )
