"""Items that others have written are read, or refused with a message of one line."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Fault
from sandbox.server import Sandbox
from stage_in.errors import NotFoundError, ProductError, StageInError
from stage_in.sources.platform_item import (
    MAX_ITEM_SIZE,
    fetch_items,
    find_items,
    load_items,
    parse_items,
)
from tests.clients import make_client
from tests.conftest import StageIn

ITEM: dict[str, Any] = {
    "type": "Feature",
    "stac_version": "1.1.0",
    "id": "x",
    "geometry": None,
    "properties": {"datetime": "2024-01-01T00:00:00Z"},
    "links": [],
    "assets": {},
}


def parse(text: str = "", **fields: Any) -> Any:
    """Parse an item with other fields; the value `@@` is replaced by a piece of JSON."""
    content = json.dumps({**ITEM, **fields}).replace('"@@"', text)
    (item,) = parse_items(content.encode(), "a test")
    return item


def test_a_valid_item() -> None:
    assert parse().id == "x"


@pytest.mark.parametrize("depth", [300, 900, 990, 2000, 100_000])
@pytest.mark.parametrize("field", ["id", "type", "properties", "links", "assets", "stac_version"])
def test_deeply_nested_lists(field: str, depth: int) -> None:
    with pytest.raises(
        ProductError, match=r"there must be a|must be a string|can't read"
    ) as caught:
        parse("[" * depth + "]" * depth, **{field: "@@"})
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "fields",
    [
        {"id": {"x": "x" * 10_000}},
        {"id": 5},
        {"type": "x" * 10_000},
        {"stac_version": 5},
        {"stac_extensions": 5},
        {"properties": None},
        {"properties": {"datetime": "x" * 10_000}},
        {"properties": {"datetime": "0000-00-00"}},
        {"links": "x"},
        {"links": [{"rel": "x" * 10_000}]},
        {"assets": []},
        {"assets": {"Product": "x"}},
        {"assets": {"Product": {"href": 5}}},
        {"assets": {"Product": {}}},
    ],
)
def test_other_documents_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(
        ProductError, match=r"there must be a|must be a string|can't read"
    ) as caught:
        parse(**fields)
    assert len(str(caught.value)) < 400


def test_very_long_numbers() -> None:
    with pytest.raises(ProductError, match="STAC item in JSON"):
        parse("9" * 5000, properties={"datetime": "2024-01-01T00:00:00Z", "x": "@@"})
    # No number in the item is used.
    assert parse("9e9999", properties={"datetime": "2024-01-01T00:00:00Z", "x": "@@"})


def test_the_last_of_two_equal_keys_is_used() -> None:
    """Parsers may disagree about this; here only one of them reads the item."""
    content = json.dumps(ITEM).replace('"id"', '"id": "y", "id"')
    assert parse_items(content.encode(), "a test")[0].id == "x"


def test_items_cannot_cause_warnings() -> None:
    """pystac warns of deprecated items, and quotes the id without escaping it."""
    extension = "https://stac-extensions.github.io/version/v1.2.0/schema.json"
    properties = {**ITEM["properties"], "deprecated": True}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parse(id="x\n\x1b[2J", properties=properties, stac_extensions=[extension])
    assert not caught


def test_the_size_is_limited(tmp_path: Path) -> None:
    path = tmp_path / "item.json"
    path.write_text(json.dumps(ITEM).ljust(MAX_ITEM_SIZE))
    assert [item.id for item in load_items(path)] == ["x"]
    path.write_text(json.dumps(ITEM).ljust(MAX_ITEM_SIZE + 1))
    with pytest.raises(ProductError, match="at most 16777216 bytes"):
        load_items(path)


def test_an_item_at_a_url(platform: Sandbox, new: Path) -> None:
    """The token is not sent to the item's host, even if that is trusted."""
    (item,) = fetch_items(platform.item_url(new.name), make_client(platform.stac))
    assert item.id == new.stem
    platform.pages["/item.json"] = json.dumps(ITEM).ljust(MAX_ITEM_SIZE + 1)
    with pytest.raises(ProductError, match="at most 16777216 bytes"):
        fetch_items(f"{platform.stac}/item.json", make_client())


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no file"):
        load_items(tmp_path / "item.json")


@pytest.mark.parametrize("name", ["x\0y", "x" * 5000, "/dev/zero", "."])
def test_paths_of_no_file(name: str) -> None:
    with pytest.raises(ProductError, match=r"can't read the STAC item|at most") as caught:
        load_items(Path(name))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("status", [200, 401, 404])
def test_an_item_is_looked_for_where_there_may_be_none(
    platform: Sandbox, new: Path, status: int
) -> None:
    platform.faults.add(Fault(on="stranger", status=status, body="<html></html>"))
    urls = [f"{platform.stranger}/{new.stem}", platform.item_url(new.name)]
    assert find_items(urls, make_client(platform.stac))[0].id == new.stem
    with pytest.raises(StageInError):
        find_items(urls[::-1][1:], make_client(platform.stac))


def test_a_name_is_looked_up_at_the_stand_in(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    run = stage_in(f"{new.name}")
    assert run.code == 0, run.log
    assert platform.log.of("stac")
    assert (stage_in.folder / "catalog" / new.stem / new.name).is_dir()
