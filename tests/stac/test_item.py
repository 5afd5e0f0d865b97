"""What the staged item says, held against what the product is."""

import hashlib
import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, FormatChecker
from loguru import logger
from lxml import etree
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry
from referencing.jsonschema import DRAFT7

from sandbox.field import RESOLUTION
from sandbox.footprint import bounds
from sandbox.granule import granule_metadata
from sandbox.grid import locate
from sandbox.metadata import product_metadata
from sandbox.product import NEW, OLD, Recipe, make_product
from sandbox.server import Sandbox
from stage_in.errors import OutputError, ProductError
from stage_in.safe.bands import BANDS
from stage_in.stac.catalog import write_catalog
from tests.conftest import PIXELS, ROOT, SHARED, StageIn
from tests.editing import MANIFEST, PRODUCT, edit, find, product_of, reseal

SOURCE = "https://stac.example/v1/collections/sentinel-2-l1c/items/x"
Fields = dict[str, Any]
Make = Callable[..., Path]


def source_item(safe: Path, href: str | None = SOURCE) -> pystac.Item:
    item = pystac.Item(safe.stem, None, None, pystac.utils.str_to_datetime("2024-01-01"), {})
    if href is not None:
        item.set_self_href(href)
    return item


def staged(safe: Path, href: str | None = SOURCE, **options: bool) -> Fields:
    """Write the catalog around a SAFE folder and return the item."""
    folder = safe.parent.parent
    path = write_catalog(folder, product_of(safe), source_item(safe, href), **options)
    assert path == folder / "catalog.json"
    return read(safe)


def read(safe: Path) -> Fields:
    return json.loads((safe.parent / f"{safe.stem}.json").read_text(encoding="utf-8"))


def bands_of(item: Fields) -> dict[str, Fields]:
    """The assets that are bands, by the band's name."""
    return {
        asset["eo:bands"][0]["name"]: asset
        for asset in item["assets"].values()
        if "data" in asset["roles"]
    }


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a product where a staging has it, from scratch or by its recipe's changes."""

    def made(recipe: Recipe = NEW, **changes: Any) -> Path:
        recipe = replace(recipe, **{"pixels": PIXELS, **changes})
        return make_product(tmp_path / "catalog" / recipe.name.removesuffix(".SAFE"), recipe)

    return made


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    """Copy a product to where a staging has it."""

    def copy(safe: Path) -> Path:
        return shutil.copytree(safe, tmp_path / "catalog" / safe.stem / safe.name)

    return copy


# -- radiometry

