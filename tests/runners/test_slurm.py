"""stage-in.cwl under Toil, scattered over jobs of Slurm."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.limits import Limits
from sandbox.server import Sandbox
from tests.conftest import SameTree
from tests.runners.orders import write_order
from tests.runners.slurm import NODE, Slurm
from tests.runners.toil import toil
from tests.test_many import MANY, assert_staged, make_order, make_third
from tests.test_secret import find

pytestmark = pytest.mark.slurm

OPTIONS = ("--batchSystem", "slurm", "--no-container", "--retryCount", "0")


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Slurm; that it can't be started is a failure."""
    with Slurm(tmp_path_factory.mktemp("slurm")) as slurm:
        yield slurm


@pytest.fixture
def products(tmp_path: Path, old: Path, new: Path) -> list[Path]:
    return [old, new, make_third(tmp_path)]


@pytest.fixture
def platform(products: list[Path]) -> Iterator[Sandbox]:
    """The platform with three products, and its limit, which jobs side by side share."""
    with Sandbox(products, limits=Limits(connections=4)) as sandbox:
        yield sandbox


def get_new_jobs(slurm: Slurm, before: set[str]) -> list[dict[str, str]]:
    """The jobs of the tool that Slurm knew not before."""
    jobs = [job for job in slurm.jobs if job["JobId"] not in before]
    assert all("stage-in" in job["JobName"] for job in jobs)
    return jobs


def test_scatter(
    slurm: Slurm,
    platform: Sandbox,
    products: list[Path],
    tmp_path: Path,
    assert_same_tree: SameTree,
) -> None:
    before = {job["JobId"] for job in slurm.jobs}
    inputs = make_order(platform)
    order = write_order(tmp_path, platform.environment, **inputs)
    run = toil(*OPTIONS, MANY, order, cwd=tmp_path, **slurm.environment)
    assert run.returncode == 0, run.stderr
    assert_staged(tmp_path / "out", products, assert_same_tree)
    jobs = get_new_jobs(slurm, before)
    assert [(job["JobState"], job["NodeList"]) for job in jobs] == [("COMPLETED", NODE)] * 3
    assert inputs["access_token"] not in run.stdout + run.stderr
    assert not find(inputs["access_token"], slurm.folder)


def test_failures_are_failures(slurm: Slurm, platform: Sandbox, tmp_path: Path) -> None:
    before = {job["JobId"] for job in slurm.jobs}
    inputs = {**make_order(platform), "access_token": ""}
    order = write_order(tmp_path, platform.environment, **inputs)
    run = toil(*OPTIONS, MANY, order, cwd=tmp_path, **slurm.environment)
    assert run.returncode == 1
    assert "exited with status: 77" in run.stderr
    assert "CDSE_ACCESS_TOKEN" in run.stderr
    assert "FAILED" in {job["JobState"] for job in get_new_jobs(slurm, before)}
