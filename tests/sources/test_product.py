from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pystac
import pytest

from app.app import get_asset_href
from stage_in.errors import ProductError
from stage_in.safe.name import ProductName
from stage_in.sources.product import Product
from stage_in.transfer.trust import PLATFORM_ORIGINS

NAME = "S2A_MSIL1C_20240116T000741_N0510_R130_T51CVP_20240116T010505"
UUID = "02ae3a06-b131-4008-af04-dd12eb5081f7"
DOWNLOAD = f"https://download.dataspace.copernicus.eu/odata/v1/Products({UUID})/$value"

MakeItem = Callable[..., pystac.Item]


@pytest.fixture
def make_item() -> MakeItem:
    def make(id_: str = NAME, key: str = "Product", href: str = DOWNLOAD, **properties: Any) -> Any:
        item = pystac.Item(id_, None, None, datetime(2024, 1, 16, tzinfo=UTC), properties)
        item.add_asset(key, pystac.Asset(href))
        return item

    return make


def test_item_of_the_new_api(make_item: MakeItem) -> None:
    product = Product.from_item(make_item(), PLATFORM_ORIGINS)
    name = ProductName.parse(NAME)
    assert product == Product(name, UUID, "https://download.dataspace.copernicus.eu")
    assert product.id == NAME
    assert product.name.tile == "51CVP"
    assert product.zip_url == DOWNLOAD


def test_item_of_the_legacy_api(make_item: MakeItem) -> None:
    href = f"https://catalogue.dataspace.copernicus.eu/odata/v1/Products({UUID})/$value"
    item = make_item(f"{NAME}.SAFE", "PRODUCT", href)
    product = Product.from_item(item, PLATFORM_ORIGINS)
    assert product.origin == "https://zipper.dataspace.copernicus.eu"
    assert product.name.folder == f"{NAME}.SAFE"


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("https://catalogue.a.eu/odata/catalogue", "https://zipper.a.eu/odata/catalogue"),
        ("https://catalogue/x", "https://zipper/x"),
        ("http://catalogue.a.eu:8080/?q=catalogue", "http://zipper.a.eu:8080/?q=catalogue"),
        ("https://download.a.eu/catalogue", "https://download.a.eu/catalogue"),
        ("https://mycatalogue.a.eu/", "https://mycatalogue.a.eu/"),
        ("https://catalogue-2.a.eu/", "https://catalogue-2.a.eu/"),
        ("https://catalogue@a.eu/catalogue", "https://catalogue@a.eu/catalogue"),
        ("/eodata/catalogue/x", "/eodata/catalogue/x"),
        ("s3://catalogue/x", "s3://zipper/x"),
    ],
)
def test_asset_href(make_item: MakeItem, href: str, expected: str) -> None:
    assert get_asset_href(make_item(href=href), "Product") == expected


def test_asset_href_of_a_missing_asset(make_item: MakeItem) -> None:
    with pytest.raises(ProductError, match=r"must have an asset 'B99', but has Product"):
        get_asset_href(make_item(), "B99")


def test_messages_are_short(make_item: MakeItem) -> None:
    item = make_item(key="x" * 10_000)
    item.assets |= {f"{number}\ud800": pystac.Asset("x") for number in range(1000)}
    for wrong in (
        item,
        make_item(href=f"https://{'x' * 10_000}/"),
        make_item(href=f"https://download.dataspace.copernicus.eu/{'x' * 10_000}"),
        make_item("x" * 10_000, platform="x" * 10_000),
        make_item("x", platform=[[]] * 10_000),
    ):
        with pytest.raises(ProductError) as caught:
            Product.from_item(wrong, PLATFORM_ORIGINS)
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("id_", "found"),
    [
        ("S2A_MSIL2A_20241107T113311_N0511_R080_T32VKR_20241107T123948", "Level-2A"),
        ("S2A_MSIL1B_20241107T113311_N0511_R080_T32VKR_20241107T123948", "Level-1B"),
        ("S1A_IW_GRDH_1SDV_20240116T054321", "sentinel-1a"),
        ("S2E_MSIL1C_20240116T000741_N0510_R130_T51CVP_20240116T010505", "S2E"),
        ("../../etc/passwd", "passwd"),
        (f"{NAME}/../x", "x"),
        (f"{NAME}.SAFE.SAFE", "SAFE"),
        (NAME.replace("0", "\u0660"), "S2A"),  # digits of another script
        (f"{NAME}\n", "S2A"),
        ("", "''"),
    ],
)
def test_other_items_are_refused(make_item: MakeItem, id_: str, found: str) -> None:
    with pytest.raises(ProductError, match=r"must be of a Sentinel-2 Level-1C") as caught:
        Product.from_item(make_item(id_, platform="sentinel-1a"), PLATFORM_ORIGINS)
    assert found in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "href",
    [
        f"https://evil.example/odata/v1/Products({UUID})/$value",
        f"http://download.dataspace.copernicus.eu/odata/v1/Products({UUID})/$value",
        f"https://download.dataspace.copernicus.eu.evil.example/odata/v1/Products({UUID})/$value",
        rf"https://evil\@download.dataspace.copernicus.eu/odata/v1/Products({UUID})/$value",
        f"https://u:p@download.dataspace.copernicus.eu/odata/v1/Products({UUID})/$value",
        f"https://download.dataspace.copernicus.eu:8443/odata/v1/Products({UUID})/$value",
        f"https://download.dataspace.copernicus.eu/other/v1/Products({UUID})/$value",
        f"https://download.dataspace.copernicus.eu/odata/v1/Products({UUID})/$value?token=1",
        "https://download.dataspace.copernicus.eu/odata/v1/Products(../../x)/$value",
        f"https://download.dataspace.copernicus.eu/odata/v1/Products(\u0660{UUID[1:]})/$value",
        f"https://[::1]/odata/v1/Products({UUID})/$value",
        f"https://download.dataspace.copernicus.eu./odata/v1/Products({UUID})/$value",
        f"https://downl\u043ead.dataspace.copernicus.eu/odata/v1/Products({UUID})/$value",
        f"https://download.dataspace.copernicus.eu%2eevil.example/odata/v1/Products({UUID})/$value",
        f"file://download.dataspace.copernicus.eu/odata/v1/Products({UUID})/$value",
        "s3://eodata/Sentinel-2/MSI/L1C/x.SAFE",
        "",
    ],
)
def test_other_hrefs_are_refused(make_item: MakeItem, href: str) -> None:
    with pytest.raises(ProductError, match=r"must|is not"):
        Product.from_item(make_item(href=href), PLATFORM_ORIGINS)
