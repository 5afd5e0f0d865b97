"""The reference to an item that a user gives: a URL, a path, standard input or a product name."""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stage_in.errors import ProductError, UsageError
from stage_in.safe.name import EXAMPLE, ProductName
from stage_in.urls import redact

_STAC = "https://stac.dataspace.copernicus.eu"
ITEMS = "/v1/collections/sentinel-2-l1c/items"
STAC_ITEMS = f"{_STAC}{ITEMS}"
# Hosts of web pages that show items: the URL of a page holds the name of the product.
_PAGES = {"browser.dataspace.copernicus.eu", "browser.stac.dataspace.copernicus.eu"}
_NAME = re.compile(r"S2[A-D]_MSIL1C_[0-9A-Z_]{49}", re.ASCII)
_QUOTES = (
    ('"', '"'),
    ("'", "'"),
    ("<", ">"),
    ("\N{LEFT DOUBLE QUOTATION MARK}", "\N{RIGHT DOUBLE QUOTATION MARK}"),
)
_OTHER_LEVEL = re.compile(r"\bS2[A-D]_MSIL(?!1C)(\w\w)_")
_ACCEPTED = (
    f"the URL of a STAC item ({STAC_ITEMS}/{EXAMPLE}), the path of one, - for standard input, or "
    "the name of a product"
)


def parse_reference(text: str, stand_ins: Iterable[str] = ()) -> list[str] | Path:
    """Parse what a user gives as --input-item.

    White space and quotes around it, which lists and copying add, are removed.

    Args:
        text: what the user gives.
        stand_ins: origins where a product is looked up by its name before the platform's.

    Returns:
        The URLs at which the item may be, in the order in which to try them; or the path of a file.

    Raises:
        UsageError: it is none of what is accepted.
        ProductError: it is the name of a product of another level.
    """
    reference = _strip(text)
    scheme = reference.partition(":")[0].lower()
    if reference == "-":
        return Path("/dev/stdin")
    if scheme in {"http", "https"}:
        return _parse_url(reference, stand_ins)
    if scheme == "file":
        with suppress(ValueError):  # such as file://[
            return Path(unquote(urlsplit(reference).path))
    if name := find_name(reference, whole="://" not in reference):
        return list_item_urls(name, stand_ins)
    if reference and "://" not in reference:
        with suppress(RuntimeError):  # there is no such user, as in ~name
            path = Path(reference).expanduser()
            if _exists(path) or (
                path.suffix and ("." not in path.parts[0] or len(path.parts) == 1)
            ):
                return path
    if level := _OTHER_LEVEL.search(reference):
        raise ProductError(
            f"{redact(reference)!r} is a Level-{level[1]} product. Choose a product of Level-1C "
            "(MSIL1C)"
        )
    raise UsageError(f"--input-item must be {_ACCEPTED}, but is {redact(reference)!r}")


def _strip(text: str) -> str:
    stripped = text.strip()
    while len(stripped) > 1 and (stripped[0], stripped[-1]) in _QUOTES:
        stripped = stripped[1:-1].strip()
    return stripped


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return True  # who reads it will say so
    except OSError:  # it is too long for a path
        return False


def list_item_urls(name: str, stand_ins: Iterable[str] = ()) -> list[str]:
    """Return the URLs at which the item of a product may be, in the order in which to try them."""
    return [f"{origin}{ITEMS}/{name}" for origin in (*stand_ins, _STAC)]


def _parse_url(url: str, stand_ins: Iterable[str]) -> list[str]:
    """Return the URL of an item; for the URL of a page that shows one, those of the item."""
    _, external, shown = url.partition("/external/")
    if external:  # https://radiantearth.github.io/stac-browser and its copies
        return [f"https://{shown.removeprefix('https:/').lstrip('/')}".partition("?")[0]]
    host = ""
    with suppress(ValueError):  # such as http://[: who requests it will say so
        host = (urlsplit(url).hostname or "") if url.isprintable() else ""
    if host not in _PAGES:
        return [url]
    if name := find_name(url):
        return list_item_urls(name, stand_ins)
    raise UsageError(
        f"--input-item must be {_ACCEPTED}, but is a page of {host} that names no product. Copy "
        "the product's name from the page"
    )


def find_name(text: str, *, whole: bool = False) -> str:
    """Return the id of the product that a text or URL names, or ""."""
    if whole:
        text = re.sub(r"\.(SAFE|zip|SAFE\.zip)$", "", text)
        match = _NAME.fullmatch(text)
    else:
        match = _NAME.search(unquote(text))
    try:
        return ProductName.parse(match[0]).id if match else ""
    except ProductError:
        return ""
