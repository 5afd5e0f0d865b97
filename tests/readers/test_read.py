"""docs/read.md: the code of the page reads what the sandbox's landscape is, in the right place.

Each block of the page reads one band. It runs in the environment of the readers for every band, and
a probe of a few lines tells what came out. The expected values come from the formula of the
landscape, not from the files.
"""

import json
import os
import random
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
import yaml

from sandbox.field import RESOLUTION
from sandbox.product import NEW, OLD, Recipe, make_product
from sandbox.raster import digital_numbers
from sandbox.server import Sandbox
from stage_in.safe.bands import BAND_OF_ASSET, BANDS
from tests.blocks import read_blocks
from tests.conftest import ROOT, StageIn
from tests.cwl_runs import cwltool

pytestmark = pytest.mark.reader

PYTHON = ROOT / ".venv/readers/bin/python"
RECIPES = {
    "new": replace(NEW, satellite="C", pixels=1098, nodata=True),
    "old": replace(OLD, pixels=1098, nodata=True),
}
BLOCKS = {
    mark: block.text
    for block in read_blocks(ROOT / "docs/read.md")
    for mark in block.marks
    if block.language == "python"
}
ASSETS = {band: asset for asset, band in BAND_OF_ASSET.items()}
POINTS_WITH_DATA, POINTS_WITHOUT_DATA = 8, 2

# The code that runs a block for every band: `TEXTS` has it with the name of each band in place of
# the page's, and `probe` returns transform, EPSG code and the values at some points. The variables
# are kept: when a product of eoreader is collected, it looks at all objects, which may break a
# computation in another thread (https://bugs.python.org/issue15108).
FRAME = """
import json, sys

def find(array, x, y):
    "Return the value of the pixel whose centre is at a point."
    return float(array.sel(x=x, y=y, method="nearest", tolerance=0.01))

{probe}

texts, points = json.load(sys.stdin)
report = {{}}
kept = []
for band, text in texts.items():
    names = {{}}
    kept.append(names)
    exec(text, names)
    transform, epsg, values = probe(names, points[band])
    report[band] = [*transform][:6], epsg, values
json.dump(report, sys.stdout)
"""
XARRAY = """
import rioxarray

def probe(names, points):
    array = names["reflectance"]
    values = [find(array, x, y) for x, y in points]
    return array.rio.transform(), array.rio.crs.to_epsg(), values
"""
RASTER = """
import numpy

def probe(names, points):
    image = names["image"]
    values = []
    for x, y in points:
        column, row = ~image.transform * (x, y)
        assert (column % 1, row % 1) == (0.5, 0.5)
        value = names["reflectance"][int(row), int(column)]
        values.append(None if value is numpy.ma.masked else float(value))
    return image.transform, image.crs.to_epsg(), values
"""


@dataclass(frozen=True)
class Reader:
    """What is particular about a reader.

    Attributes:
        probe: code of a function that looks at the variables of the block.
        names: for each band, what replaces the texts of the page's block.
    """

    probe: str
    names: Mapping[str, Mapping[str, str]]


