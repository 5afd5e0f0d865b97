"""workflows/stage-in-many.cwl under the reference runner."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.limits import Limits
from sandbox.product import NEW, make_product
from sandbox.server import Sandbox
from tests.conftest import PIXELS, ROOT, SameTree
from tests.test_cwl import cwltool

MANY = ROOT / "workflows/stage-in-many.cwl"
NAMES = ["first", "second", "third"]


def make_third(folder: Path) -> Path:
    """A product next to `old` and `new`: another satellite's of the same tile."""
    return make_product(folder, replace(NEW, satellite="B", pixels=PIXELS, seed=1))


def make_order(platform: Sandbox) -> dict[str, Any]:
    """A job order for all products of a platform."""
    return {
        "item": [platform.item_url(product.name) for product in platform.products],
        "output_dir": NAMES,
        "access_token": platform.mint(),
    }


def get_ids(catalog: Path) -> list[str]:
    """The ids of the items that a catalog links to."""
    links = json.loads((catalog / "catalog.json").read_text())["links"]
    items = (catalog / link["href"] for link in links if link["rel"] == "item")
    return [json.loads(item.read_text())["id"] for item in items]


def assert_staged(folder: Path, products: list[Path], assert_same_tree: SameTree) -> None:
    """There is one catalog for each product, in the order of the names, and nothing else."""
    assert {path.name for path in folder.iterdir()} == set(NAMES)
    for name, safe in zip(NAMES, products, strict=True):
        assert get_ids(folder / name) == [safe.stem]
        assert_same_tree(safe, folder / name / safe.stem / safe.name)


@pytest.fixture
def products(tmp_path: Path, old: Path, new: Path) -> list[Path]:
    return [old, new, make_third(tmp_path)]


@pytest.fixture
def platform(products: list[Path]) -> Iterator[Sandbox]:
    """The platform with three products, and its limit, which jobs side by side share."""
    with Sandbox(products, limits=Limits(connections=4)) as sandbox:
        yield sandbox


def test_valid() -> None:
    checked = cwltool("--enable-ext", "--validate", "--strict", MANY, cwd=ROOT)
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--parallel"]], ids=["serial", "parallel"])
def test_scatter(
    platform: Sandbox,
    products: list[Path],
    tmp_path: Path,
    options: list[str],
    assert_same_tree: SameTree,
) -> None:
    params = tmp_path / "params.yml"
    params.write_text(json.dumps(make_order(platform)))
    run = cwltool(
        *("--no-container", "--preserve-environment", "CDSE_TRUSTED_HOSTS", *options),
        *("--outdir", tmp_path / "out", MANY, params),
        cwd=tmp_path,
        **platform.environment,
    )
    assert run.returncode == 0, run.stderr
    staged = json.loads(run.stdout)["staged"]
    assert [folder["basename"] for folder in staged] == NAMES
    assert_staged(tmp_path / "out", products, assert_same_tree)
    refused = [entry for entry in platform.log.of("download") if entry.status == 429]
    assert bool(refused) is bool(options), "jobs side by side want more than is granted"
