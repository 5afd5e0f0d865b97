"""The platform's open OData service, which lists products and those it has deleted."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import quote, unquote

from stage_in.errors import (
    NotFoundError,
    ProductError,
    StageInError,
    TemporaryError,
    VerificationError,
)
from stage_in.safe.name import ProductName
from stage_in.secrets import excerpt
from stage_in.sources.product import UUID
from stage_in.transfer.client import Client
from stage_in.urls import get_origin, redact

T = TypeVar("T")

CATALOGUE = "https://catalogue.dataspace.copernicus.eu"
_ENTITY = re.compile(rf"https?://[^/]+/odata/v1/Products\(({UUID})\)(?:[/?].*)?", re.I | re.A)
_MAX_SIZE = 512 * 1024  # bytes; a product has up to 10 KB
_MAX_PRODUCTS = 20  # of one acquisition; there are seldom more than three


@dataclass(frozen=True)
class Record:
    """What the service records about a product.

    Attributes:
        name: the product's name.
        uuid: its id in the service, in lower case.
        is_online: whether it can be downloaded without being ordered first.
        deletion_cause: such as `Obsolete product`; "" if it is not known or not deleted.
    """

    name: ProductName
    uuid: str
    is_online: bool
    deletion_cause: str

    @classmethod
    def parse(cls, entity: Any) -> Self:
        """Read the fields that matter; others wrote them.

        Raises:
            ProductError: it is no Level-1C product.
            LookupError, TypeError, AttributeError: it is no entity of the service.
        """
        return cls(
            name=ProductName.parse(entity["Name"]),
            uuid=str(entity["Id"]).lower(),
            is_online=entity.get("Online") is not False,
            deletion_cause=excerpt(entity.get("DeletionCause") or "", 60).strip(),
        )


class OData:
    """Requests records, without a token, from trusted hosts only.

    The requests have the form that the documentation gives (CDSE documentation, APIs, OData).
    """

    def __init__(self, client: Client, origins: Sequence[str]) -> None:
        """Prepare the requests.

        Args:
            client: makes them.
            origins: where to make them, in this order. At least one.
        """
        self._client = client
        self._origins = origins

    def get(self, uuid: str) -> Record:
        """Return the record of a product.

        Raises:
            NotFoundError: there is none.
            StageInError: the kind depends on the failure.
        """
        return next(self._request(f"Products({uuid})", Record.parse))

    def get_deleted(self, uuid: str) -> Record:
        """Return the record of a deleted product; errors are those of `get`."""
        return next(self._request(f"DeletedProducts({uuid})", Record.parse))

    def list_deleted(self, name: ProductName) -> list[Record]:
        """Return the records of the deleted products of a name.

        Raises:
            StageInError: the kind depends on the failure.
        """
        found = self._search("DeletedProducts", f"Name eq '{name.folder}'")
        return [record for record in found if record.name == name]

    def list_acquisition(self, name: ProductName) -> list[Record]:
        """Return the records of all products of one acquisition, whatever their baseline.

        A satellite passes over a tile in the same relative orbit at most once a day.

        Raises:
            StageInError: the kind depends on the failure.
        """
        acquisition = satellite, date, orbit, tile = _acquisition(name)
        day = f"{date[:4]}-{date[4:6]}-{date[6:]}"
        found = self._search(
            "Products",
            f"Collection/Name eq 'SENTINEL-2' and startswith(Name,'{satellite}_MSIL1C_') "
            f"and contains(Name,'_{orbit}_{tile}_') "
            f"and ContentDate/Start ge {day}T00:00:00.000Z "
            f"and ContentDate/Start le {day}T23:59:59.999Z",
        )
        return [record for record in found if _acquisition(record.name) == acquisition]

    def _search(self, entities: str, condition: str) -> list[Record]:
        path = f"{entities}?$filter={quote(condition)}&$top={_MAX_PRODUCTS}"
        return [record for found in self._request(path, _parse_list) for record in found]

    def _request(self, path: str, parse: Callable[[Any], T]) -> Iterator[T]:
        """Yield the answer of each origin that has one.

        A stand-in may be another service than OData. If there is no answer, the failure is raised
        that says most.
        """
        failures: list[StageInError] = []
        for origin in self._origins:
            url = f"{origin}/odata/v1/{path}"
            try:
                with self._client.get_listing(url) as body:
                    content = body.read(_MAX_SIZE)
                answer = _parse(content, parse, url)
            except StageInError as error:
                failures.append(error)
            else:
                yield answer
        if len(failures) == len(self._origins):
            for kind in (TemporaryError, NotFoundError, StageInError):
                for failure in failures:
                    if isinstance(failure, kind):
                        raise failure


def find_uuid(url: str) -> str | None:
    """Return the id of the product if a URL is one of the OData service, with or without $value."""
    match = _ENTITY.fullmatch(unquote(url))
    return match and match[1].lower()


def list_origins(urls: Iterable[str], stand_ins: Sequence[str]) -> list[str]:
    """Return where the OData service is that belongs to some URLs.

    For the URL of a stand-in that is this stand-in or another; for all other URLs, the platform.

    Raises:
        ProductError: a URL is malformed.
    """
    origins = list(dict.fromkeys(get_origin(url) for url in urls))
    own = [origin for origin in origins if origin in stand_ins]
    others = [origin for origin in stand_ins if own and origin not in own]
    return [*own, *others, *([CATALOGUE] if len(own) < len(origins) else [])]


def _acquisition(name: ProductName) -> tuple[str, ...]:
    satellite, _, time, _, orbit, tile, _ = name.id.split("_")
    return satellite, time[:8], orbit, tile


def _parse(content: bytes, parse: Callable[[Any], T], url: str) -> T:
    try:
        return parse(json.loads(content))
    except ProductError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise VerificationError(
            f"the OData service at {redact(url)} sent no valid answer, but {excerpt(content, 40)!r}"
        ) from error


def _parse_list(document: Any) -> list[Record]:
    records = []
    for entity in list(document["value"])[:_MAX_PRODUCTS]:
        with suppress(ProductError):
            records.append(Record.parse(entity))
    return records
