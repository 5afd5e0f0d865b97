"""stage-in.cwl under the reference runner."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.server import Sandbox
from tests.conftest import ROOT, SHARED, SameTree

CWL = ROOT / "stage-in.cwl"
REAL = sorted((SHARED / "fixtures/safe").glob("*.SAFE")) if SHARED.is_dir() else []


def cwltool(
    *arguments: str | Path, cwd: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run cwltool in a folder, its programs found where this Python is."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["cwltool", *arguments],
        cwd=cwd,
        env={"PATH": path, "HOME": str(cwd), **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


def stage(platform: Sandbox, folder: Path, **inputs: Any) -> subprocess.CompletedProcess[str]:
    """Run stage-in.cwl with a job order, as a user would."""
    params = folder / "params.yml"
    params.write_text(json.dumps({"access_token": platform.mint(), **inputs}))
    params.chmod(0o600)
    return cwltool(
        *("--no-container", "--preserve-environment", "CDSE_TRUSTED_HOSTS"),
        *(CWL, params),
        cwd=folder,
        **platform.environment,
    )


def test_valid() -> None:
    checked = cwltool("--validate", "--strict", CWL, cwd=ROOT)
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


def test_params() -> None:
    """The example job order fits, and holds no token that could be anybody's."""
    inputs = yaml.safe_load((ROOT / "params.yml").read_text())
    assert inputs.keys() == {"item", "access_token"}
    assert " " in inputs["access_token"]


def test_contract() -> None:
    tool: dict[str, Any] = yaml.safe_load(CWL.read_text())
    assert (tool["id"], tool["baseCommand"]) == ("stage-in", "stage-in")
    assert tool["outputs"].keys() == {"staged"}
    assert {name: port["type"] for name, port in tool["inputs"].items()} == {
        "item": "string",
        "access_token": "string",
        "output_dir": "string",
        "assets": "string[]?",
    }
    assert tool["temporaryFailCodes"] == [75]
    assert "DockerRequirement" not in tool["requirements"]


@pytest.mark.parametrize("generation", ["new", "legacy"])
def test_stage(
    platform: Sandbox, tmp_path: Path, old: Path, generation: Any, assert_same_tree: SameTree
) -> None:
    run = stage(platform, tmp_path, item=platform.item_url(old.name, generation))
    assert run.returncode == 0, run.stderr
    (staged,) = json.loads(run.stdout).values()
    assert staged["class"] == "Directory"
    assert staged["basename"] == "catalog"
    assert {path.name for path in tmp_path.iterdir()} == {"catalog", "params.yml"}
    assert_same_tree(old, tmp_path / "catalog" / old.stem / old.name)


def test_the_token_is_not_in_the_log(platform: Sandbox, tmp_path: Path, new: Path) -> None:
    token = platform.mint()
    run = stage(platform, tmp_path, item=platform.item_url(new.name), access_token=token)
    assert run.returncode == 0
    assert token not in run.stderr + run.stdout
    staged = [path for path in (tmp_path / "catalog").rglob("*") if path.is_file()]
    assert not [path for path in staged if token.encode() in path.read_bytes()]


def test_the_folder_may_be_named(platform: Sandbox, tmp_path: Path, new: Path) -> None:
    run = stage(platform, tmp_path, item=platform.item_url(new.name), output_dir="first")
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "first" / "catalog.json").is_file()


def test_some_bands(platform: Sandbox, tmp_path: Path, new: Path) -> None:
    item = platform.item_url(new.name)
    run = stage(platform, tmp_path, item=item, assets=["B02", "red"])
    assert run.returncode == 0, run.stderr
    images = {path.stem[-3:] for path in tmp_path.rglob("IMG_DATA/*.jp2")}
    assert images == {"B02", "B04"}


def test_a_refresh_token_will_do(platform: Sandbox, tmp_path: Path, new: Path) -> None:
    """The one string that a workflow passes can live as long as the workflow."""
    params = tmp_path / "params.yml"
    item = platform.item_url(new.name)
    params.write_text(json.dumps({"item": item, "access_token": platform.mint_refresh()}))
    run = cwltool(
        *("--no-container", "--preserve-environment", "CDSE_TRUSTED_HOSTS"),
        *("--preserve-environment", "CDSE_IDENTITY_URL", CWL, params),
        cwd=tmp_path,
        **platform.environment,
    )
    assert run.returncode == 0, run.stderr


def test_failures_are_failures(platform: Sandbox, tmp_path: Path, new: Path) -> None:
    missing = stage(platform, tmp_path, item=platform.item_url(new.name), access_token="")
    assert missing.returncode == 1
    assert "CDSE_ACCESS_TOKEN" in missing.stderr
    assert "permanentFail" in missing.stderr


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="the real metadata is not beside the project")
@pytest.mark.parametrize("template", REAL, ids=lambda path: path.name[38:44])
def test_products_made_from_real_metadata(
    tmp_path: Path, template: Path, assert_same_tree: SameTree
) -> None:
    """Products that another maker makes from real metadata, served and staged, are the same."""
    made = subprocess.run(
        [
            *(sys.executable, SHARED / "tools/make_safe.py", "--out", tmp_path / "made"),
            *("--template", template, "--shrink", "10", "--zip", ""),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert made.returncode == 0, made.stderr
    (safe,) = (tmp_path / "made").glob("*.SAFE")
    assert any(path.is_dir() and not any(path.iterdir()) for path in safe.rglob("*"))
    work = tmp_path / "work"
    work.mkdir()
    with Sandbox([safe]) as platform:
        run = stage(platform, work, item=platform.item_url(safe.name))
    assert run.returncode == 0, run.stderr
    assert_same_tree(safe, work / "catalog" / safe.stem / safe.name)
