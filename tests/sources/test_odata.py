"""Which URLs are of the OData service, and which services are asked."""

from urllib.parse import quote

import pytest

from sandbox.server import Sandbox
from stage_in.errors import NotFoundError, ProductError, TemporaryError
from stage_in.sources.odata import CATALOGUE, OData, find_uuid, list_origins
from stage_in.sources.platform_item import find_items
from tests.clients import make_client

UUID = "05edf2bb-d103-49f1-a677-9e474138d84f"
PRODUCT = f"https://zipper.dataspace.copernicus.eu/odata/v1/Products({UUID})"


@pytest.mark.parametrize(
    "url",
    [
        *(
            f"{PRODUCT}{end}"
            for end in ("", "/", "/$value", "?$expand=Attributes", "/Nodes(x)/$value")
        ),
        PRODUCT.replace(UUID, UUID.upper()),
        PRODUCT.replace("https:", "http:"),
        quote(PRODUCT, safe=":/"),
    ],
)
def test_urls_of_products(url: str) -> None:
    assert find_uuid(url) == UUID


@pytest.mark.parametrize(
    "url",
    [
        PRODUCT.replace(UUID, UUID[:-1]),
        PRODUCT.replace("/odata", "/x/odata"),
        PRODUCT.replace("Products", "DeletedProducts"),
        f"{PRODUCT}x",
        "https://catalogue.dataspace.copernicus.eu/odata/v1/Products?$filter=Name eq 'x'",
    ],
)
def test_other_urls(url: str) -> None:
    assert find_uuid(url) is None


def test_which_services_are_asked() -> None:
    """They are the platform's own and the user's, whatever host a URL names."""
    one, two, three = "http://a.example", "http://b.example:8080", "https://other.example"
    stand_ins = [one, two]
    assert list_origins([PRODUCT], stand_ins) == [CATALOGUE]
    assert list_origins([f"{three}/x"], stand_ins) == [CATALOGUE]
    assert list_origins([f"{two}/x"], stand_ins) == [two, one]
    assert list_origins([f"{one}/x", f"{two}/x", f"{three}/x"], stand_ins) == [one, two, CATALOGUE]
    with pytest.raises(ProductError):
        list_origins(["https://user@a.example/x"], stand_ins)


def test_an_item_by_the_id_of_its_product(platform: Sandbox) -> None:
    """Some stand-ins are no OData service, and their failures do not count."""
    stand_ins = [platform.origins[role] for role in ("keys", "stac", "download", "catalogue")]
    client = make_client(*stand_ins)
    for product in platform.products:
        for origin in (platform.download, platform.catalogue):
            url = f"{origin}/odata/v1/Products({product.uuid})/$value"
            assert find_items([url], client, stand_ins)[0].id == product.id
    service = OData(client, stand_ins)
    with pytest.raises(NotFoundError):
        service.get(UUID)
    platform.faults.add("status=503 on=catalogue")
    with pytest.raises(TemporaryError):
        service.get(UUID)
    platform.pages[f"/odata/v1/Products({UUID})"] = {"Id": UUID, "Name": "S2A_MSIL2A_x.SAFE"}
    with pytest.raises(ProductError, match="Level-1C product"):
        OData(client, [platform.download]).get(UUID)
