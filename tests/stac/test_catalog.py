"""The catalog on disk: its links, its schemas, and what clients read from it."""

import json
import math
import subprocess
import sys
import venv
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pystac
import pytest
from jsonschema import Draft7Validator, FormatChecker
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry
from referencing.jsonschema import DRAFT7

from sandbox.product import NEW, OLD, Recipe
from sandbox.server import Sandbox
from stage_in.disk import find_differing
from stage_in.errors import OutputError, ProductError
from stage_in.safe.bands import BANDS
from stage_in.safe.folder import SafeFolder
from stage_in.safe.images import Images
from stage_in.secrets import register
from stage_in.stac.catalog import (
    CATALOG,
    _encode,
    make_catalog_file,
    make_item_files,
    write_files,
)
from tests.conftest import ROOT, SHARED, SameTree, StageIn
from tests.editing import PRODUCT, edit, find, open_folder
from tests.stac.conftest import Copy, Make
from tests.stac.items import Fields, get_images

SOURCE = "https://stac.example/v1/collections/sentinel-2-l1c/items/x"


def make_source_item(safe: Path, href: str | None = SOURCE) -> pystac.Item:
    item = pystac.Item(safe.stem, None, None, pystac.utils.str_to_datetime("2024-01-01"), {})
    if href is not None:
        item.set_self_href(href)
    return item


def make_catalog(folder: SafeFolder, source: pystac.Item, images: Images) -> dict[str, bytes]:
    """Make the files of the catalog of one product."""
    names = [folder.name]
    return {
        **make_item_files(folder, source, images, names),
        CATALOG: make_catalog_file(names),
    }


def write(safe: Path, href: str | None = SOURCE, **options: bool) -> Fields:
    """Write the catalog of a product, and return its item."""
    catalog = safe.parent.parent
    folder = open_folder(safe, **options)
    files = make_catalog(folder, make_source_item(safe, href), get_images())
    write_files(catalog, files)
    return json.loads((safe.parent / f"{safe.stem}.json").read_text(encoding="utf-8"))


def test_no_number_is_nan() -> None:
    """It is not JSON (RFC 8259, section 6)."""
    catalog = pystac.Catalog("x", "an example", extra_fields={"snow_cover": math.nan})
    with pytest.raises(ProductError, match="the metadata of x must contain only finite numbers"):
        _encode(catalog)


# -- the files


def test_links(make: Make) -> None:
    item = write(make())
    links = {link["rel"]: link["href"] for link in item["links"]}
    assert links["via"] == SOURCE
    assert links["cite-as"] == "https://doi.org/10.5270/S2_-742ikth"
    assert links["license"].startswith("https://")
    assert "self" not in links


SOURCES = {
    "https://user:secret@stac.example/items/x?token=secret#y": "https://stac.example/items/x",
    "http://127.0.0.1:8080/items/x": "http://127.0.0.1:8080/items/x",
    "https://stac.example/items/x;token=secret": "https://stac.example/items/x",
    "https://stac.example/x%3Ftoken=secret": "https://stac.example/x",
    "https://stac.example/x%253ftoken%253Dsecret": "https://stac.example/x",
    "https://stac.example/x%2523%3Btoken=secret": "https://stac.example/x",
    "https://stac.example/token=secret/x": None,
    "https://stac.example/x%26token%3Dsecret": None,
    "https://stac.example/x,secret": None,
    "https://stac.example/eyJhbGciOiJ9.eyJleHAiOjF9.secret/x": None,
    "https://stac.example/of-this-user-and-secret/x": None,
    "/home/user/item.json": None,
    "s3://bucket/item.json": None,
    "https://stac example/x": None,
    "https://stac.example/\x1b[2J": None,
    "https://stac.example/\ud800": None,
    "javascript:alert(1)": None,
    None: None,
}


def test_link_to_the_source_item(make: Make) -> None:
    register("of-this-user-and-secret")
    safe = make()
    for href, via in SOURCES.items():
        item = write(safe, href)
        found = [link["href"] for link in item["links"] if link["rel"] == "via"]
        assert found == ([] if via is None else [via]), href
        assert "secret" not in json.dumps(item), href


def test_two_runs_leave_the_same_bytes(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree
) -> None:
    for name in ("one", "two"):
        run = stage_in(platform.item_url(new.name), "--output-dir", name)
        assert run.code == 0, run.log
    assert_same_tree(stage_in.folder / "one", stage_in.folder / "two")
    assert not list(stage_in.folder.rglob("*.aux.xml"))


def test_a_refused_product_gets_no_catalog(copied: Copy, new: Path) -> None:
    safe = copied(new)
    edit(safe, PRODUCT, "<PRODUCT_URI>S2A", "<PRODUCT_URI>S2B")
    with pytest.raises(ProductError, match="PRODUCT_URI"):
        write(safe)
    assert [*safe.parent.parent.rglob("*.json")] == []


def test_the_item_of_another_product_is_refused(make: Make) -> None:
    safe = make()
    other = make_source_item(safe)
    other.id = other.id.replace("S2A", "S2B")
    with Images() as images, pytest.raises(ProductError, match="S2B"):
        make_catalog(open_folder(safe), other, images)


def test_a_renamed_folder_is_refused(make: Make) -> None:
    safe = make()
    renamed = safe.rename(safe.with_name(safe.name.replace("N0511", "N0510")))
    parent = renamed.parent.rename(renamed.parent.with_name(renamed.stem))
    with pytest.raises(ProductError, match=f"PRODUCT_URI .* must be {renamed.name}"):
        write(parent / renamed.name)


def test_a_catalog_that_cannot_be_written(make: Make) -> None:
    safe = make()
    (safe.parent / f"{safe.stem}.json").mkdir()
    with pytest.raises(OutputError):
        write(safe)


def test_files_that_differ(make: Make) -> None:
    safe = make()
    catalog = safe.parent.parent
    with Images() as images:
        files = make_catalog(open_folder(safe), make_source_item(safe), images)
    assert find_differing(catalog, files) == files
    write_files(catalog, files)
    assert find_differing(catalog, files) == {}
    missing, longer, linked = files
    (catalog / missing).unlink()
    (catalog / longer).write_bytes(files[longer] + b" ")
    (catalog / linked).rename(catalog / "elsewhere")
    (catalog / linked).symlink_to(catalog / "elsewhere")
    assert find_differing(catalog, files) == files


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
def install_old_pystac() -> Path:
    """Return a Python with pystac 1.9.0, from a folder beside the development environment.

    It is installed once. Without a network this fails, because the promise would not be tested.
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
    write(safe)
    catalog = safe.parent.parent / "catalog.json"
    found = {}
    for python in (install_old_pystac(), Path(sys.executable)):
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
    """The core schemas from pystac, and those of the extensions if they are at hand."""
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
    """The checks of formats. Each IRI is checked only once, because that takes long."""
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
    variants = [write(safe), write(safe, verified=False)]
    (safe / find(safe, "T*_B01.jp2")).unlink()
    variants.append(write(safe, partial=True))
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
