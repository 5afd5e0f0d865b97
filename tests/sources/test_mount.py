"""The product in a mounted archive: copied, verified, and never through a link."""

import shutil
from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.conftest import SameTree, StageIn


@pytest.fixture
def mount(platform: Sandbox, new: Path, tmp_path: Path) -> Path:
    """A mounted archive with the newer product; returns its SAFE folder."""
    (product,) = [x for x in platform.products if x.name == new.name]
    return shutil.copytree(new, tmp_path / "eodata" / product.s3_key)


def get_root(mount: Path) -> str:
    return str(mount.parents[6])


def test_a_product_is_copied_without_a_token(
    stage_in: StageIn, platform: Sandbox, mount: Path, assert_same_tree: SameTree
) -> None:
    run = stage_in(platform.item_url(mount.name), CDSE_EODATA=get_root(mount), CDSE_ACCESS_TOKEN="")
    assert run.code == 0, run.log
    assert str(mount) in run.log
    assert not platform.log.of("download")
    staged = stage_in.folder / "catalog" / mount.stem / mount.name
    assert_same_tree(mount, staged)
    assert all(path.stat().st_nlink == 1 for path in staged.rglob("*.jp2"))
