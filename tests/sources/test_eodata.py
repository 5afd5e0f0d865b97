"""The path of a product in the archive, taken from the item only if it is that product's."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
import pytest

from sandbox.server import Sandbox
from stage_in.errors import ProductError
from stage_in.safe.name import EXAMPLE, ProductName
from stage_in.sources.eodata import find_path
from tests.conftest import SHARED

NAME = ProductName.parse(EXAMPLE)
FOLDER = f"Sentinel-2/MSI/L1C/2023/02/16/{EXAMPLE}.SAFE"


def make_item(enclosure: str | None = None, **assets: dict[str, Any]) -> pystac.Item:
    item = pystac.Item(EXAMPLE, None, None, datetime(2023, 2, 16, tzinfo=UTC), {})
    links = [] if enclosure is None else [{"rel": "enclosure", "href": enclosure}]
    return pystac.Item.from_dict(item.to_dict() | {"links": links, "assets": assets})


@pytest.mark.parametrize(
    "item",
    [
        make_item(f"s3://eodata/{FOLDER}/"),
        make_item(f"s3://eodata/{FOLDER}"),
        make_item(safe_manifest={"href": f"s3://eodata/{FOLDER}/manifest.safe"}),
        make_item(
            PRODUCT={
                "href": "https://x.example/",
                "alternate": {"s3": {"href": f"/eodata/{FOLDER}"}},
            }
        ),
        make_item(
            "https://x.example/", safe_manifest={"href": f"s3://eodata/{FOLDER}/manifest.safe"}
        ),
    ],
)
def test_path(item: pystac.Item) -> None:
    assert find_path(item, NAME) == FOLDER


@pytest.mark.parametrize("api", ["new", "legacy"])
def test_path_in_both_kinds_of_items(platform: Sandbox, new: Path, api: Any) -> None:
    item = pystac.Item.from_dict(platform.item(new.name, api))
    (product,) = [x for x in platform.products if x.name == new.name]
    assert find_path(item, ProductName.parse(new.name)) == product.s3_key


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs items of the platform")
def test_path_in_an_item_of_the_platform() -> None:
    document = json.loads((SHARED / "fixtures/stac/sentinel-2-l1c_item_N0510.json").read_text())
    path = find_path(pystac.Item.from_dict(document), ProductName.parse(document["id"]))
    assert path == f"Sentinel-2/MSI/L1C/2024/01/16/{document['id']}.SAFE"


@pytest.mark.parametrize(
    "href",
    [
        None,
        f"s3://creodias/{FOLDER}/",
        f"s3://eodata@other.example/{FOLDER}/",
        f"https://eodata/{FOLDER}/",
        f"s3://eodata/{FOLDER.replace('L1C/', 'L2A/')}/",
        f"s3://eodata/{FOLDER.replace('T46UEU', 'T32TQM')}/",
        f"s3://eodata/../{FOLDER}/",
        f"s3://eodata/{FOLDER}/../x/",
        f"s3://eodata/{FOLDER}/?x",
        f"/etc/{FOLDER}",
        f"s3://eodata/{FOLDER}/\n",
    ],
)
def test_another_path_is_refused(href: str | None) -> None:
    with pytest.raises(ProductError, match="path in the archive"):
        find_path(make_item(href), NAME)
