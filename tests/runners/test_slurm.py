"""stage-in-many.cwl under Toil, each product in a job of Slurm."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.limits import Limits
from sandbox.server import Sandbox
from tests.conftest import SameTree
from tests.cwl_runs import (
    MANY,
    assert_many_staged,
    find_files_with,
    make_many_order,
    make_third_product,
)
from tests.runners.orders import write_order
from tests.runners.slurm import NODE, Slurm
from tests.runners.toil import toil

pytestmark = pytest.mark.slurm

OPTIONS = ("--batchSystem", "slurm", "--no-container", "--retryCount", "0")


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Slurm; a Slurm that cannot start is a failure."""
    with Slurm(tmp_path_factory.mktemp("slurm")) as slurm:
        yield slurm


@pytest.fixture
def products(tmp_path: Path, old: Path, new: Path) -> list[Path]:
    return [old, new, make_third_product(tmp_path)]


@pytest.fixture
def platform(products: list[Path]) -> Iterator[Sandbox]:
    """A sandbox with three products, whose quota all jobs share."""
    with Sandbox(products, limits=Limits(connections=4)) as sandbox:
        yield sandbox


def get_new_jobs(slurm: Slurm, before: set[str]) -> list[dict[str, str]]:
    """Return the jobs of the tool that are new."""
    jobs = [job for job in slurm.jobs if job["JobId"] not in before]
    assert all("stage-in" in job["JobName"] for job in jobs)
    return jobs


def test_every_product_is_staged_by_a_job(
    slurm: Slurm,
    platform: Sandbox,
    products: list[Path],
    tmp_path: Path,
    assert_same_tree: SameTree,
) -> None:
    before = {job["JobId"] for job in slurm.jobs}
    inputs = make_many_order(platform)
    order = write_order(tmp_path, platform.environment, **inputs)
    run = toil(*OPTIONS, MANY, order, cwd=tmp_path, **slurm.environment)
    assert run.returncode == 0, run.stderr
    assert_many_staged(tmp_path / "out", products, assert_same_tree)
    jobs = get_new_jobs(slurm, before)
    assert [(job["JobState"], job["NodeList"]) for job in jobs] == [("COMPLETED", NODE)] * 3
    assert inputs["access_token"] not in run.stdout + run.stderr
    assert not find_files_with(inputs["access_token"], slurm.folder)


def test_missing_token_makes_a_job_fail(slurm: Slurm, platform: Sandbox, tmp_path: Path) -> None:
    before = {job["JobId"] for job in slurm.jobs}
    inputs = {**make_many_order(platform), "access_token": ""}
    order = write_order(tmp_path, platform.environment, **inputs)
    run = toil(*OPTIONS, MANY, order, cwd=tmp_path, **slurm.environment)
    assert run.returncode == 1
    assert "exited with status: 77" in run.stderr
    assert "CDSE_ACCESS_TOKEN" in run.stderr
    assert "FAILED" in {job["JobState"] for job in get_new_jobs(slurm, before)}
