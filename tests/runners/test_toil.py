"""stage-in.cwl under Toil, on one machine."""

from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.conftest import SameTree
from tests.cwl_runs import CWL, SECRET, find_files_with, stage
from tests.runners.conftest import Engine
from tests.runners.orders import write_order
from tests.runners.toil import toil

pytestmark = pytest.mark.runner


@pytest.fixture
def in_container(engine: Engine, image: str) -> list[str]:
    """Return the options by which Toil runs the image."""
    assert image
    return [*engine.options, "--custom-net", "host"]


@pytest.fixture
def absent(platform: Sandbox, new: Path) -> str:
    """Return the URL of an item that does not exist."""
    return platform.item_url(new.name).replace("2024", "2023")


def test_container_stages_what_the_command_stages(
    engine: Engine,
    in_container: list[str],
    bare: Path,
    tmp_path: Path,
    assert_same_tree: SameTree,
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    with Sandbox([bare]) as platform:
        inputs = {"item": platform.item_url(bare.name), "access_token": platform.mint()}
        order = write_order(tmp_path, platform.environment, **inputs)
        run = toil(*in_container, CWL, order, cwd=tmp_path, **engine.environment)
        assert run.returncode == 0, run.stderr
        assert stage(platform, outside, **inputs).returncode == 0
    assert_same_tree(tmp_path / "out/catalog", outside / "catalog")
    assert_same_tree(bare, tmp_path / "out/catalog" / bare.stem / bare.name)


def test_token_is_left_in_the_job_order_only(
    engine: Engine, in_container: list[str], platform: Sandbox, tmp_path: Path, new: Path
) -> None:
    token = platform.mint()
    item = platform.item_url(new.name)
    order = write_order(tmp_path, platform.environment, item=item, access_token=token)
    run = toil(*in_container, SECRET, order, cwd=tmp_path, **engine.environment)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "out/catalog/catalog.json").is_file()
    assert token not in run.stdout + run.stderr
    assert find_files_with(token, tmp_path) == {Path(order.name)}


@pytest.mark.parametrize(
    ("document", "told"), [(SECRET, False), (CWL, True)], ids=["secret", "plain"]
)
def test_token_after_a_failure(
    engine: Engine,
    in_container: list[str],
    platform: Sandbox,
    tmp_path: Path,
    absent: str,
    document: Path,
    told: bool,
) -> None:
    """The log has the command that started the container. The job store stays, with the token."""
    token = platform.mint()
    order = write_order(tmp_path, platform.environment, item=absent, access_token=token)
    options = [*in_container, "--retryCount", "0"]
    run = toil(*options, document, order, cwd=tmp_path, **engine.environment)
    assert run.returncode == 1
    assert "exited with status: 66" in run.stderr
    assert f"status 404 from {absent}" in run.stderr
    assert (token in run.stderr) is told
    assert find_files_with(token, tmp_path / "jobs")


def test_job_store_can_be_removed_after_a_failure(
    platform: Sandbox, tmp_path: Path, absent: str
) -> None:
    token = platform.mint()
    order = write_order(tmp_path, platform.environment, item=absent, access_token=token)
    options = ["--no-container", "--clean", "always", "--retryCount", "0"]
    run = toil(*options, SECRET, order, cwd=tmp_path)
    assert run.returncode == 1
    assert "exited with status: 66" in run.stderr
    assert find_files_with(token, tmp_path) == {Path(order.name)}


def test_missing_token_ends_with_77(platform: Sandbox, tmp_path: Path, new: Path) -> None:
    order = write_order(tmp_path, platform.environment, item=platform.item_url(new.name))
    run = toil("--no-container", "--retryCount", "0", CWL, order, cwd=tmp_path)
    assert run.returncode == 1
    assert "exited with status: 77" in run.stderr
    assert "CDSE_ACCESS_TOKEN" in run.stderr


def test_toil_tries_again_after_any_exit_code(platform: Sandbox, tmp_path: Path, new: Path) -> None:
    """Here the item appears late."""
    platform.faults.add("status=404 on=stac times=3")
    item = platform.item_url(new.name)
    order = write_order(tmp_path, platform.environment, item=item, access_token=platform.mint())
    run = toil("--no-container", "--retryCount", "1", CWL, order, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("exited with status: 66") == 1
    assert (tmp_path / "out/catalog/catalog.json").is_file()
