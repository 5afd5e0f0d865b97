"""Size, georeferencing and place of the images, compared with the files themselves."""

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import rasterio
from loguru import logger

from sandbox.field import RESOLUTION
from sandbox.footprint import bounds
from sandbox.grid import locate
from sandbox.product import NEW, Recipe
from stage_in.errors import ProductError
from stage_in.safe.images import LimitError
from tests.conftest import PIXELS, SHARED, slow_after
from tests.editing import edit, find, reseal
from tests.stac.conftest import Copy, Make
from tests.stac.items import Fields, get_bands, make_item


def test_grids(make: Make) -> None:
    safe = make()
    item = make_item(safe)
    for asset in item["assets"].values():
        if asset["type"] != "image/jp2":
            assert "proj:transform" not in asset
            continue
        with rasterio.open(safe.parent / asset["href"]) as image:
            assert asset["proj:shape"] == [image.height, image.width]
            assert asset["proj:transform"] == list(image.transform)[:6]
            assert asset["proj:bbox"] == list(image.bounds)
            assert item["properties"]["proj:code"] == str(image.crs)
            assert asset["gsd"] == image.res[0]
    for band, asset in get_bands(item).items():
        assert asset["gsd"] == RESOLUTION[band]
    assert item["assets"]["preview"]["gsd"] == 320
    assert item["assets"]["thumbnail"]["proj:code"] is None


def test_the_size_comes_from_the_file(make: Make) -> None:
    """The metadata of a product that was made smaller still have the original numbers."""
    safe = make()
    edit(safe, "MTD_TL.xml", f"<NROWS>{PIXELS}<", "<NROWS>10980<")
    item = make_item(safe)
    assert item["assets"]["red"]["proj:shape"] == [PIXELS, PIXELS]
    assert item["assets"]["red"]["gsd"] == 10


@pytest.mark.skipif(not SHARED.is_dir(), reason="no real metadata at hand")
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("options", [{}, {"baseline": "05.12", "platform": "B"}], ids=["", "new"])
def test_real_metadata_of_a_product_made_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Fields
) -> None:
    monkeypatch.syspath_prepend(str(SHARED / "tools"))
    import make_safe

    made = Path(make_safe.build(str(tmp_path / "made"), shrink=30, log=lambda *_: None, **options))
    safe = tmp_path / "catalog" / made.stem / made.name
    shutil.copytree(made, safe)
    item = make_item(safe)
    assert item["assets"]["red"]["proj:shape"] == [366, 366]
    assert item["assets"]["red"]["raster:bands"][0]["spatial_resolution"] == 300
    assert item["assets"]["red"]["gsd"] == 10
    offset = -0.1 if options else 0
    assert {band["raster:bands"][0]["offset"] for band in get_bands(item).values()} == {offset}
    assert item["properties"]["eo:cloud_cover"] == 88.2972


@pytest.mark.parametrize("side", ["ULX", "ULY"])
def test_a_band_at_another_place_is_refused(copied: Copy, new: Path, side: str) -> None:
    safe = copied(new)
    corner = {"ULX": ("699960", "699840"), "ULY": ("4700040", "4700160")}[side]
    edit(safe, "MTD_TL.xml", *(f"<{side}>{number}<" for number in corner))
    with pytest.raises(
        ProductError, match=rf"corner of .*B01\.jp2 must be at .*{corner[1]}"
    ) as error:
        make_item(safe)
    assert error.value.exit_code == 65


def test_a_band_that_cannot_be_read_is_refused(copied: Copy, new: Path) -> None:
    safe = copied(new)
    (safe / find(safe, "T*_B05.jp2")).write_bytes(b"no image")
    reseal(safe)
    with pytest.raises(ProductError, match=r"B05\.jp2 can't be read as JPEG 2000"):
        make_item(safe)


def test_a_mask_that_cannot_be_read_is_no_failure(copied: Copy, new: Path) -> None:
    safe = copied(new)
    (safe / find(safe, "MSK_QUALIT_B05.jp2")).write_bytes(b"no image")
    (safe / find(safe, "*_PVI.jp2")).write_bytes(b"no image")
    reseal(safe)
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}")
    item = make_item(safe)
    logger.remove(sink)
    for key in ("mask_qualit_b05", "preview"):
        assert not [field for field in item["assets"][key] if field.startswith("proj:")]
    assert any("MSK_QUALIT_B05" in line for line in lines)
    assert item["assets"]["thumbnail"]["proj:shape"] == [343, 343]


@pytest.mark.parametrize("name", slow_after(1, ["*_PVI.jp2", "MSK_QUALIT_B05.jp2"]))
def test_an_optional_image_that_exhausts_memory_is_refused(
    copied: Copy, new: Path, name: str
) -> None:
    safe = copied(new)
    path = safe / find(safe, name)
    content = path.read_bytes()
    box, place = content.index(b"jp2c") - 4, content.index(b"\xff\x90\0\x0a")
    comments = b"\xff\x64\0\2" * 25_000_000
    path.write_bytes(
        content[:box] + bytes(4) + content[box + 4 : place] + comments + content[place:]
    )
    reseal(safe)
    with pytest.raises(LimitError, match=path.name):
        make_item(safe)


# -- anywhere on Earth


def get_tile(zone: int, latitude_bands: str) -> str:
    """Return a tile near the middle of a UTM zone."""
    for band in latitude_bands:
        for row in "ABCDEFGHJKLMNPQRSTUV":
            name = f"{zone:02}{band}{('DMV'[(zone - 1) % 3])}{row}"
            try:
                locate(name)
            except ValueError:
                continue
            return name
    raise AssertionError(zone)


@pytest.mark.slow
@pytest.mark.parametrize("latitude_bands", ["NPQRSTUVWX", "MLKJHGFEDC"], ids=["north", "south"])
def test_every_zone(make: Make, latitude_bands: str) -> None:
    for zone in range(1, 61):
        turn = zone % len(latitude_bands)  # another latitude in each zone
        tile = get_tile(zone, latitude_bands[turn:] + latitude_bands[:turn])
        assert_placed(make_item(make(tile=tile, pixels=60)), replace(NEW, tile=tile, pixels=60))


ACROSS = ["01CDU", "01JBK", "01RBK", "01WDA", "60CXE", "60JZS", "60QZM", "60WXE"]
POLAR = ["33XVP", "33CVM", "01XDH", "60CWT"]


@pytest.mark.slow
@pytest.mark.parametrize("tile", ACROSS + POLAR)
def test_across_the_antimeridian_and_near_the_poles(make: Make, tile: str) -> None:
    pixels = 600 if tile in ACROSS else 60
    item = make_item(make(tile=tile, pixels=pixels))
    assert_placed(item, replace(NEW, tile=tile, pixels=pixels))
    assert (item["geometry"]["type"] == "MultiPolygon") == (tile in ACROSS)


def assert_placed(item: Fields, recipe: Recipe) -> None:
    """Compare bounds, code and tile with the sandbox's, which are computed in another way."""
    expected = [float(bound) for bound in bounds(recipe)]
    assert item["bbox"] == pytest.approx(expected, abs=2e-6)
    assert item["properties"]["proj:code"] == f"EPSG:{recipe.place.epsg}"
    assert item["properties"]["grid:code"] == f"MGRS-{recipe.tile}"
    centre = item["properties"]["proj:centroid"]
    west, south, east, north = expected
    assert south < centre["lat"] < north
    assert (centre["lon"] - west) % 360 < (east - west) % 360
    if west < east:
        (ring,) = item["geometry"]["coordinates"]
        # Counter-clockwise (RFC 7946, section 3.1.6).
        area = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))
        assert area > 0
