"""stage-in.cwl under the reference runner."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.server import Sandbox
from tests.conftest import ROOT, SHARED, SameTree, slow_after
from tests.cwl_runs import CWL, PRESERVE_TRUST, assert_valid, cwltool, find_files_with, stage

REAL = sorted((SHARED / "fixtures/safe").glob("*.SAFE")) if SHARED.is_dir() else []


def test_tool_is_valid() -> None:
    assert_valid(CWL)


def test_example_job_order_has_the_required_inputs_and_no_real_token() -> None:
    inputs = yaml.safe_load((ROOT / "params.yml").read_text())
    assert inputs.keys() == {"item", "access_token"}
    assert " " in inputs["access_token"]


def test_tool_keeps_its_contract() -> None:
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


@pytest.mark.parametrize("generation", slow_after(1, ["new", "legacy"]))
def test_item_of_either_api_is_staged(
    platform: Sandbox, tmp_path: Path, old: Path, generation: Any, assert_same_tree: SameTree
) -> None:
    run = stage(platform, tmp_path, item=platform.item_url(old.name, generation))
    assert run.returncode == 0, run.stderr
    (staged,) = json.loads(run.stdout).values()
    assert staged["class"] == "Directory"
    assert staged["basename"] == "catalog"
    assert {path.name for path in tmp_path.iterdir()} == {"catalog", "params.yml"}
    assert_same_tree(old, tmp_path / "catalog" / old.stem / old.name)


def test_options_of_the_job_order(platform: Sandbox, tmp_path: Path, new: Path) -> None:
    """The folder has the given name, only the given bands are staged, the token is nowhere."""
    token = platform.mint()
    item = platform.item_url(new.name)
    run = stage(
        platform,
        tmp_path,
        item=item,
        access_token=token,
        output_dir="first",
        assets=["B02", "red"],
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "first" / "catalog.json").is_file()
    images = {path.stem[-3:] for path in tmp_path.rglob("IMG_DATA/*.jp2")}
    assert images == {"B02", "B04"}
    assert token not in run.stderr + run.stdout
    assert not find_files_with(token, tmp_path / "first")


def test_refresh_token_is_accepted_as_the_token(
    platform: Sandbox, tmp_path: Path, new: Path
) -> None:
    """A workflow passes one string, which may have to be valid for hours."""
    params = tmp_path / "params.yml"
    item = platform.item_url(new.name)
    params.write_text(json.dumps({"item": item, "access_token": platform.mint_refresh()}))
    run = cwltool(
        *("--no-container", *PRESERVE_TRUST, "--preserve-environment", "CDSE_IDENTITY_URL"),
        *(CWL, params),
        cwd=tmp_path,
        **platform.environment,
    )
    assert run.returncode == 0, run.stderr


def test_missing_token_is_a_permanent_failure(platform: Sandbox, tmp_path: Path, new: Path) -> None:
    run = stage(platform, tmp_path, item=platform.item_url(new.name), access_token="")
    assert run.returncode == 1
    assert "CDSE_ACCESS_TOKEN" in run.stderr
    assert "permanentFail" in run.stderr


@pytest.mark.parametrize(
    "name", slow_after(1, ["../elsewhere", "{folder}/elsewhere", "tile[32TQM]", "x?"])
)
def test_an_output_that_the_runner_cannot_find_is_not_downloaded(
    platform: Sandbox, tmp_path: Path, new: Path, name: str
) -> None:
    """In CWL, output_dir is a pattern, too, which has to match below the runner's own folder."""
    work = tmp_path / "work"
    work.mkdir()
    name = name.format(folder=tmp_path)
    run = stage(platform, work, item=platform.item_url(new.name), output_dir=name)
    assert run.returncode == 1
    assert "output_dir must be the plain name of a folder" in run.stderr
    assert len(platform.log) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
    assert [path.name for path in work.iterdir()] == ["params.yml"]


def test_a_relative_path_of_an_item(platform: Sandbox, tmp_path: Path, new: Path) -> None:
    """It is not relative to the job order: the tool runs in a folder of its own."""
    (tmp_path / "item.json").write_text(json.dumps(platform.item(new.name)))
    run = stage(platform, tmp_path, item="item.json")
    assert run.returncode == 1
    assert "Give an absolute path or a URL" in run.stderr
    assert len(platform.log) == 0
    absolute = stage(platform, tmp_path, item=str(tmp_path / "item.json"))
    assert absolute.returncode == 0, absolute.stderr
    assert (tmp_path / "catalog" / "catalog.json").is_file()


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="the real metadata is not beside the project")
@pytest.mark.parametrize("template", REAL, ids=lambda path: path.name[38:44])
def test_products_made_from_real_metadata_are_staged(
    tmp_path: Path, template: Path, assert_same_tree: SameTree
) -> None:
    """The products come from a generator that is independent of the sandbox's."""
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
