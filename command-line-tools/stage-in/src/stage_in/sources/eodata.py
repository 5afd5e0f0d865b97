"""The place of a product in the platform's archive `eodata`, which S3 and mounts show alike."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from stage_in.errors import ProductError
from stage_in.safe.manifest import MANIFEST
from stage_in.safe.name import ProductName
from stage_in.urls import redact

if TYPE_CHECKING:
    import pystac

BUCKET = "eodata"
# Reprocessed products have a folder for their baseline, such as L1C_N0500.
_FOLDER = r"Sentinel-2/MSI/L1C(?:_N[0-9]{4})?/[0-9]{4}/[0-9]{2}/[0-9]{2}"


def find_path(item: "pystac.Item", name: ProductName) -> str:
    """Return the path of a product below `eodata`, as a STAC item of the platform gives it.

    Items of the new API have a link `enclosure` and an asset `safe_manifest`; items of the legacy
    API have an alternate of the product's asset.

    Args:
        item: the platform's item.
        name: the product's name.

    Raises:
        ProductError: the item has no such path, or only those of something else.
    """
    hrefs = [*_list_hrefs(item)]
    pattern = re.compile(
        rf"(?:s3:/)?/{BUCKET}/(?P<path>{_FOLDER}/{re.escape(name.folder)})(?:/|/{MANIFEST})?"
    )
    for href in hrefs:
        if match := pattern.fullmatch(href):
            return match["path"]
    found = ", ".join(redact(href) for href in hrefs[:3]) or "no link to it"
    raise ProductError(
        f"item {name} must give its path in the archive, such as "
        f"s3://{BUCKET}/Sentinel-2/MSI/L1C/2024/01/16/{name.folder}, but has {found}"
    )


def _list_hrefs(item: "pystac.Item") -> Iterator[str]:
    # `link.href` would fetch the catalog's root, to make it relative.
    candidates: list[Any] = [link.target for link in item.links if link.rel == "enclosure"]
    for key in ("safe_manifest", "Product", "PRODUCT"):
        if key in item.assets:
            asset = item.assets[key]
            alternate = asset.extra_fields.get("alternate")
            s3 = alternate.get("s3") if isinstance(alternate, dict) else None
            candidates += [asset.href, s3.get("href") if isinstance(s3, dict) else None]
    for href in candidates:
        if isinstance(href, str) and not href.startswith("http"):
            yield href