BY_ASSET = {band: {'"red"': f'"{ASSETS[band]}"'} for band in BANDS}
BY_BAND = {band: {'"B04"': f'"{band}"'} for band in BANDS}
EOREADER_NAMES = {
    **{"B01": "CA", "B02": "BLUE", "B03": "GREEN", "B04": "RED", "B05": "VRE_1", "B06": "VRE_2"},
    **{"B07": "VRE_3", "B08": "NIR", "B8A": "NARROW_NIR", "B09": "WV", "B10": "SWIR_CIRRUS"},
    **{"B11": "SWIR_1", "B12": "SWIR_2"},
}
# It reads masks in GML, and GDAL writes what it has learned about them beside them.
EOREADER_LEAVES = {f"MSK_DETFOO_{band}.gfs" for band in BANDS}
READERS = {
    "odc-stac": Reader(XARRAY, BY_ASSET),
    "rioxarray": Reader(XARRAY, BY_ASSET),
    "stackstac": Reader(
        """
        def probe(names, points):
            array = names["reflectance"].compute()
            return array.transform, array.epsg.item(), [find(array, x, y) for x, y in points]
        """,
        BY_ASSET,
    ),
    "rio-tiler": Reader(RASTER, BY_ASSET),
    "titiler": Reader(
        """
        import pystac
        from fastapi.testclient import TestClient

        catalog = pystac.Catalog.from_file("catalog/catalog.json")
        (item,) = catalog.get_items(recursive=True)
        code = item.properties["proj:code"]

        def probe(names, points):
            key = names["asset"]
            asset = item.assets[key]
            band = asset.extra_fields["raster:bands"][0]
            options = {
                "url": item.get_self_href(),
                "assets": key,
                "coord_crs": code,
                "nodata": band["nodata"],
                "expression": f"b1 * {band['scale']} + {band['offset']}",
            }
            client = TestClient(names["app"])
            answers = [client.get(f"/point/{x},{y}", params=options) for x, y in points]
            values = [answer.json()["values"][0] for answer in answers]
            return asset.extra_fields["proj:transform"], int(code[5:]), values
        """,
        {band: {"app = FastAPI()": f"asset = {ASSETS[band]!r}; app = FastAPI()"} for band in BANDS},
    ),
    "satpy": Reader(
        """
        def probe(names, points):
            array = names["reflectance"]
            area = array.attrs["area"]
            left, bottom, right, top = area.area_extent
            rows, columns = area.shape
            transform = [(right - left) / columns, 0, left, 0, (bottom - top) / rows, top]
            return transform, area.crs.to_epsg(), [find(array, x, y) for x, y in points]
        """,
        BY_BAND,
    ),
    "eoreader": Reader(
        XARRAY,
        {
            band: {"RED": name, "pixel_size=10": f"pixel_size={RESOLUTION[band]}"}
            for band, name in EOREADER_NAMES.items()
        },
    ),
    "gdal": Reader(
        RASTER,
        {
            band: {'"B4"': f'"{band.replace("B0", "B")}"', ":10m:": f":{RESOLUTION[band]}m:"}
            for band in BANDS
        },
    ),
}


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders in each of which one product was staged, by the era of the product."""
    folder = tmp_path_factory.mktemp("readers")
    safes = {era: make_product(folder / "made", recipe) for era, recipe in RECIPES.items()}
    folders = {era: folder / era for era in RECIPES}
    with Sandbox([*safes.values()]) as platform:
        for era, safe in safes.items():
            folders[era].mkdir()
            run = StageIn(platform, folders[era])(platform.item_url(safe.name))
            assert run.code == 0, run.log
    return folders


def run_python(code: str, folder: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run code in the environment of the readers, in a folder with a catalog."""
    assert PYTHON.exists(), "`make test-readers` installs the environment of the readers"
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [PYTHON, "-c", code],
        cwd=folder,
        env={"PATH": os.defpath, "HOME": str(home)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=200,
    )