CONTRADICTIONS = {
    # An offset of its own for each band, one of them 0 and one above: real products have -1000.
    "offsets": Recipe(
        offsets=(-1000, -950, 0, -1100, -870, -1230, -640, -720, -990, 5, -410, -1300, -330),
        quantification=8000,
        tile_id_baseline="02.09",
        nodata=True,
        pixels=PIXELS,
    ),
    "no offsets": replace(OLD, quantification=12_000, tile_id_baseline="05.11", pixels=PIXELS),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_reflectance_by_the_item_alone(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A hundred points of each band, against the closed form of the landscape."""
    recipe = CONTRADICTIONS[name]
    safe = make_product(tmp_path_factory.mktemp("products"), recipe)
    with Sandbox([safe]) as platform:
        run = StageIn(platform, tmp_path)(platform.item_url(safe.name))
    assert run.code == 0, run.log

    (item,) = pystac.Catalog.from_file(str(tmp_path / "catalog/catalog.json")).get_items()
    random = np.random.default_rng(42)
    seen = set()
    for asset in item.assets.values():
        if "data" not in asset.roles:
            continue
        fields = asset.extra_fields
        rows, columns = random.integers(0, fields["proj:shape"], (100, 2)).T
        with rasterio.open(asset.get_absolute_href()) as image:
            assert list(image.shape) == fields["proj:shape"]
            numbers = image.read(1)[rows, columns].astype(float)
        to_ground = rasterio.Affine(*fields["proj:transform"][:6])
        x, y = to_ground @ (columns + 0.5, rows + 0.5)

        for found in (_eo_raster(fields), _bands(fields)):
            band, values = found
            truth = recipe.field.reflectance(band, x, y)
            assert ((numbers == values["nodata"]) == np.isnan(truth)).all()
            valid = ~np.isnan(truth)
            assert valid.sum() > 40
            reflectance = numbers * values["scale"] + values["offset"]
            half = values["scale"] / 2 + 1e-9
            assert np.abs(reflectance - truth)[valid].max() <= half
            seen.add((band, values["offset"]))
    assert {band for band, _ in seen} == set(BANDS)
    assert len(seen) == len(BANDS)
    assert len({offset for _, offset in seen}) == (13 if name == "offsets" else 1)


def _eo_raster(fields: Fields) -> tuple[str, Fields]:
    (spectral,), (values,) = fields["eo:bands"], fields["raster:bands"]
    return spectral["name"], values


def _bands(fields: Fields) -> tuple[str, Fields]:
    (band,) = fields["bands"]
    values = {name: band[f"raster:{name}"] for name in ("scale", "offset")}
    return band["name"], values | {"nodata": band["nodata"]}


# -- completeness


@pytest.mark.parametrize("recipe", [NEW, OLD], ids=["new", "old"])
def test_every_file_with_size_and_digest(make: Make, recipe: Recipe) -> None:
    safe = make(recipe)
    item = staged(safe)
    listed = {
        stream.find("fileLocation").get("href"): stream.find("checksum").get("checksumName")
        for stream in etree.parse(safe / MANIFEST).iter("byteStream")
    }
    prefix = f"./{safe.name}/"
    hrefs = {asset["href"] for asset in item["assets"].values()}
    assert hrefs == {
        *(prefix + href.removeprefix("./") for href in listed),
        *(f"{prefix}{MANIFEST}", "./thumbnail.png"),
    }
    for asset in item["assets"].values():
        content = (safe.parent / asset["href"]).read_bytes()
        assert asset["file:size"] == len(content)
        code, name = ("1620", "sha3_256")
        if listed.get(asset["href"].replace(prefix, "./")) == "MD5":
            code, name = ("d50110", "md5")
        assert asset["file:checksum"] == code + hashlib.new(name, content).hexdigest()
        assert asset["roles"]
        assert asset["title"]
        assert asset["type"]


@pytest.mark.parametrize("recipe", [NEW, OLD], ids=["new", "old"])
def test_bands_and_only_bands_are_data(make: Make, recipe: Recipe) -> None:
    item = staged(make(recipe))
    bands = bands_of(item)
    assert bands.keys() == set(BANDS)
    assert list(item["assets"])[:3] == ["coastal", "blue", "green"]
    assert {asset["gsd"] for asset in bands.values()} == {10, 20, 60}
    others = [asset for asset in item["assets"].values() if asset not in bands.values()]
    assert not [role for asset in others for role in asset["roles"] if role == "data"]
    assert [key for key, asset in item["assets"].items() if "eo:bands" in asset and asset in others]
    roles = {key: asset["roles"] for key, asset in item["assets"].items()}
    assert roles["visual"] == ["visual"]
    assert roles["preview"] == ["overview"]
    assert roles["thumbnail"] == ["thumbnail"]


def test_grids(make: Make) -> None:
    safe = make()
    item = staged(safe)
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
    for band, asset in bands_of(item).items():
        assert asset["gsd"] == RESOLUTION[band]
    assert item["assets"]["preview"]["gsd"] == 320
    assert item["assets"]["thumbnail"]["proj:code"] is None


def test_a_file_says_its_size_itself(make: Make) -> None:
    """The metadata of a product that was made smaller go on to have the true numbers."""
    safe = make()
    edit(safe, "MTD_TL.xml", f"<NROWS>{PIXELS}<", "<NROWS>10980<")
    item = staged(safe)
    assert item["assets"]["red"]["proj:shape"] == [PIXELS, PIXELS]
    assert item["assets"]["red"]["gsd"] == 10


def test_properties(make: Make) -> None:
    safe = make()
    item = staged(safe)
    properties = item["properties"]
    expected = {
        "title": safe.name,
        "datetime": "2024-08-14T10:00:31.024000Z",
        "stage-in:sensing_time": "2024-08-14T10:06:46.266543Z",
        "created": "2024-08-14T11:52:31.000000Z",
        "license": "other",
        "gsd": 10,
        "platform": "sentinel-2a",
        "processing:level": "L1C",
        "processing:version": "05.11",
        "processing:facility": "2APS",
        "processing:datetime": "2024-08-14T11:52:31.000000Z",
        "sci:doi": "10.5270/S2_-742ikth",
        "s2:product_uri": safe.name,
        "eo:snow_cover": 0,
    }
    assert {key: properties[key] for key in expected} == expected
    assert properties["processing:software"].keys() == {"stage-in", "stactools-sentinel2"}
    assert properties["providers"][0]["name"] == "ESA"
    assert item["id"] == safe.stem
    assert not [key for key in properties if key in {"stage-in:partial", "stage-in:verified"}]
    links = {link["rel"]: link["href"] for link in item["links"]}
    assert links["via"] == SOURCE
    assert links["cite-as"] == "https://doi.org/10.5270/S2_-742ikth"
    assert links["license"].startswith("https://")
    assert "self" not in links


def test_an_old_product_has_no_doi(make: Make) -> None:
    item = staged(make(OLD))
    assert "sci:doi" not in item["properties"]
    assert not [uri for uri in item["stac_extensions"] if "scientific" in uri]
    assert "eo:snow_cover" not in item["properties"]


def test_azimuths_about_north(make: Make) -> None:
    safe = make()
    path = safe / find(safe, "MTD_TL.xml")
    tree = etree.parse(path)
    means = list(tree.iter("Mean_Viewing_Incidence_Angle"))
    for index, mean in enumerate(means):
        mean.find("AZIMUTH_ANGLE").text = "350" if index % 2 else "10"
    tree.write(path, xml_declaration=True, encoding="UTF-8")
    reseal(safe)
    assert staged(safe)["properties"]["view:azimuth"] < 1
    means[0].find("AZIMUTH_ANGLE").text = "NaN"
    tree.write(path, xml_declaration=True, encoding="UTF-8")
    reseal(safe)
    assert "view:azimuth" not in staged(safe)["properties"]


@pytest.mark.parametrize(
    ("href", "via"),
    [
        ("https://user:secret@stac.example/items/x?token=secret#y", "https://stac.example/items/x"),
        ("http://127.0.0.1:8080/items/x", "http://127.0.0.1:8080/items/x"),
        ("/home/user/item.json", None),
        ("s3://bucket/item.json", None),
        ("https://stac example/x", None),
        ("https://stac.example/\x1b[2J", None),
        ("https://stac.example/\ud800", None),
        ("javascript:alert(1)", None),
        (None, None),
    ],
)
def test_link_to_the_source(make: Make, href: str | None, via: str | None) -> None:
    item = staged(make(), href)
    found = [link["href"] for link in item["links"] if link["rel"] == "via"]
    assert found == ([] if via is None else [via])
    assert "secret" not in json.dumps(item)


# -- partial and unverified


def test_partial(make: Make) -> None:
    safe = make()
    whole = staged(safe)
    kept = {"red", "nir", "safe_manifest", "product_metadata", "granule_metadata"}
    for key, asset in whole["assets"].items():
        if key not in kept and asset["href"].startswith(f"./{safe.name}/"):
            (safe.parent / asset["href"]).unlink()
    with pytest.raises(ProductError, match="found no such file"):
        staged(safe)
    (safe.parent / "thumbnail.png").unlink()
    item = staged(safe, partial=True)
    assert item["properties"]["stage-in:partial"] is True
    assert item["assets"] == {key: whole["assets"][key] for key in whole["assets"] if key in kept}
    assert not (safe.parent / "thumbnail.png").exists()


def test_partial_needs_what_an_item_is_made_of(make: Make) -> None:
    for name in (MANIFEST, PRODUCT, "MTD_TL.xml"):
        safe = make(seed=len(name))
        (safe / find(safe, name)).unlink()
        with pytest.raises(ProductError, match=name):
            staged(safe, partial=True)
        shutil.rmtree(safe)


def test_unverified(make: Make) -> None:
    safe = make()
    item = staged(safe, verified=False)
    assert item["properties"]["stage-in:verified"] is False
    claimed = {key for key, asset in item["assets"].items() if "file:checksum" in asset}
    assert claimed == {"safe_manifest", "thumbnail"}
    assert all("file:size" in asset for asset in item["assets"].values())


# -- one product, one item


def test_two_stagings_are_the_same(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    for name in ("one", "two"):
        run = stage_in(platform.item_url(new.name), "--output-dir", name)
        assert run.code == 0, run.log
    diff = subprocess.run(
        ["diff", "-r", stage_in.folder / "one", stage_in.folder / "two"],
        capture_output=True,
        text=True,
    )
    assert (diff.returncode, diff.stdout) == (0, "")
    assert not list(stage_in.folder.rglob("*.aux.xml"))


ERAS = [
    *(("02.06", OLD), ("02.09", OLD), ("03.00", OLD), ("03.01", OLD)),
    *((baseline, NEW) for baseline in ("04.00", "05.00", "05.09", "05.10", "05.11", "05.13")),
]


@pytest.mark.parametrize(("baseline", "era"), ERAS, ids=[baseline for baseline, _ in ERAS])
def test_satellites_and_baselines(make: Make, baseline: str, era: Recipe) -> None:
    for satellite in "ABCD":
        item = staged(make(era, satellite=satellite, baseline=baseline, pixels=60))
        assert item["properties"]["platform"] == f"sentinel-2{satellite.lower()}"
        assert item["properties"]["processing:version"] == baseline
        for asset in bands_of(item).values():
            assert asset["raster:bands"][0]["offset"] == (-0.1 if era is NEW else 0)


def test_a_product_and_its_reprocessing_are_two(make: Make) -> None:
    ids = {staged(make(baseline=baseline))["id"] for baseline in ("05.10", "05.11")}
    assert len(ids) == 2


def tile_of(zone: int, latitude_bands: str) -> str:
    """A tile of a zone, near its middle."""
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
        # Another latitude with each zone.
        turn = zone % len(latitude_bands)
        tile = tile_of(zone, latitude_bands[turn:] + latitude_bands[:turn])
        _check_placed(staged(make(tile=tile, pixels=60)), replace(NEW, tile=tile, pixels=60))


ACROSS = ["01CDU", "01JBK", "01RBK", "01WDA", "60CXE", "60JZS", "60QZM", "60WXE"]
POLAR = ["33XVP", "33CVM", "01XDH", "60CWT"]


@pytest.mark.slow
@pytest.mark.parametrize("tile", ACROSS + POLAR)
def test_across_the_antimeridian_and_near_the_poles(make: Make, tile: str) -> None:
    pixels = 600 if tile in ACROSS else 60
    item = staged(make(tile=tile, pixels=pixels))
    _check_placed(item, replace(NEW, tile=tile, pixels=pixels))
    assert (item["geometry"]["type"] == "MultiPolygon") == (tile in ACROSS)


def _check_placed(item: Fields, recipe: Recipe) -> None:
    """Bounds, code and tile against the sandbox's own, which go another way."""
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
    item = staged(safe)
    assert item["assets"]["red"]["proj:shape"] == [366, 366]
    assert item["assets"]["red"]["raster:bands"][0]["spatial_resolution"] == 300
    assert item["assets"]["red"]["gsd"] == 10
    offset = -0.1 if options else 0
    assert {band["raster:bands"][0]["offset"] for band in bands_of(item).values()} == {offset}
    assert item["properties"]["eo:cloud_cover"] == 88.2972


# -- clients

CLIENT = """
import json, sys, warnings
warnings.simplefilter("error")
import pystac
from pystac.extensions.eo import EOExtension
from pystac.extensions.raster import RasterExtension

catalog = pystac.Catalog.from_file(sys.argv[1])
(item,) = catalog.get_items()
found = {}
for key, asset in item.get_assets(role="data").items():
    (band,) = EOExtension.ext(asset).bands
    (values,) = RasterExtension.ext(asset).bands
    (core,) = asset.extra_fields["bands"]
    assert core["name"] == band.name, core
    assert core["raster:scale"] == values.scale, core
    assert core["raster:offset"] == values.offset, core
    found[band.name] = [key, band.common_name, values.scale, values.offset, values.nodata]
print(json.dumps({"version": pystac.__version__, "bands": found}))
"""


@cache
def old_pystac() -> Path:
    """A Python that has pystac 1.9.0, in a folder beside the development environment.

    It is made once; without a network it fails, as nothing else would show what is promised.
    """
    folder = ROOT / ".venv" / "pystac-1.9.0"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "pystac==1.9.0"],
            check=True,
            timeout=300,
        )
        (folder / "ready").touch()
    return python


