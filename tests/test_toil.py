"""Empty folders of a product under Toil, which loses them in its file store."""

import json
from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.conftest import SameTree
from tests.cwl_runs import CWL, cwltool
from tests.runners.orders import write_order
from tests.runners.toil import toil

pytestmark = pytest.mark.slow


def write_keeping_order(folder: Path, platform: Sandbox, safe: Path, keep: str) -> Path:
    """Write a job order that sets STAGE_IN_KEEP_FOLDERS in the way that docs/runners.md shows."""
    inputs = {"item": platform.item_url(safe.name), "access_token": platform.mint()}
    variables = {"STAGE_IN_KEEP_FOLDERS": keep, **platform.environment}
    return write_order(folder, variables, **inputs)


def test_empty_folder_is_lost_without_bypass_file_store(tmp_path: Path, bare: Path) -> None:
    """docs/runners.md therefore requires that option. When this fails, Toil has been fixed."""
    with Sandbox([bare]) as platform:
        order = write_keeping_order(tmp_path, platform, bare, "0")
        run = toil("--no-container", CWL, order, cwd=tmp_path, bypass=False)
    assert run.returncode == 0, run.stderr
    staged = tmp_path / "out/catalog" / bare.stem / bare.name
    found = {path.relative_to(staged) for path in staged.rglob("*")}
    lost = {path.relative_to(bare) for path in bare.rglob("*")} - found
    assert len(lost) == 1
    assert lost < {Path("HTML"), Path("rep_info")}


def test_files_keep_empty_folders_without_bypass_file_store(
    tmp_path: Path, bare: Path, assert_same_tree: SameTree
) -> None:
    """Toil delivers what cwltool delivers: the product, and a file in each of the folders."""
    for name in ("toil", "cwltool"):
        (tmp_path / name).mkdir()
    with Sandbox([bare]) as platform:
        order = write_keeping_order(tmp_path / "toil", platform, bare, "1")
        run = toil("--no-container", CWL, order, cwd=tmp_path / "toil", bypass=False)
        assert run.returncode == 0, run.stderr
        options = ("--no-container", "--outdir", str(tmp_path / "cwltool/out"))
        again = cwltool(*options, CWL, order, cwd=tmp_path / "cwltool")
        assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["staged"]["basename"] == "catalog"
    assert_same_tree(tmp_path / "cwltool/out/catalog", tmp_path / "toil/out/catalog")
    staged = tmp_path / "toil/out/catalog" / bare.stem / bare.name
    for folder in ("HTML", "rep_info"):
        (staged / folder / ".keep").unlink()
    assert_same_tree(bare, staged)
