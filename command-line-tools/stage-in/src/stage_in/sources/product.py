"""What an item is: the Level-1C product that it describes, and where its bytes are."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from stage_in.errors import ProductError
from stage_in.urls import get_origin, redact

if TYPE_CHECKING:
    import pystac

# The asset that holds the zipped product: of the new API, of the legacy API.
PRODUCT_ASSET_KEYS = ("Product", "PRODUCT")

# Compact naming convention, in force since 6 December 2016 (Sentinel-2 Products Specification
# XmlFile, S2-PDGS-TAS-DI-PSD, "Product naming").
_NAME = re.compile(
    r"S2[A-D]_MSIL1C_\d{8}T\d{6}_N\d{4}_R\d{3}_T(?P<tile>\d{2}[C-HJ-NP-X][A-Z]{2})_\d{8}T\d{6}",
    re.ASCII,
)
_PATH = re.compile(
    r"odata/v1/Products\("
    r"(?P<uuid>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\)/\$value",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True)
class Product:
    """A Sentinel-2 Level-1C product in the download service.

    All URLs are built from these three: nothing else that the item says is obeyed.

    Attributes:
        name: the SAFE folder's name, `S2…_MSIL1C_….SAFE`.
        uuid: the product's id in the OData API.
        origin: `scheme://host[:port]` of the download service, one that is trusted.
    """

    name: str
    uuid: str
    origin: str

    @classmethod
    def from_item(cls, item: "pystac.Item", trusted: Collection[str]) -> Self:
        """Recognise the product that a STAC item of the platform describes.

        Items of the new API (`sentinel-2-l1c`, asset `Product`) and of the legacy API
        (`SENTINEL-2`, asset `PRODUCT`, id with `.SAFE`) are read alike.

        Args:
            item: the platform's item.
            trusted: origins that may be asked for the product.

        Raises:
            ProductError: it is not a Level-1C product, or lies where nobody is trusted.
        """
        name = item.id.removesuffix(".SAFE")
        if _NAME.fullmatch(name) is None:
            raise ProductError(
                "expected an item of a Sentinel-2 Level-1C product, with an id like "
                f"S2A_MSIL1C_20230216T044851_N0509_R076_T46UEU_20230216T063628; {_describe(item)}"
            )
        key = next((key for key in PRODUCT_ASSET_KEYS if key in item.assets), PRODUCT_ASSET_KEYS[0])
        href = get_asset_href(item, key)
        origin = get_origin(href)
        if origin not in trusted:
            raise ProductError(
                f"expected asset {key!r} of item {item.id} at a trusted host, found "
                f"{redact(origin)}: if it is a mirror that may see your token, name it in "
                "CDSE_TRUSTED_HOSTS"
            )
        path = href.partition("://")[2].partition("/")[2]
        match = _PATH.fullmatch(path)
        if match is None:
            raise ProductError(
                f"expected asset {key!r} of item {item.id} at …/odata/v1/Products(<uuid>)/$value, "
                f"found {redact(href)}"
            )
        return cls(f"{name}.SAFE", match["uuid"].lower(), origin)

    @property
    def id(self) -> str:
        """The name without `.SAFE`: the id of the staged item."""
        return self.name.removesuffix(".SAFE")

    @property
    def tile(self) -> str:
        """The MGRS tile, such as `46UEU`."""
        return self.id.split("_")[5].removeprefix("T")

    @property
    def zip_url(self) -> str:
        """Where the product comes as one zip."""
        return f"{self.origin}/odata/v1/Products({self.uuid})/$value"


def get_asset_href(item: "pystac.Item", asset_key: str) -> str:
    """Return an asset's href at the download service.

    The catalogue redirects downloads to another host, at which clients drop the token; hence the
    *host* label `catalogue` becomes `zipper`. Nothing else in the string is touched.

    Args:
        item: the platform's item.
        asset_key: the asset's key, such as `Product`.

    Raises:
        ProductError: the item has no such asset.
    """
    if asset_key not in item.assets:
        found = ", ".join(item.assets) or "no assets"
        raise ProductError(
            f"expected an asset {asset_key!r} in item {item.id[:100]}, found {found[:200]}"
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
        return f"found {item.id[:100]!r}, a Level-{level[1][1:]} product"
    platform = item.properties.get("platform", "unknown")
    platform = platform[:40] if isinstance(platform, str) else type(platform).__name__
    return f"found {item.id[:100]!r} of platform {platform!r}"
