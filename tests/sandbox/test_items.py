import re
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.server import Sandbox
from tests.sandbox.client import BAND, Client


def test_new_item(sandbox: Sandbox, safe: Path) -> None:
    response = requests.get(sandbox.item_url(safe.name), timeout=10)
    item = response.json()
    assert response.headers["Content-Type"] == "application/geo+json"
    assert item["id"] == safe.name.removesuffix(".SAFE")
    assert item["bbox"] == [11.7, 44.1, 13.2, 45.2]
    assert item["geometry"]["coordinates"][0][0] == [11.8, 45.1]
    assert item["properties"]["datetime"] == "2020-08-15T10:00:31.024000Z"
    assert item["properties"]["grid:code"] == "MGRS-32TQM"
    identity = item["properties"]["auth:schemes"]["oidc"]["openIdConnectUrl"]
    assert requests.get(identity, timeout=10).json()["token_endpoint"] == sandbox.token_url


def test_assets_of_the_new_item(sandbox: Sandbox, safe: Path, client: Client) -> None:
    assets = sandbox.item(safe.name)["assets"]
    red = assets["B04"]
    assert re.fullmatch("1620[0-9a-f]{64}", red["file:checksum"])
    assert red["file:size"] == (safe / BAND).stat().st_size
    assert red["file:local_path"] == f"{safe.name}/{BAND}"
    bucket = f"s3://eodata/Sentinel-2/MSI/L1C_N0500/2020/08/15/{safe.name}"
    assert red["href"] == f"{bucket}/{BAND}"
    assert red["alternate"]["https"]["href"] == client.band
    assert assets["B01"]["proj:transform"] == [60, 0, 699960, 0, -60, 5000040]
    assert re.fullmatch("d50110[0-9a-f]{32}", assets["safe_manifest"]["file:checksum"])
    assert re.fullmatch("d50120[0-9a-f]{64}", assets["datastrip_metadata"]["file:checksum"])
    assert assets["thumbnail"]["href"].startswith(sandbox.stranger)
    product = assets["Product"]
    assert product["href"] == client.zip
    assert isinstance(product["storage:refs"], str)
    assert product["file:size"] == sandbox.products[0].archive().size


def test_legacy_item(sandbox: Sandbox, safe: Path, client: Client) -> None:
    item = requests.get(sandbox.item_url(safe.name, "legacy"), timeout=10).json()
    assert (item["id"], item["stac_version"]) == (safe.name, "1.0.0")
    assert set(item["assets"]) == {"QUICKLOOK", "PRODUCT"}
    product = item["assets"]["PRODUCT"]
    assert product["type"] == "application/octet-stream"
    assert product["href"] == client.zip.replace(sandbox.download, sandbox.catalogue)
    assert product["alternate"]["s3"]["href"].startswith("/eodata/Sentinel-2/MSI/")


@pytest.mark.parametrize("generation", ["new", "legacy"])
def test_unknown_item(sandbox: Sandbox, generation: Any) -> None:
    response = requests.get(sandbox.item_url("S2A_MSIL1C_other", generation), timeout=10)
    assert response.status_code == 404
    assert response.json()


def test_overridden_item(sandbox: Sandbox, safe: Path) -> None:
    item = sandbox.item(safe.name) | {"id": "edited"}
    url = sandbox.override_item(safe.name, "new", item)
    assert requests.get(url, timeout=10).json() == item


def test_product_without_metadata(tmp_path: Path) -> None:
    folder = tmp_path / "bare.SAFE"
    folder.mkdir()
    with Sandbox([folder]) as sandbox:
        assert requests.get(sandbox.item_url("bare"), timeout=10).json()["geometry"] is None
