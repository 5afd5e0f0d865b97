"""The STAC item of the platform, from a URL or a file."""

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stage_in.errors import NotFoundError, ProductError, VerificationError
from stage_in.transfer.client import Client
from stage_in.urls import redact

if TYPE_CHECKING:
    import pystac

# Lists in lists take up to 140 times the memory of their text. Items have 30 to 60 KB.
MAX_ITEM_SIZE = 2 * 1024 * 1024  # bytes


def fetch_item(url: str, client: Client) -> "pystac.Item":
    """Read a STAC item from a URL, without showing the token to whoever serves it.

    Raises:
        StageInError: of the kind that the failure is.
    """
    with client.get(url) as body:
        content = body.read(MAX_ITEM_SIZE)
    return parse_item(content, redact(url))


def load_item(path: Path) -> "pystac.Item":
    """Read a STAC item from a file.

    Raises:
        NotFoundError: there is none.
        ProductError: it is something else.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_ITEM_SIZE + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"expected a STAC item at {path}, found no such file") from error
    except (OSError, ValueError) as error:
        raise ProductError(f"expected a STAC item that can be read: {error}") from error
    if len(content) > MAX_ITEM_SIZE:
        raise ProductError(f"expected at most {MAX_ITEM_SIZE} bytes at {path}, found more")
    return parse_item(content, str(path))


def parse_item(content: bytes, source: str) -> "pystac.Item":
    """Read a STAC item from JSON.

    Args:
        content: the JSON document, in UTF-8.
        source: where it is from, for the error.

    Raises:
        VerificationError: it is no JSON: a page of HTML, or damaged, which may pass.
        ProductError: it is no STAC item.
    """
    import pystac

    try:
        fields: Any = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        begin = content[:40].decode("ascii", "replace")
        raise VerificationError(
            f"expected a STAC item in JSON at {source}, found {begin!r}"
        ) from error
    if not isinstance(fields, dict) or fields.get("type") != "Feature":
        kind = fields.get("type", "no type") if isinstance(fields, dict) else type(fields).__name__
        raise ProductError(
            f"expected a STAC item (type Feature) at {source}, found {str(kind)[:40]}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is deprecated, in its own words
            item = pystac.Item.from_dict(fields, preserve_dict=False)
    except Exception as error:  # whatever its shape, what others wrote is no bug of ours
        raise ProductError(
            f"expected a STAC item at {source}: {type(error).__name__} {str(error)[:200]}"
        ) from error
    if not isinstance(item.id, str):
        kind = type(item.id).__name__
        raise ProductError(f"expected a STAC item with an id at {source}, found a {kind}")
    return item


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