def draw_points(recipe: Recipe, band: str) -> list[tuple[float, float]]:
    """Return centres of pixels, drawn at random: eight with data, two without."""
    draw = random.Random(f"{os.environ['STAGE_IN_SEED']} {band}")
    size = RESOLUTION[band]
    points: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    while len(points[True]) < POINTS_WITH_DATA or len(points[False]) < POINTS_WITHOUT_DATA:
        column, row = (draw.randrange(recipe.extent // size) for _ in range(2))
        x = recipe.place.ulx + (column + 0.5) * size
        y = recipe.place.uly - (row + 0.5) * size
        points[bool(np.isfinite(recipe.field.reflectance(band, x, y)))].append((x, y))
    return points[True][:POINTS_WITH_DATA] + points[False][:POINTS_WITHOUT_DATA]


def get_numbers(recipe: Recipe, band: str, points: list[tuple[float, float]]) -> Any:
    """Return the digital numbers that the product has at some points, 0 where it has no data."""
    x, y = np.array(points).T
    field = recipe.field.reflectance(band, x, y)
    return digital_numbers(field, recipe.quantification, recipe.offset(band))


@pytest.mark.parametrize("era", RECIPES)
@pytest.mark.parametrize("name", READERS)
def test_reflectance(staged: dict[str, Path], name: str, era: str) -> None:
    """The values at ten points, the grid and the coordinate reference system of each band.

    No reader but one leaves files in the catalog, where stage-in would refuse them.
    """
    reader, recipe = READERS[name], RECIPES[era]
    texts = {}
    for band, replacements in reader.names.items():
        texts[band] = BLOCKS[name]
        for old, new in replacements.items():
            assert old in texts[band]
            texts[band] = texts[band].replace(old, new)
    points = {band: draw_points(recipe, band) for band in texts}
    before = {*staged[era].rglob("*")}
    run = run_python(
        FRAME.format(probe=dedent(reader.probe)), staged[era], json.dumps([texts, points])
    )
    assert run.returncode == 0, run.stderr
    new = {path.name for path in {*staged[era].rglob("*")} - before}
    assert new == (EOREADER_LEAVES if (name, era) == ("eoreader", "old") else set())
    report = json.loads(run.stdout)
    assert report.keys() == texts.keys()
    for band, (transform, epsg, values) in report.items():
        size = RESOLUTION[band]
        assert transform == [size, 0, recipe.place.ulx, 0, -size, recipe.place.uly], band
        assert epsg == recipe.place.epsg, band
        numbers = get_numbers(recipe, band, points[band]).astype(float)
        expected = (numbers + recipe.offset(band)) / recipe.quantification
        expected[numbers == 0] = np.nan
        values = np.array(values, float)  # NaN for None
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6, err_msg=band)


OPENING = """
import json
from pathlib import Path

import numpy
import pystac

catalog = pystac.Catalog.from_file("catalog/catalog.json")
(item,) = catalog.get_items(recursive=True)
(safe,) = Path("catalog").glob("*/*.SAFE")
red = item.assets["red"].get_absolute_href()
band = item.assets["red"].extra_fields["raster:bands"][0]
left = item.assets["red"].extra_fields["proj:transform"][2]
epsg = int(item.properties["proj:code"].removeprefix("EPSG:"))

def fails(kind, message, call, *arguments, **options):
    "Check how a call fails."
    try:
        call(*arguments, **options)
    except Exception as error:
        assert type(error).__name__ == kind and message in str(error), repr(error)
    else:
        raise AssertionError(f"expected {kind} from {call}")
"""
# What does not work, as the page says. If one of these fails, a reader has learned something new,
# and the page can become shorter.
LIMITS = {
    "odc-stac returns numbers": """
        import odc.stac
        assert (odc.stac.load([item], bands=["B04"])["B04"] == 0).any()
        """,
    "rioxarray finds no scale in the file": """
        import rioxarray
        import xarray
        plain = rioxarray.open_rasterio(red).values
        scaled = rioxarray.open_rasterio(red, mask_and_scale=True)
        assert (scaled.values == plain).all()
        with xarray.open_dataset(red, engine="rasterio") as data:
            assert (data["band_data"].values == plain).all()
        """,
    "stackstac opens no relative links": """
        import stackstac
        item.properties["proj:epsg"] = epsg
        stack = stackstac.stack(item, assets=["red"])
        fails("RuntimeError", "No such file or directory", stack.compute)
        """,
    "stackstac does not know proj:code": """
        import stackstac
        item.make_asset_hrefs_absolute()
        fails("ValueError", "Cannot pick a common CRS", stackstac.stack, item, assets=["red"])
        stack = stackstac.stack(item, assets=["red"], epsg=epsg)
        assert abs(stack.transform[0] - 10) > 0.01
        """,
    "stackstac rescales pixels without data": """
        import stackstac
        item.make_asset_hrefs_absolute()
        item.properties["proj:epsg"] = epsg
        stack = stackstac.stack(item, assets=["red"])
        assert numpy.isclose(stack.min(), band["offset"])
        assert float(stack.x[0]) == left
        """,
    "stackstac refuses images of several bands": """
        import stackstac
        item.properties["proj:epsg"] = epsg
        fails("ValueError", "Multi-band rasters", stackstac.stack, item, assets=["visual"])
        fails("ValueError", "Multi-band rasters", stackstac.stack, item, assets=["mask_qualit_b04"])
        """,
    "rio-tiler finds no scale in the file": """
        from rio_tiler.io import STACReader
        with STACReader(item.get_self_href()) as source:
            preview = source.preview(assets=["red"], unscale=True)
        assert preview.array.max() > 1000 and not preview.array.mask.any()
        """,
    "pystac-client cannot search": """
        from pystac_client import Client
        client = Client.open("catalog/catalog.json")
        fails("DoesNotConformTo", "ITEM_SEARCH", client.search, max_items=1)
        """,
    "satpy finds nothing in the SAFE folder": """
        from satpy import Scene, find_files_and_readers
        options = {"base_dir": safe, "reader": "msi_safe"}
        fails("ValueError", "No supported files", find_files_and_readers, **options)
        scene = Scene(find_files_and_readers(base_dir=safe.parent, reader="msi_safe"))
        scene.load(["B04"], calibration="counts")
        assert float(scene["B04"].max()) > 1000
        """,
    "GDAL applies no offset": """
        import rasterio
        with rasterio.open(f"SENTINEL2_L1C:{safe}/MTD_MSIL1C.xml:60m:EPSG_{epsg}") as image:
            assert (image.scales, image.offsets, image.nodata) == ((1,) * 3, (0,) * 3, None)
        """,
}
MISSING_BAND = {
    "odc-stac": """
        import odc.stac
        fails("ValueError", "No such band", odc.stac.load, [item], bands=["nir"])
        """,
    "satpy": """
        from satpy import Scene, find_files_and_readers
        scene = Scene(find_files_and_readers(base_dir=safe.parent, reader="msi_safe"))
        scene.load(["B04", "B08"])
        assert "B04" in scene and "B08" not in scene
        """,
    "eoreader": """
        from eoreader.bands import NIR
        from eoreader.reader import Reader
        fails("FileNotFoundError", "B08", Reader().open(safe).load, NIR)
        """,
    "GDAL": """
        import rasterio
        with rasterio.open(f"SENTINEL2_L1C:{safe}/MTD_MSIL1C.xml:10m:EPSG_{epsg}") as image:
            numbers = image.read()
        assert numbers[0].any() and not numbers[1:].any()
        """,
}


@pytest.mark.parametrize("name", LIMITS)
def test_limit(staged: dict[str, Path], name: str) -> None:
    run = run_python(OPENING + dedent(LIMITS[name]), staged["new"])
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("name", MISSING_BAND)
def test_missing_band(stage_in: StageIn, new: Path, name: str) -> None:
    assert stage_in(stage_in.platform.item_url(new.name), "--assets", "B04").code == 0
    run = run_python(OPENING + dedent(MISSING_BAND[name]), stage_in.folder)
    assert run.returncode == 0, run.stderr


def test_pystac_client(staged: dict[str, Path]) -> None:
    run = run_python(BLOCKS["pystac-client"] + "print(item.id)", staged["new"])
    assert run.stdout == f"{RECIPES['new'].name.removesuffix('.SAFE')}\n"
    assert "NoConformsTo" in run.stderr


def test_writable_copy(staged: dict[str, Path], tmp_path: Path) -> None:
    """A step that has the page's requirement writes into a copy of the product."""
    (block,) = [one for one in read_blocks(ROOT / "docs/read.md") if "writable" in one.marks]
    tool = {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "baseCommand": ["sh", "-euc", "cd catalog/*/*.SAFE/GRANULE/*; mkdir ANG_DATA"],
        "inputs": {"staged": "Directory"},
        "outputs": {"processed": {"type": "Directory", "outputBinding": {"glob": "catalog"}}},
        **yaml.safe_load(block.text),
    }
    (tmp_path / "processor.cwl").write_text(json.dumps(tool))
    run = cwltool(
        *("--no-container", "--outdir", tmp_path / "out", tmp_path / "processor.cwl"),
        *("--staged", staged["new"] / "catalog"),
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr
    assert [*(tmp_path / "out").glob("catalog/*/*.SAFE/GRANULE/*/ANG_DATA")]
    assert not [*staged["new"].rglob("ANG_DATA")]
