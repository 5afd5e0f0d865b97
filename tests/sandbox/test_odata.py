from pathlib import Path

import pytest
import requests

from sandbox.items import NEW_PATH
from sandbox.server import Sandbox


def search(sandbox: Sandbox, condition: str, entities: str = "Products") -> requests.Response:
    params = {"$filter": condition}
    return requests.get(f"{sandbox.catalogue}/odata/v1/{entities}", params=params, timeout=10)


def test_product_by_name(sandbox: Sandbox, safe: Path) -> None:
    (found,) = search(sandbox, f"Name eq '{safe.name}'").json()["value"]
    product = sandbox.products[0]
    assert (found["Id"], found["Online"]) == (product.uuid, True)
    assert found["ContentLength"] == product.archive().size
    assert found["Checksum"][0]["Value"] == product.archive().md5


def test_product_by_uuid(sandbox: Sandbox) -> None:
    product = sandbox.products[0]
    url = f"{sandbox.catalogue}/odata/v1/Products({product.uuid})"
    assert requests.get(url, timeout=10).json()["Name"] == product.name


def test_unknown_products(sandbox: Sandbox, safe: Path) -> None:
    for name in ("S2A_MSIL1C_other.SAFE", safe.name.removesuffix(".SAFE")):
        assert search(sandbox, f"Name eq '{name}'").json()["value"] == []
    url = f"{sandbox.catalogue}/odata/v1/Products"
    other = "01234567-89ab-cdef-0123-456789abcdef"
    assert requests.get(f"{url}({other})", timeout=10).status_code == 404
    assert requests.get(f"{url}(other)", timeout=10).status_code == 422


def test_unsupported_search(sandbox: Sandbox) -> None:
    response = search(sandbox, "startswith(Name,'S2A') and endswith(Name,'SAFE')")
    assert response.status_code == 400
    assert 'does not support "endswith' in response.json()["detail"]
    assert search(sandbox, "").status_code == 400


@pytest.mark.parametrize(
    ("condition", "is_found"),
    [
        ("startswith(Name,'S2A_MSIL1C_') and contains(Name,'_R122_T32TQM_')", True),
        ("startswith(Name,'S2B_')", False),
        ("contains(Name,'_T32TQN_')", False),
        ("Collection/Name eq 'SENTINEL-1'", False),
        ("ContentDate/Start ge 2020-08-15T00:00:00.000Z", True),
        ("ContentDate/Start gt 2020-08-16T00:00:00.000Z", False),
        ("ContentDate/Start le 2020-08-15T10:00:31.024Z", True),
        ("ContentDate/Start lt 2020-08-15T10:00:31.000Z", False),
    ],
)
def test_search(sandbox: Sandbox, condition: str, is_found: bool) -> None:
    found = search(sandbox, f"Collection/Name eq 'SENTINEL-2' and {condition}").json()["value"]
    assert [x["Id"] for x in found] == [sandbox.products[0].uuid][:is_found]


def test_deleted_products(sandbox: Sandbox, safe: Path) -> None:
    uuid = sandbox.products[0].uuid
    urls = [f"{sandbox.catalogue}/odata/v1/{x}Products({uuid})" for x in ("", "Deleted")]
    by_name = f"Name eq '{safe.name}'"
    assert [requests.get(url, timeout=10).status_code for url in urls] == [200, 404]
    assert search(sandbox, by_name, "DeletedProducts").json()["value"] == []
    sandbox.delete(safe.name, "Corrupted product")
    assert [requests.get(url, timeout=10).status_code for url in urls] == [404, 200]
    assert search(sandbox, by_name).json()["value"] == []
    (found,) = search(sandbox, by_name, "DeletedProducts").json()["value"]
    assert (found["Name"], found["DeletionCause"]) == (safe.name, "Corrupted product")
    assert "Online" not in found
    product = sandbox.download + urls[0].removeprefix(sandbox.catalogue)
    for url in (f"{sandbox.stac}{NEW_PATH}/{safe.stem}", f"{product}/Nodes"):
        assert requests.get(url, timeout=10).status_code == 404


def test_products_offline(sandbox: Sandbox) -> None:
    (product,) = sandbox.products
    product.online = False
    path = f"/odata/v1/Products({product.uuid})"
    assert requests.get(f"{sandbox.catalogue}{path}", timeout=10).json()["Online"] is False
    assert requests.get(f"{sandbox.download}{path}/Nodes", timeout=10).status_code == 404
