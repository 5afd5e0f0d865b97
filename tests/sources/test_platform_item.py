"""Items as others write them: read, or refused in one line."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from stage_in.errors import ProductError
from stage_in.sources.platform_item import MAX_ITEM_SIZE, load_item, parse_item

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
    """Read an item with other fields; `@@` in them stands for a piece of JSON."""
    content = json.dumps({**ITEM, **fields}).replace('"@@"', text)
    return parse_item(content.encode(), "a test")


def test_an_item() -> None:
    assert parse().id == "x"


@pytest.mark.parametrize("depth", [300, 900, 990, 2000, 100_000])
@pytest.mark.parametrize("field", ["id", "type", "properties", "links", "assets", "stac_version"])
def test_depth(field: str, depth: int) -> None:
    with pytest.raises(ProductError, match="expected a STAC item") as caught:
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
def test_what_is_no_item(fields: dict[str, Any]) -> None:
    with pytest.raises(ProductError, match="expected a STAC item") as caught:
        parse(**fields)
    assert len(str(caught.value)) < 400


def test_numbers_of_any_length() -> None:
    with pytest.raises(ProductError, match="STAC item in JSON"):
        parse("9" * 5000, properties={"datetime": "2024-01-01T00:00:00Z", "x": "@@"})
    # No number of the item is used.
    assert parse("9e9999", properties={"datetime": "2024-01-01T00:00:00Z", "x": "@@"})


def test_the_last_of_two_counts() -> None:
    """As every reader of JSON has it that does not refuse them: there is one reader here."""
    content = json.dumps(ITEM).replace('"id"', '"id": "y", "id"')
    assert parse_item(content.encode(), "a test").id == "x"


def test_an_item_warns_in_no_words_of_its_own() -> None:
    """pystac's warning that an item is deprecated has the id in it, as it is."""
    extension = "https://stac-extensions.github.io/version/v1.2.0/schema.json"
    properties = {**ITEM["properties"], "deprecated": True}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parse(id="x\n\x1b[2J", properties=properties, stac_extensions=[extension])
    assert not caught


def test_size(tmp_path: Path) -> None:
    path = tmp_path / "item.json"
    path.write_text(json.dumps(ITEM).ljust(MAX_ITEM_SIZE))
    assert load_item(path).id == "x"
    path.write_text(json.dumps(ITEM).ljust(MAX_ITEM_SIZE + 1))
    with pytest.raises(ProductError, match="expected at most 2097152 bytes"):
        load_item(path)


@pytest.mark.parametrize("name", ["x\0y", "x" * 5000, "/dev/zero", "."])
def test_no_such_file(name: str) -> None:
    with pytest.raises(ProductError, match="expected"):
        load_item(Path(name))