@pytest.mark.slow
def test_old_and_new_clients_read_the_same(make: Make) -> None:
    offsets = tuple(range(-1300, 0, 100))
    safe = make(offsets=offsets, quantification=20_000)
    staged(safe)
    catalog = safe.parent.parent / "catalog.json"
    found = {}
    for python in (old_pystac(), Path(sys.executable)):
        answer = subprocess.run(
            [python, "-c", CLIENT, catalog], capture_output=True, text=True, check=True
        )
        fields = json.loads(answer.stdout)
        found[fields["version"]] = fields["bands"]
    assert found.keys() == {"1.9.0", pystac.__version__}
    assert found["1.9.0"] == found[pystac.__version__]
    assert {band: values[2:] for band, values in found["1.9.0"].items()} == {
        band: [1 / 20_000, offset / 20_000, 0] for band, offset in zip(BANDS, offsets, strict=True)
    }


@pytest.fixture(scope="module")
def schemas() -> Registry[Any]:
    """The core's schemas, of pystac, and those of the extensions, where they are at hand."""
    folder = SHARED / "fixtures/schemas"
    if not folder.is_dir():
        pytest.skip("no schemas of extensions at hand")
    documents = dict(get_local_schema_cache())
    for path in folder.rglob("schema.json"):
        document = json.loads(path.read_text())
        documents[document["$id"].removesuffix("#")] = document
    return Registry().with_resources(
        (uri, DRAFT7.create_resource(document)) for uri, document in documents.items()
    )


