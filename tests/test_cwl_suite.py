"""Every CWL file with jobs that must succeed and jobs that it must refuse: tests/cwl."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.faults import Fault
from sandbox.server import Sandbox
from tests.conftest import ROOT, StageIn
from tests.cwl_runs import CWL, PRESERVE_TRUST, cwltool, run_package_program
from tests.suite import Suite, list_cwl_files, read_tests, write_suite
from tests.web import serve_schema

REFUSED = [test for test in read_tests() if test.get("should_fail")]


@pytest.fixture
def suite(
    platform: Sandbox, stage_in: StageIn, tmp_path: Path, new: Path, old: Path
) -> Iterator[Suite]:
    with serve_schema(tmp_path) as variables:
        yield write_suite(tmp_path / "suite", platform, stage_in, (new, old), variables)


def stages(path: Path) -> bool:
    """Tell whether a CWL file runs the command stage-in, itself or in one of its steps."""
    document = yaml.safe_load(path.read_text())
    processes = document.get("$graph", [document])
    steps = [step for process in processes for step in process.get("steps", {}).values()]
    return any(process.get("baseCommand") == "stage-in" for process in processes) or any(
        stages(path.parent / step["run"]) for step in steps if not step["run"].startswith("#")
    )


@pytest.mark.parametrize("path", list_cwl_files(), ids=lambda path: path.name)
def test_every_cwl_file_has_valid_and_invalid_jobs(path: Path) -> None:
    tags = {tag for test in read_tests() if test["tool"] == str(path) for tag in test["tags"]}
    missing = "missing-keys" if "AWS_ACCESS_KEY_ID" in path.read_text() else "missing-token"
    wrong = {missing, "wrong-item"} if stages(path) else {"wrong-input"}
    assert tags == {"valid", *wrong}


def test_no_cwl_file_is_outside_of_the_known_folders() -> None:
    folders = {path.parent for path in list_cwl_files()} | {ROOT / "tests/cwl/eoepca"}
    ignored = re.compile(r"/(\.[^/]*|build|demo|dist)/|/stage-in\.app\.cwl$")
    found = [
        path for path in ROOT.rglob("*.cwl") if not ignored.search(f"/{path.relative_to(ROOT)}")
    ]
    assert len(found) > 5
    assert {path.parent for path in found} == folders


@pytest.mark.slow
def test_every_valid_job_succeeds(suite: Suite) -> None:
    tests = [test for test in suite.tests if not test.get("should_fail")]
    assert len(tests) > 5
    suite.file.write_text(json.dumps(tests))
    assert suite("--no-container") == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", [test["id"] for test in REFUSED])
def test_invalid_job_is_refused_for_its_reason(suite: Suite, name: str) -> None:
    suite.assert_refused(name, "--no-container")


# Each of these changes makes a test of the suite fail.
CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "succeeds but should fail": ("stage-in", {"should_fail": True}),
    "fails but should succeed": (
        "stage-in-no-token",
        {"should_fail": False, "output": {"staged": "Any"}},
    ),
    "other folder": (
        "stage-in-bands",
        {"output": {"staged": {"class": "Directory", "location": "b"}}},
    ),
    "missing file": (
        "secret",
        {
            "output": {
                "staged": {
                    "class": "Directory",
                    "location": "catalog",
                    "listing": [{"class": "File", "location": "product.zip"}],
                }
            }
        },
    ),
}


@pytest.mark.slow
def test_suite_reports_every_kind_of_failure(suite: Suite) -> None:
    by_id = {test["id"]: test for test in suite.tests}
    changed = [{**by_id[name], **change, "id": kind} for kind, (name, change) in CHANGES.items()]
    text = json.dumps({**by_id["stage-in"], "id": "other manifest"})
    (digest,) = set(re.findall(r"sha1\$([0-9a-f]{40})", text))
    changed.append(json.loads(text.replace(digest, digest[::-1])))
    suite.file.write_text(json.dumps([*changed, by_id["stage-in-wrong-item"]]))
    assert suite("--no-container").keys() == {*CHANGES, "other manifest"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output", "status"), [("Directory", "permanentFail"), ("Directory?", "temporaryFail")]
)
def test_exit_code_75_is_temporary_only_if_the_output_is_optional(
    suite: Suite, platform: Sandbox, output: str, status: str
) -> None:
    """For cwltool, a missing output is a permanent failure, whatever the exit code."""
    tool = yaml.safe_load(CWL.read_text())
    assert tool["outputs"]["staged"]["type"] == "Directory"
    tool["arguments"].append({"prefix": "--patience", "valueFrom": "1"})
    tool["outputs"]["staged"]["type"] = output
    impatient = suite.folder / "stage-in.cwl"
    impatient.write_text(json.dumps(tool))
    order = suite.folder / "jobs/item.yml"
    order.write_text(order.read_text().replace(CWL.as_uri(), impatient.as_uri()))
    platform.faults.add(Fault(on="download", status=503))
    run = cwltool("--no-container", impatient, order, cwd=suite.folder)
    assert run.returncode == 1
    assert "exited with status: 75" in run.stderr
    assert "status 503" in run.stderr
    assert f"Final process status is {status}" in run.stderr


def read_asset_of_the_chart() -> str:
    """Return the stage-in that deploy/eoepca/values.yaml gives to the chart of ZOO-Project."""
    values = yaml.safe_load((ROOT / "deploy/eoepca/values.yaml").read_text())
    (asset,) = values["files"]["cwlwrapperAssets"].items()
    assert asset[0] == "stagein.yaml"
    return str(asset[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["eoepca", "eoepca-s3"])
def test_platform_wraps_a_package_in_stage_in_eoepca(
    suite: Suite, platform: Sandbox, name: str
) -> None:
    """EOEPCA's platforms put a stage-in and a stage-out around the packages of their users.

    They pass the keys for S3 to both as inputs of the whole, and a token in the environment.
    """
    stage_in = suite.folder / "stagein.yaml"
    tool = (ROOT / f"workflows/stage-in-{name}.cwl").read_text()
    stage_in.write_text(read_asset_of_the_chart() if name == "eoepca-s3" else tool)
    package = ROOT / "tests/cwl/eoepca"
    wrapped = suite.folder / "wrapped.cwl"
    made = run_package_program(
        *("transpiler-mate", "cwlwrap", f"{package / 'app.cwl'}#copy-catalog", "--output", wrapped),
        *("--directory-stage-in", stage_in, "--directory-stage-out", package / "stage-out.cwl"),
        cwd=suite.folder,
        **suite.variables,
    )
    assert made.returncode == 0, made.stderr
    (job,) = [test["job"] for test in suite.tests if test["id"] == name]
    inputs = json.loads((suite.folder / job).read_text())
    order = suite.folder / "order.yml"
    keys = {port: value for port, value in inputs.items() if port.startswith("STAGEIN_")}
    order.write_text(json.dumps({"product": inputs["reference"], **keys}))
    token = {} if keys else {"CDSE_ACCESS_TOKEN": platform.mint(), **platform.environment}
    run = cwltool(
        *("--no-container", *PRESERVE_TRUST),
        *("--preserve-environment", "CDSE_ACCESS_TOKEN", f"{wrapped}#main", order),
        cwd=suite.folder,
        **token,
        **suite.variables,
    )
    assert run.returncode == 0, run.stderr
    assert "catalog.json" in json.loads(run.stdout)["copied"]["value"].splitlines()
    assert bool(platform.log.of("s3")) is bool(keys)


def test_files_for_eoepca_agree_with_each_other() -> None:
    """The Secret of the README has the inputs of the stage-in that the values contain."""
    source = (ROOT / "workflows/stage-in-eoepca-s3.cwl").read_text()
    assert read_asset_of_the_chart() == source
    readme = (ROOT / "deploy/eoepca/README.md").read_text()
    names = re.findall(r"^ +(STAGEIN_\w+)=", readme, re.MULTILINE)
    assert ["reference", *names] == list(yaml.safe_load(source)["inputs"])
    values = yaml.safe_load((ROOT / "deploy/eoepca/values.yaml").read_text())
    (secret,) = (one["secretRef"]["name"] for one in values["workflow"]["extraEnvFrom"])
    assert f"kubectl create secret generic {secret} " in readme


def test_stage_in_eoepca_differs_from_stage_in_only_in_its_input() -> None:
    tool, other = (
        yaml.safe_load(path.read_text()) for path in (CWL, ROOT / "workflows/stage-in-eoepca.cwl")
    )
    assert other["inputs"].keys() == {"reference"}
    assert other["outputs"]["staged"]["type"] == tool["outputs"]["staged"]["type"]
    for field in ("cwlVersion", "class", "baseCommand", "hints", "temporaryFailCodes"):
        assert other[field] == tool[field]
    for requirement in ("NetworkAccess", "ResourceRequirement"):
        assert other["requirements"][requirement] == tool["requirements"][requirement]
    assert "EnvVarRequirement" not in {**other["requirements"], **other["hints"]}
