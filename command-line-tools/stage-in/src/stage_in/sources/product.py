"""The Level-1C product that a STAC item describes, and where the platform offers it."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from stage_in.errors import ProductError
from stage_in.safe.name import EXAMPLE, ProductName
from stage_in.secrets import excerpt
from stage_in.urls import get_origin, redact

if TYPE_CHECKING:
    import pystac

# The key of the asset that holds the zipped product: in the new API, in the legacy API.
PRODUCT_ASSET_KEYS = ("Product", "PRODUCT")

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

_PATH = re.compile(rf"odata/v1/Products\((?P<uuid>{UUID})\)/\$value", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Product:
    """A Sentinel-2 Level-1C product in the download service.

    All URLs are built from these attributes: the item's other URLs are ignored.

    Attributes:
        name: the product's name.
        uuid: the product's id in the OData API.
        origin: `scheme://host[:port]` of the download service, a trusted one.
    """

    name: ProductName
    uuid: str
    origin: str

    @classmethod
    def from_item(cls, item: "pystac.Item", trusted: Collection[str]) -> Self:
        """Find the product that a STAC item of the platform describes.

        Items of the new API (`sentinel-2-l1c`, asset `Product`) and of the legacy API
        (`SENTINEL-2`, asset `PRODUCT`, id with `.SAFE`) are accepted.

        Args:
            item: the platform's item.
            trusted: origins from which products may be downloaded.

        Raises:
            ProductError: the item does not describe a Level-1C product at a trusted origin.
        """
        try:
            name = ProductName.parse(item.id)
        except ProductError as error:
            raise ProductError(
                f"the item must be of a Sentinel-2 Level-1C product, with an id such as {EXAMPLE}, "
                f"but is {_describe(item)}"
            ) from error
        key = find_asset_key(item)
        href = get_asset_href(item, key)
        origin = get_origin(href)
        if origin not in trusted:
            raise ProductError(
                f"asset {key!r} of item {item.id} must be at a trusted host, but is at "
                f"{redact(origin)}. If it is a mirror that may receive your token, name it in "
                "CDSE_TRUSTED_HOSTS"
            )
        match = _PATH.fullmatch(href.partition("://")[2].partition("/")[2])
        if match is None:
            raise ProductError(
                f"asset {key!r} of item {item.id} must be at …/odata/v1/Products(<uuid>)/$value, "
                f"but is at {redact(href)}"
            )
        return cls(name, match["uuid"].lower(), origin)

    @property
    def id(self) -> str:
        """The id of the staged item."""
        return self.name.id

    @property
    def zip_url(self) -> str:
        """The URL of the zipped product."""
        return f"{self.origin}/odata/v1/Products({self.uuid})/$value"


def find_asset_key(item: "pystac.Item") -> str:
    """Return the key of the asset that holds the zipped product, or of the one that should."""
    return next((key for key in PRODUCT_ASSET_KEYS if key in item.assets), PRODUCT_ASSET_KEYS[0])


def get_asset_href(item: "pystac.Item", asset_key: str) -> str:
    """Return the URL of an asset at the download service.

    The catalogue redirects downloads to another host, and clients drop the token on the way.
    Therefore the label `catalogue` of the *host* becomes `zipper`; nothing else is changed.

    Args:
        item: the platform's item.
        asset_key: the asset's key, such as `Product`.

    Raises:
        ProductError: the item has no such asset.
    """
    if asset_key not in item.assets:
        found = ", ".join(item.assets) or "no assets"
        raise ProductError(
            f"item {excerpt(item.id, 100)} must have an asset {asset_key!r}, but has "
            f"{excerpt(found, 200)}"
        )
    href: str = item.assets[asset_key].href
    before, separator, after = href.partition("://")
    if not separator:
        return href
    authority, slash, path = after.partition("/")
    user, at, host = authority.rpartition("@")
    labels = ["zipper" if label == "catalogue" else label for label in host.split(".")]
    return f"{before}{separator}{user}{at}{'.'.join(labels)}{slash}{path}"


def _describe(item: "pystac.Item") -> str:
    level = re.search(r"_MSI(L\d[A-Z])_", item.id)
    if level and item.id.startswith("S2"):
        return f"{excerpt(item.id, 100)!r}, a Level-{level[1][1:]} product"
    platform = item.properties.get("platform", "unknown")
    platform = excerpt(platform, 40) if isinstance(platform, str) else type(platform).__name__
    return f"{excerpt(item.id, 100)!r} of platform {platform!r}"