@pytest.fixture(scope="module")
def checker() -> FormatChecker:
    """What formats are checked by; IRIs, of which the grammar takes long, once each."""
    checker = FormatChecker(formats=())
    for name, (check, errors) in Draft7Validator.FORMAT_CHECKER.checkers.items():
        checker.checkers[name] = (cache(check) if name.startswith("iri") else check, errors)
    return checker


others = [
    pytest.param(recipe, marks=pytest.mark.slow) for recipe in (OLD, replace(NEW, tile="01RBL"))
]


@pytest.mark.parametrize("recipe", [NEW, *others], ids=["new", "old", "antimeridian"])
def test_schemas(
    make: Make, schemas: Registry[Any], checker: FormatChecker, recipe: Recipe
) -> None:
    core = "https://schemas.stacspec.org/v1.1.0/{0}-spec/json-schema/{0}.json"
    assert not checker.conforms("<", "iri-reference")
    safe = make(recipe)
    variants = [staged(safe), staged(safe, verified=False)]
    (safe / find(safe, "T*_B01.jp2")).unlink()
    variants.append(staged(safe, partial=True))
    for item in variants:
        assert len(item["stac_extensions"]) == (10 if recipe is OLD else 11)
        assert len(set(item["stac_extensions"])) == len(item["stac_extensions"])
        for uri in (core.format("item"), *item["stac_extensions"]):
            schema = schemas.contents(uri)
            validator = Draft7Validator(schema, registry=schemas, format_checker=checker)
            errors = [
                (error.json_path, error.message[:300]) for error in validator.iter_errors(item)
            ]
            assert not errors, uri
    catalog = json.loads((safe.parent.parent / "catalog.json").read_text())
    Draft7Validator(schemas.contents(core.format("catalog")), registry=schemas).validate(catalog)


