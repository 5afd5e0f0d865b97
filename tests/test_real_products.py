"""Real metadata: whole products made around them are staged, and the items say what they say.

The metadata are read a second time here, with lxml and without the tool.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from sandbox.server import Sandbox
from stage_in.safe.bands import BANDS, TRUE_COLOR
from stage_in.safe.manifest import parse, select
from stage_in.sources.platform_item import load_items
from stage_in.sources.product import Product
from stage_in.transfer.trust import PLATFORM_ORIGINS
from tests.conftest import SHARED, StageIn

REAL = SHARED / "fixtures/real"
SOURCES = sorted(path.parents[2] for path in REAL.glob("*/GRANULE/*/MTD_TL.xml"))

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="needs the real metadata of ../shared")


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The sandbox with all products."""
    folder = tmp_path_factory.mktemp("real")
    maker = SHARED / "tools/make_real.py"
    subprocess.run(
        [sys.executable, maker, "--out", folder], check=True, stdout=subprocess.DEVNULL, timeout=300
    )
    with Sandbox(sorted(folder.glob("*.SAFE"))) as platform:
        yield platform


def read_numbers(root: etree._Element, name: str) -> list[float]:
    return [float(element.text) for element in root.iter(f"{{*}}{name}")]


def read_text(root: etree._Element, name: str) -> str:
    (element,) = root.iter(f"{{*}}{name}")
    return str(element.text)


def get_bands(item: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        asset["bands"][0]["name"]: asset["bands"][0]
        for asset in item["assets"].values()
        if "data" in asset["roles"]
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name[:60])
def test_the_item_says_what_the_metadata_say(
    products: Sandbox, source: Path, tmp_path: Path
) -> None:
    run = StageIn(products, tmp_path)(products.item_url(source.name))
    assert run.code == 0, run.log
    (path,) = (tmp_path / "catalog").glob("*/*.json")
    item = json.loads(path.read_text())
    properties = item["properties"]
    product = etree.parse(source / "MTD_MSIL1C.xml").getroot()
    (tile_path,) = source.glob("GRANULE/*/MTD_TL.xml")
    tile = etree.parse(tile_path).getroot()

    assert item["id"] == source.stem
    assert properties["processing:version"] == read_text(product, "PROCESSING_BASELINE")
    assert properties["created"] == read_text(product, "GENERATION_TIME")
    assert properties["stage-in:sensing_time"] == read_text(tile, "SENSING_TIME")
    assert properties["sat:orbit_state"] == read_text(product, "SENSING_ORBIT_DIRECTION").lower()
    assert properties["sat:relative_orbit"] == int(read_text(product, "SENSING_ORBIT_NUMBER"))
    assert properties["proj:code"] == read_text(tile, "HORIZONTAL_CS_CODE")
    clouds = read_numbers(tile, "CLOUDY_PIXEL_PERCENTAGE")
    assert properties["eo:cloud_cover"] == clouds[0]
    snow = read_numbers(tile, "SNOW_PIXEL_PERCENTAGE")
    assert properties.get("eo:snow_cover") == (snow[0] if snow else None)

    bands = get_bands(item)
    (quantification,) = read_numbers(product, "QUANTIFICATION_VALUE")
    offsets = read_numbers(product, "RADIO_ADD_OFFSET") or [0.0] * 13
    names = [*(f"B{number:02}" for number in range(1, 9)), "B8A", "B09", "B10", "B11", "B12"]
    assert len(bands) == 13
    for name, offset in zip(names, offsets, strict=True):
        assert bands[name]["raster:scale"] == 1 / quantification
        assert bands[name]["raster:offset"] == offset / quantification

    numbers = [float(number) for number in read_text(product, "EXT_POS_LIST").split()]
    latitudes, longitudes = numbers[::2], numbers[1::2]
    expected = [min(longitudes), min(latitudes), max(longitudes), max(latitudes)]
    assert item["bbox"] == pytest.approx(expected, abs=1e-5)
    checksums = {
        element.get("href").removeprefix("./")
        for element in etree.parse(source / "manifest.safe").getroot().iter("fileLocation")
    }
    hrefs = {asset["href"].partition(".SAFE/")[2] for asset in item["assets"].values()}
    left_out = {name for name in checksums - hrefs if not name.startswith("DATASTRIP/")}
    assert left_out == set()


def test_a_band_comes_with_the_meteorology() -> None:
    """The manifest of one of these products does not list it."""
    found = []
    for manifest in REAL.rglob("*manifest.safe"):
        entries = parse(manifest.read_bytes())
        left_out = entries.keys() - select(entries, {"B04"}).keys()
        assert {path.rpartition("_")[2].partition(".")[0] for path in left_out} == (
            {*BANDS, TRUE_COLOR} - {"B04"}
        )
        found += [path.rpartition("/")[2] for path in entries if "/AUX_DATA/" in path]
    assert found.count("AUX_ECMWFT") > 10
    assert set(found) == {"AUX_ECMWFT", "AUX_CAMSFO"}


@pytest.mark.parametrize(
    "path", sorted((REAL / "items").glob("*.json")), ids=lambda path: path.stem
)
def test_real_items_are_understood(path: Path) -> None:
    """The file holds one item, or the result of a search."""
    fields = json.loads(path.read_text())
    ids = [item["id"].removesuffix(".SAFE") for item in fields.get("features", [fields])]
    items = load_items(path)
    assert [Product.from_item(item, PLATFORM_ORIGINS).id for item in items] == ids
