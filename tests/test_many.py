"""workflows/stage-in-many.cwl under the reference runner."""

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from sandbox.faults import Rule
from sandbox.limits import Limits
from sandbox.server import Sandbox
from tests.conftest import SameTree
from tests.cwl_runs import (
    MANY,
    PRESERVE_TRUST,
    assert_many_staged,
    assert_valid,
    cwltool,
    make_many_order,
    make_third_product,
)


@pytest.fixture
def products(tmp_path: Path, old: Path, new: Path) -> list[Path]:
    return [old, new, make_third_product(tmp_path)]


@pytest.fixture
def platform(products: list[Path]) -> Iterator[Sandbox]:
    """A sandbox with three products, whose quota all jobs share for some seconds."""
    with Sandbox(products, limits=Limits(connections=4, rate=200_000)) as sandbox:
        yield sandbox


def release_when_refused(platform: Sandbox, stall: Rule) -> None:
    platform.log.wait(lambda exchange: exchange.status == 429)
    platform.faults.remove(stall)


def test_workflow_is_valid() -> None:
    assert_valid(MANY)


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--parallel"]], ids=["serial", "parallel"])
def test_every_product_is_staged_into_its_folder(
    platform: Sandbox,
    products: list[Path],
    tmp_path: Path,
    options: list[str],
    assert_same_tree: SameTree,
) -> None:
    params = tmp_path / "params.yml"
    params.write_text(json.dumps(make_many_order(platform)))
    if options:  # all slots are taken until a job is refused one
        stall = platform.faults.add("on=download path=*IMG_DATA* stall=60 times=4")
        Thread(target=release_when_refused, args=[platform, stall], daemon=True).start()
    run = cwltool(
        *("--no-container", *PRESERVE_TRUST, *options),
        *("--outdir", tmp_path / "out", MANY, params),
        cwd=tmp_path,
        **platform.environment,
    )
    assert run.returncode == 0, run.stderr
    staged = json.loads(run.stdout)["staged"]
    assert [folder["basename"] for folder in staged] == [safe.stem for safe in products]
    assert_many_staged(tmp_path / "out", products, assert_same_tree)
    refused = [entry for entry in platform.log.of("download") if entry.status == 429]
    assert bool(refused) is bool(options), "expected parallel jobs to exceed the quota"