# -- what is refused

REFUSED = {
    "another product": (PRODUCT, "<PRODUCT_URI>S2A", "<PRODUCT_URI>S2B", "PRODUCT_URI"),
    "level": (PRODUCT, ">Level-1C<", ">Level-2A<", "expected Level-1C as"),
    "baseline": (PRODUCT, ">05.11<", ">05.10<", "expected 05.11 as"),
    "platform": (PRODUCT, ">Sentinel-2A<", ">Sentinel-2B<", "expected Sentinel-2A as"),
    "orbit": (PRODUCT, ">122<", ">123<", "expected 122 as"),
    "direction": (PRODUCT, ">DESCENDING<", ">SIDEWAYS<", "SENSING_ORBIT_DIRECTION"),
    "start": (PRODUCT, "PRODUCT_START_TIME>2024", "PRODUCT_START_TIME>", "PRODUCT_START_TIME"),
    "leaving": (PRODUCT, "IMAGE_FILE>GRANULE/", "IMAGE_FILE>../GRANULE/", "plain relative path"),
    "absolute": (PRODUCT, "IMAGE_FILE>GRANULE/", "IMAGE_FILE>/GRANULE/", "plain relative path"),
    "unlisted": (PRODUCT, "_B03</IMAGE_FILE>", "_B13</IMAGE_FILE>", "in manifest.safe, found"),
    "twice": (PRODUCT, "_B03</IMAGE_FILE>", "_B02</IMAGE_FILE>", "once"),
    "granules": (PRODUCT, "</Granule>", "</Granule><Granule/>", "Granule in MTD_MSIL1C.xml once"),
    "footprint": (PRODUCT, "EXT_POS_LIST>4", "EXT_POS_LIST>N", "EXT_POS_LIST"),
    "corners": (PRODUCT, "EXT_POS_LIST>", f"EXT_POS_LIST>{'42 11 ' * 200}", "4 to 200 corners"),
    "no footprint": (PRODUCT, "EXT_POS_LIST", "INT_POS_LIST", "EXT_POS_LIST"),
    "the globe": (PRODUCT, "EXT_POS_LIST>", "EXT_POS_LIST>80 -170 -80 -170 ", "to make a STAC"),
    "conversion": (PRODUCT, "Reflectance_Conversion", "Reflectance", "Reflectance_Conversion"),
    "truncated": (PRODUCT, "</n1:Level-1C_User_Product>", "", "well-formed XML in MTD_MSIL1C.xml"),
    "root": (PRODUCT, "Level-1C_User_Product>", "Level-2A_User_Product>", "mismatched"),
    "tile": ("MTD_TL.xml", "_T32TQM_", "_T32TQL_", "expected tile 32TQM"),
    "zone": ("MTD_TL.xml", "EPSG:32632", "EPSG:32633", "expected EPSG:32632"),
    "corner": ("MTD_TL.xml", "<ULX>699960<", "<ULX>699840<", "B01.jp2 at (699840"),
    "no size": ("MTD_TL.xml", "<NROWS>192</NROWS>", "", "/NROWS in"),
    "clouds": ("MTD_TL.xml", "CLOUDY_PIXEL_PERCENTAGE>", "CLOUDY_PIXEL_PERCENTAGE>900", "to 100"),
    "no content": ("MTD_TL.xml", "Image_Content_QI", "Content", "Image_Content_QI"),
    "band number": ("MTD_TL.xml", 'Angle bandId="3"', 'Angle bandId="x"', "bandId 0 to 12"),
    "azimuth": ("MTD_TL.xml", '<AZIMUTH_ANGLE unit="deg">2', '<AZIMUTH_ANGLE unit="deg">9', "360"),
    "sun": ("MTD_TL.xml", '<ZENITH_ANGLE unit="deg">3', '<ZENITH_ANGLE unit="deg">x', "ZENITH"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(copied: Callable[[Path], Path], new: Path, what: str) -> None:
    name, old, bad, complaint = REFUSED[what]
    safe = copied(new)
    edit(safe, name, old, bad)
    with pytest.raises(ProductError) as error:
        staged(safe)
    message = str(error.value)
    assert complaint in message
    assert "\n" not in message
    assert name in message or ".jp2" in message
    assert error.value.exit_code == 65
    assert not (safe.parent / f"{safe.stem}.json").exists()


@pytest.mark.parametrize(
    "name", [MANIFEST, PRODUCT, "MTD_TL.xml", "MTD_DS.xml", "INSPIRE.xml", "MSK_DEFECT_B01.gml"]
)
def test_a_doctype_anywhere_is_refused(
    copied: Callable[[Path], Path], old: Path, name: str
) -> None:
    safe = copied(old)
    path = safe / find(safe, name)
    head, _, rest = path.read_text().partition("?>")
    path.write_text(f'{head}?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>{rest}')
    if name != MANIFEST:
        reseal(safe)
    with pytest.raises(ProductError, match=f"expected .*{name} without a DOCTYPE"):
        staged(safe)


def test_folder_and_item_are_of_one_product(make: Make) -> None:
    safe = make()
    other = source_item(safe)
    other.id = other.id.replace("S2A", "S2B")
    with pytest.raises(ProductError, match="S2B"):
        write_catalog(safe.parent.parent, product_of(safe), other)
    renamed = safe.rename(safe.with_name(safe.name.replace("N0511", "N0510")))
    renamed.parent.rename(renamed.parent.with_name(renamed.stem))
    safe = renamed.parent.with_name(renamed.stem) / renamed.name
    with pytest.raises(ProductError, match=f"expected {safe.name} as .*PRODUCT_URI"):
        staged(safe)


def test_one_granule(copied: Callable[[Path], Path], new: Path) -> None:
    safe = copied(new)
    tree = etree.parse(safe / MANIFEST)
    section = tree.find("dataObjectSection")
    second = etree.fromstring(etree.tostring(section[0]))
    second.find(".//fileLocation").set("href", "./GRANULE/L1C_T32TQL/MTD_TL.xml")
    section.append(second)
    tree.write(safe / MANIFEST, xml_declaration=True, encoding="UTF-8")
    shutil.copytree(
        safe / "GRANULE" / find(safe, "L1C_*").split("/")[1], safe / "GRANULE/L1C_T32TQL"
    )
    (safe / "GRANULE/L1C_T32TQL/MTD_TL.xml").write_bytes((safe / PRODUCT).read_bytes())
    with pytest.raises(ProductError, match="expected one granule"):
        staged(safe)


def test_files_that_differ(copied: Callable[[Path], Path], new: Path) -> None:
    safe = copied(new)
    band = safe / find(safe, "T*_B05.jp2")
    content = band.read_bytes()
    band.write_bytes(content + b"x")
    with pytest.raises(ProductError, match=r"B05\.jp2"):
        staged(safe)
    band.write_bytes(b"no image")
    reseal(safe)
    with pytest.raises(ProductError, match=r"B05\.jp2 to be a JPEG 2000"):
        staged(safe)
    band.unlink()
    with pytest.raises(ProductError, match=r"B05\.jp2 .*found no such file"):
        staged(safe)


def test_a_mask_that_cannot_be_read_does_no_harm(copied: Callable[[Path], Path], new: Path) -> None:
    safe = copied(new)
    (safe / find(safe, "MSK_QUALIT_B05.jp2")).write_bytes(b"no image")
    (safe / find(safe, "*_PVI.jp2")).write_bytes(b"no image")
    reseal(safe)
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}")
    item = staged(safe)
    logger.remove(sink)
    for key in ("mask_qualit_b05", "preview"):
        assert not [field for field in item["assets"][key] if field.startswith("proj:")]
    assert any("MSK_QUALIT_B05" in line for line in lines)
    assert item["assets"]["thumbnail"]["proj:shape"] == [343, 343]


def test_a_catalog_that_cannot_be_written(make: Make) -> None:
    safe = make()
    (safe.parent / f"{safe.stem}.json").mkdir()
    with pytest.raises(OutputError):
        staged(safe)


# -- metadata that say something else: a true item or none


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Fields]:
    """A product, and its true item."""
    recipe = replace(NEW, pixels=60)
    folder = tmp_path_factory.mktemp("small") / "catalog" / recipe.name.removesuffix(".SAFE")
    safe = make_product(folder, recipe)
    return safe, staged(safe)


