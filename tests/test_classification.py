"""Workflows that embed stage-in.cwl, and the land cover that classify finds in what it stages."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from click.testing import CliRunner
from pystac.extensions.classification import ClassificationExtension

import classify
from sandbox.field import LandCover
from sandbox.product import NEW, make_product
from sandbox.recipe import Recipe
from sandbox.server import Sandbox
from tests.conftest import ROOT, StageIn
from tests.cwl_runs import PRESERVE_TRUST, CompletedProcess, cwltool
from tests.landcover import TILE, assert_covers, read_covers

WORKFLOWS = ROOT / "workflows"
# An uncommon scale, uncommon offsets, and no data in the lower right, beyond the edge of the swath.
UNCOMMON = replace(
    NEW,
    quantification=8000,
    offsets=tuple(-1000 + 70 * number for number in range(13)),
    nodata=True,
    pixels=1152,
)


def run(
    platform: Sandbox, folder: Path, workflow: str, item: str, **inputs: object
) -> CompletedProcess:
    """Run one of the workflows without a container."""
    params = folder / "params.yml"
    params.write_text(json.dumps({"item": item, "access_token": platform.mint(), **inputs}))
    return cwltool(
        *("--no-container", *PRESERVE_TRUST, "--outdir", folder / "out"),
        *(WORKFLOWS / workflow, params),
        cwd=folder,
        **platform.environment,
    )


@pytest.fixture(params=["large", "uncommon"])
def product(
    request: pytest.FixtureRequest, large: Path, tmp_path: Path
) -> Iterator[tuple[Path, Recipe]]:
    """A product with all classes of land cover, and its recipe."""
    if request.param == "large":
        yield large, replace(NEW, pixels=1098)
    else:
        yield make_product(tmp_path, UNCOMMON), UNCOMMON


def test_classes_of_classify_and_sandbox_agree() -> None:
    assert {cover.name: cover.value for cover in classify.LandCover} == {
        cover.name: cover.value for cover in LandCover
    }
    assert len(set(classify.COLOURS.values())) == len(classify.LandCover)


def test_step_of_the_tutorial_reads_the_staged_catalog(
    platform: Sandbox, tmp_path: Path, new: Path
) -> None:
    ran = run(platform, tmp_path, "tutorial.cwl", platform.item_url(new.name))
    assert ran.returncode == 0, ran.stderr
    summary = json.loads((tmp_path / "out/bands.json").read_text())
    assert summary["item"] == new.stem
    shapes = {name: band["shape"] for name, band in summary["bands"].items()}
    assert len(shapes) == 13
    assert [shapes[name] for name in ("B02", "B11", "B10")] == [[192] * 2, [96] * 2, [32] * 2]
    # The product's upper left corner shows vegetation.
    means = {name: band["mean"] for name, band in summary["bands"].items()}
    assert means["B08"] > 2 * means["B04"]


@pytest.mark.slow
def test_each_tile_has_the_class_of_its_place(product: tuple[Path, Recipe], tmp_path: Path) -> None:
    safe, recipe = product
    with Sandbox([safe]) as platform:
        item = platform.item_url(safe.name)
        ran = run(platform, tmp_path, "tile-classification.cwl", item)
        requested = {entry.path for entry in platform.log.of("download", "*.jp2*")}
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout).keys() == {"classified", "staged"}
    assert not [path for path in requested if "_B12.jp2" in path], "a band that nothing needs"

    covers, transform = read_covers(tmp_path / "out/landcover")
    assert covers.shape == (-(-recipe.pixels // 64),) * 2
    assert transform[:6] == (TILE, 0, recipe.place.ulx, 0, -TILE, recipe.place.uly)
    assert_covers(covers, recipe)


@pytest.mark.slow
def test_item_describes_the_land_cover(large: Path, tmp_path: Path) -> None:
    with Sandbox([large]) as platform:
        url = platform.item_url(large.name)
        ran = run(platform, tmp_path, "tile-classification.cwl", url)
    assert ran.returncode == 0, ran.stderr
    catalog = pystac.Catalog.from_file(str(tmp_path / "out/landcover/catalog.json"))
    (item,) = catalog.get_items()
    (source,) = pystac.Catalog.from_file(str(tmp_path / "out/catalog/catalog.json")).get_items()
    assert (item.geometry, item.bbox, item.datetime) == (
        source.geometry,
        source.bbox,
        source.datetime,
    )
    assert item.get_single_link("derived_from").href == url
    asset = item.assets["landcover"]
    assert asset.media_type == pystac.MediaType.COG
    assert asset.roles == ["data"]
    classes = ClassificationExtension.ext(asset).classes
    with rasterio.open(asset.get_absolute_href()) as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.nodata == 0
        assert [asset.extra_fields["proj:code"], asset.extra_fields["proj:shape"]] == [
            raster.crs.to_string(),
            list(raster.shape),
        ]
        colours = {
            value: bytes(colour[:3]).hex().upper()
            for value, colour in raster.colormap(1).items()
            if value in set(LandCover)
        }
    assert {one.value: one.color_hint for one in classes} == colours
    assert {one.value: one.name for one in classes} == {
        cover.value: cover.name.lower() for cover in LandCover
    }


@pytest.mark.slow
def test_missing_band_is_named(platform: Sandbox, tmp_path: Path, new: Path) -> None:
    item = platform.item_url(new.name)
    assets = ["B02", "B03", "B04", "B08", "B11"]
    ran = run(platform, tmp_path, "tile-classification.cwl", item, assets=assets)
    assert ran.returncode == 1
    assert "found no cirrus. Stage the product again with these bands." in ran.stderr


def test_what_cannot_be_classified(platform: Sandbox, stage_in: StageIn, new: Path) -> None:
    """Each failure is one line: what is wrong, and what to do."""
    assert stage_in(platform.item_url(new.name)).code == 0
    folder = stage_in.folder
    (folder / "empty").mkdir()
    for name in ("broken", "nothing", "missing", "damaged", "a#b"):
        shutil.copytree(folder / "catalog", folder / name)
    (folder / "broken" / "catalog.json").write_text("{")
    (folder / "nothing" / "catalog.json").write_text(
        json.dumps({**pystac.Catalog("id", "nothing").to_dict(), "links": []})
    )
    next((folder / "missing").rglob("IMG_DATA/*_B02.jp2")).unlink()
    os.truncate(next((folder / "damaged").rglob("IMG_DATA/*_B03.jp2")), 1000)
    (folder / "file").touch()

    for staged, output, code, expected in [
        ("empty", "out", 1, "can't read the catalog"),
        ("broken", "out", 1, "can't read the catalog"),
        ("nothing", "out", 1, "expected an item"),
        ("missing", "out", 1, "can't read the bands"),
        ("damaged", "out", 1, "can't read the bands"),
        ("a#b", "out", 2, "must not contain #"),
        ("catalog", "a?b", 2, "must not contain ?"),
        ("catalog", "file", 1, "can't write to"),
        ("catalog", "out", 0, "tiles"),
        ("catalog", "out", 1, "can't write to"),
    ]:
        arguments = ["--staged", str(folder / staged), "--output-dir", str(folder / output)]
        ran = CliRunner().invoke(classify.main, arguments)
        assert ran.exit_code == code, (staged, output, ran.output, ran.exception)
        assert expected in ran.output
        assert code == 0 or ran.output.rstrip().endswith("."), ran.output
        assert isinstance(ran.exception, SystemExit | None), (staged, output, ran.exception)


@pytest.mark.parametrize(
    ("valid", "mean"), [(64 * 64, 7.0), (32 * 64, 7.0), (31 * 64, None), (0, None)]
)
def test_tile_needs_valid_data_in_half_of_its_pixels(valid: int, mean: float | None) -> None:
    """Of a tile at the raster's edge, half of the pixels that exist must be valid."""
    numbers = np.zeros(64 * 64, np.uint16)
    numbers[:valid] = 7
    (found, beside) = classify._average(
        np.hstack([numbers.reshape(64, 64), np.full((64, 3), 9, np.uint16)]), 0
    )[0]
    assert beside == 9.0
    assert found == mean if mean is not None else np.isnan(found)
