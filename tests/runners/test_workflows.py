"""Workflows that embed stage-in.cwl, with each step in its container."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from sandbox.limits import Limits
from sandbox.product import NEW
from sandbox.server import Sandbox
from tests.conftest import ROOT, SameTree
from tests.cwl_runs import (
    assert_many_staged,
    cwltool,
    make_many_order,
    make_third_product,
)
from tests.landcover import assert_covers, read_covers
from tests.runners.conftest import Engine
from tests.runners.orders import write_order

pytestmark = pytest.mark.runner


def run(
    engine: Engine, platform: Sandbox, folder: Path, workflow: str, *options: str, **inputs: Any
) -> CompletedProcess[str]:
    """Run one of the workflows in the image."""
    return cwltool(
        *engine.options,
        *("--custom-net", "host", "--outdir", folder / "out", *options),
        *(ROOT / "workflows" / workflow, write_order(folder, platform.environment, **inputs)),
        cwd=folder,
        **engine.environment,
    )


@pytest.fixture
def products(tmp_path: Path, old: Path, new: Path) -> list[Path]:
    return [old, new, make_third_product(tmp_path)]


@pytest.fixture
def crowd(products: list[Path]) -> Iterator[Sandbox]:
    """A sandbox with three products, whose quota all jobs share."""
    with Sandbox(products, limits=Limits(connections=4)) as sandbox:
        yield sandbox


@pytest.mark.parametrize("options", [[], ["--parallel"]], ids=["serial", "parallel"])
def test_every_product_is_staged_into_its_folder(
    engine: Engine,
    image: str,
    crowd: Sandbox,
    products: list[Path],
    tmp_path: Path,
    options: list[str],
    assert_same_tree: SameTree,
) -> None:
    inputs = make_many_order(crowd)
    ran = run(engine, crowd, tmp_path, "stage-in-many.cwl", *options, **inputs)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count(f"    {image} \\") == len(products)
    assert "(secret-" in ran.stderr
    assert inputs["access_token"] not in ran.stderr
    assert_many_staged(tmp_path / "out", products, assert_same_tree)


def test_step_of_the_tutorial_reads_the_staged_catalog(
    engine: Engine, image: str, platform: Sandbox, tmp_path: Path, new: Path
) -> None:
    inputs = {"item": platform.item_url(new.name), "access_token": platform.mint()}
    ran = run(engine, platform, tmp_path, "tutorial.cwl", **inputs)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count(f"    {image} \\") == 2
    assert len(json.loads((tmp_path / "out/bands.json").read_text())["bands"]) == 13


def test_each_tile_has_the_class_of_its_place(
    engine: Engine, image: str, tmp_path: Path, large: Path
) -> None:
    with Sandbox([large]) as platform:
        inputs = {"item": platform.item_url(large.name), "access_token": platform.mint()}
        ran = run(engine, platform, tmp_path, "tile-classification.cwl", **inputs)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count(f"    {image} \\") == 2
    covers, _ = read_covers(tmp_path / "out/landcover")
    assert_covers(covers, replace(NEW, pixels=1098))