baselines = st.sampled_from(["02.06", "02.09", "03.01", "04.00", "05.00", "05.11", "05.13"])
offset_lists = st.none() | st.tuples(*[st.integers(-2000, 2000)] * len(BANDS))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    product=st.fixed_dictionaries(
        {},
        optional={
            "baseline": baselines,
            "satellite": st.sampled_from("ABCD"),
            "tile": st.sampled_from(["32TQM", "32TQL", "33TUG", "32TQN"]),
            "offsets": offset_lists,
            "quantification": st.integers(1, 100_000),
        },
    ),
    granule=st.fixed_dictionaries(
        {},
        optional={
            "tile_id_baseline": baselines,
            "tile": st.sampled_from(["32TQM", "32TQL", "33TUG"]),
        },
    ),
)
def test_metadata_of_another_recipe(
    small: tuple[Path, Fields], product: Fields, granule: Fields
) -> None:
    """Its two documents are replaced by those of other products of the same or another name."""
    safe, truth = small
    recipe = replace(NEW, pixels=60)
    said = replace(recipe, **product)
    with _restored(safe):
        (safe / PRODUCT).write_bytes(product_metadata(said))
        (safe / recipe.granule / "MTD_TL.xml").write_bytes(
            granule_metadata(replace(recipe, **granule))
        )
        reseal(safe)
        if said.name != recipe.name or granule.get("tile", recipe.tile) != recipe.tile:
            with pytest.raises(ProductError):
                staged(safe)
            return
        item = staged(safe)
    for band, asset in bands_of(item).items():
        _, values = _eo_raster(asset)
        assert values["scale"] == 1 / said.quantification
        assert values["offset"] == said.offset(band) / said.quantification
    for name in ("platform", "datetime", "grid:code", "proj:code", "processing:version"):
        assert item["properties"][name] == truth["properties"][name]


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(name=st.sampled_from([PRODUCT, "MTD_TL.xml"]), place=st.integers(0, 10**6))
def test_missing_parts(small: tuple[Path, Fields], name: str, place: int) -> None:
    """Without one element the item says less, and nothing else; or there is none."""
    safe, truth = small
    path = safe / find(safe, name)
    tree = etree.parse(path)
    # What is inside of the grids of angles, an item has not.
    dull = {"VALUES", "GIPP_FILENAME", "MASK_FILENAME", "quality_check"}
    elements = [
        element
        for element in tree.iter()
        if element.getparent() is not None and element.tag not in dull
    ]
    gone = elements[place % len(elements)]
    with _restored(safe):
        gone.getparent().remove(gone)
        tree.write(path, xml_declaration=True, encoding="UTF-8")
        reseal(safe)
        try:
            item = staged(safe)
        except ProductError:
            return
    expected = json.dumps(truth)
    if gone.tag == "Radiometric_Offset_List":
        # Where there is no list, the offsets are 0 by definition.
        expected = expected.replace('offset": -0.1', 'offset": 0.0')
    assert _comparable(item, item) == _comparable(json.loads(expected), item)


def _comparable(fields: Fields, item: Fields) -> Fields:
    """An item reduced to what another says too, without sizes and digests of the metadata."""
    properties = {k: v for k, v in fields["properties"].items() if k in item["properties"]}
    rels = {link["rel"] for link in item["links"]}
    assets = {
        key: {name: value for name, value in asset.items() if not name.startswith("file:")}
        for key, asset in fields["assets"].items()
    }
    return fields | {
        "assets": assets,
        "properties": properties,
        "links": [link for link in fields["links"] if link["rel"] in rels],
        "stac_extensions": [u for u in fields["stac_extensions"] if u in item["stac_extensions"]],
    }


@contextmanager
def _restored(safe: Path) -> Iterator[None]:
    """Undo what is done to the metadata of a product."""
    paths = [safe / find(safe, name) for name in (MANIFEST, PRODUCT, "MTD_TL.xml")]
    contents = [path.read_bytes() for path in paths]
    try:
        yield
    finally:
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
