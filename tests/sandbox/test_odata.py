from pathlib import Path

import requests

from sandbox.server import Sandbox


def search(sandbox: Sandbox, condition: str) -> requests.Response:
    params = {"$filter": condition}
    return requests.get(f"{sandbox.catalogue}/odata/v1/Products", params=params, timeout=10)


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
    response = search(sandbox, "startswith(Name,'S2A')")
    assert response.status_code == 400
    assert "supports only" in response.json()["detail"]
