"""Why a product is not found: the platform has deleted, replaced or archived it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from stage_in.errors import NotFoundError, StageInError
from stage_in.logger import logger
from stage_in.safe.name import ProductName
from stage_in.sources.item_reference import ITEMS, STAC_ITEMS, find_name
from stage_in.sources.odata import OData, Record, find_uuid, list_origins
from stage_in.sources.product import Product
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.auth import NoTokens
from stage_in.transfer.client import Client
from stage_in.transfer.pacing import Pacing
from stage_in.transfer.retries import wait_for_answer
from stage_in.transfer.trust import Trust
from stage_in.urls import get_origin

PATIENCE = 5.0  # seconds for one request; all of them together are given up after three times that
_MAX_SHOWN = 3  # products that replace one


@contextmanager
def explained(missing: Sequence[str] | Product, trust: Trust) -> Iterator[None]:
    """Add to a NotFoundError what has become of the product, and what to use instead.

    The platform's OData service is queried without a token. If it does not answer soon or sensibly,
    the error stays as it is.

    Args:
        missing: the URLs at which the item may be, or the product.
        trust: which hosts may be queried.

    Raises:
        NotFoundError: the error, with the explanation.
    """
    try:
        yield
    except NotFoundError as error:
        if explanation := _explain(missing, trust):
            raise NotFoundError(f"{error}. {explanation}") from error
        raise


def _explain(missing: Sequence[str] | Product, trust: Trust) -> str:
    client = Client(trust, NoTokens(), Pacing(1), stall_timeout=PATIENCE)
    try:
        return wait_for_answer(partial(_ask, missing, trust, client), Arrivals(), PATIENCE)
    except StageInError as error:
        logger.debug("The platform gives no reason: {}", error)
        return ""


def _ask(missing: Sequence[str] | Product, trust: Trust, client: Client) -> str:
    """Return a sentence with the service's record of a product; "" if nothing names the product."""
    urls = [missing.zip_url] if isinstance(missing, Product) else missing
    service = OData(client, list_origins(urls, trust.stand_ins))
    uuid = find_uuid(urls[-1])
    deleted: list[Record] = []
    if isinstance(missing, Product):
        name = missing.name
    elif text := find_name(urls[-1]):
        name = ProductName.parse(text)
    elif uuid:
        try:
            name = service.get(uuid).name
        except NotFoundError:
            deleted = [service.get_deleted(uuid)]
            name = deleted[0].name
    else:
        return ""
    refer = partial(_refer, urls=urls, stand_ins=trust.stand_ins)
    listed = service.list_acquisition(name)
    own = [record for record in listed if record.name == name]
    if any(record.is_online for record in own):
        is_current = len(urls) > 1 or refer(name) == urls[0]
        if uuid:
            is_current = uuid in {record.uuid for record in own}
        fate = f"The platform lists {name} as available"
        if not is_current:
            return f"{fate}: stage {refer(name)} instead"
        # A file may be missing in a mounted archive, and stay so.
        return fate if isinstance(missing, Product) else f"{fate}: run the command again later"
    if own:
        fate = f"{name} is offline: it has to be ordered in the platform's Data Workspace"
    else:
        if not deleted:
            with suppress(StageInError):  # what else is known stays true
                deleted = service.list_deleted(name)
        fate = f"The platform lists no product {name}"
        if deleted:
            cause = next((f" ({x.deletion_cause})" for x in deleted if x.deletion_cause), "")
            fate = f"The platform has deleted {name}{cause}"
    successors = _choose_latest(record.name for record in listed if record.is_online)
    if successors:
        found = " or ".join(map(refer, successors))
        return (
            f"{fate}. The same acquisition is available, processed with baseline "
            f"{successors[0].baseline}: stage {found} instead"
        )
    return fate if own else f"{fate}, and lists no other product of the same acquisition"


def _choose_latest(names: Iterable[ProductName]) -> list[ProductName]:
    """Return the products of the highest baseline; the platform cuts some tiles in two."""
    latest = sorted(set(names), key=lambda name: (name.baseline, name.id), reverse=True)
    return [name for name in latest if name.baseline == latest[0].baseline][:_MAX_SHOWN]


def _refer(name: ProductName, urls: Sequence[str], stand_ins: Sequence[str]) -> str:
    """Return the URL of a product's item at the service that was asked, or just the name.

    The name is found at every stand-in that has a STAC API.
    """
    origin = get_origin(urls[0])
    if origin not in stand_ins:
        return f"{STAC_ITEMS}/{name}"
    if len(urls) == 1 and urls[0].startswith(f"{origin}{ITEMS}/"):
        return f"{origin}{ITEMS}/{name}"
    return name.id
