"""Each CWL file with the jobs that it must do and those that it must refuse: tests/cwl."""

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
from tests.suite import Suite, list_cwl_files, read_tests, write_suite
from tests.test_cwl import CWL, cwltool
from tests.test_package import run_program
from tests.web import serve_schema

REFUSED = [test for test in read_tests() if test.get("should_fail")]


@pytest.fixture
def suite(
    platform: Sandbox, stage_in: StageIn, tmp_path: Path, new: Path, old: Path
) -> Iterator[Suite]:
    with serve_schema(tmp_path) as variables:
        yield write_suite(tmp_path / "suite", platform, stage_in, (new, old), variables)


def embeds(path: Path) -> bool:
    """Whether a CWL file stages: it is stage-in.cwl, runs it, or runs the same command."""
    document = yaml.safe_load(path.read_text())
    steps = document.get("steps", {}).values()
    return document.get("baseCommand") == "stage-in" or any(
        embeds(path.parent / step["run"]) for step in steps
    )


@pytest.mark.parametrize("path", list_cwl_files(), ids=lambda path: path.name)
def test_no_cwl_file_is_left_out(path: Path) -> None:
    tags = {tag for test in read_tests() if test["tool"] == str(path) for tag in test["tags"]}
    wrong = {"missing-token", "wrong-item"} if embeds(path) else {"wrong-input"}
    assert tags == {"valid", *wrong}


def test_all_cwl_files_are_known() -> None:
    """No CWL file is anywhere else, but for those that tests are made of."""
    folders = {path.parent for path in list_cwl_files()} | {ROOT / "tests/cwl/eoepca"}
    ignored = re.compile(r"/(\.[^/]*|build|demo|dist)/|/stage-in\.app\.cwl$")
    found = [
        path for path in ROOT.rglob("*.cwl") if not ignored.search(f"/{path.relative_to(ROOT)}")
    ]
    assert len(found) > 5
    assert {path.parent for path in found} == folders


@pytest.mark.slow
def test_suite(suite: Suite) -> None:
    assert suite("--no-container") == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("stage-in", {"should_fail": True}),
        ("stage-in-no-token", {"should_fail": False, "output": {"staged": "Any"}}),
        ("stage-in-bands", {"output": {"staged": {"class": "Directory", "location": "b"}}}),
        (
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
    ],
    ids=["must fail", "must not fail", "another folder", "a file that isn't there"],
)
def test_suite_can_fail(suite: Suite, name: str, change: dict[str, Any]) -> None:
    (test,) = (test for test in suite.tests if test["id"] == name)
    suite.file.write_text(json.dumps([test]))
    assert suite("--no-container") == {}
    suite.file.write_text(json.dumps([{**test, **change}]))
    assert suite("--no-container").keys() == {name}


@pytest.mark.slow
def test_manifest_is_compared(suite: Suite) -> None:
    text = json.dumps(suite.tests[:1])
    (digest,) = set(re.findall(r"sha1\$([0-9a-f]{40})", text))
    suite.file.write_text(text.replace(digest, digest[::-1]))
    assert suite("--no-container").keys() == {"stage-in"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [test["id"] for test in REFUSED])
def test_status(suite: Suite, name: str) -> None:
    """What cwltest can't see: the status, and that the job is refused for what is wrong with it."""
    suite.assert_refused(name, "--no-container")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output", "status"), [("Directory", "permanentFail"), ("Directory?", "temporaryFail")]
)
def test_temporary_failure(suite: Suite, platform: Sandbox, output: str, status: str) -> None:
    """75 is declared temporary; that the output is missing makes it permanent nevertheless."""
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


@pytest.mark.slow
def test_wrapped(suite: Suite, platform: Sandbox) -> None:
    """A platform wraps a package of somebody in stage-in-eoepca.cwl, and runs it."""
    package = ROOT / "tests/cwl/eoepca"
    wrapped = suite.folder / "wrapped.cwl"
    made = run_program(
        *("transpiler-mate", "cwlwrap", f"{package / 'app.cwl'}#copy-catalog", "--output", wrapped),
        *("--directory-stage-in", ROOT / "workflows/stage-in-eoepca.cwl"),
        *("--directory-stage-out", package / "stage-out.cwl"),
        cwd=suite.folder,
        **suite.variables,
    )
    assert made.returncode == 0, made.stderr
    order = suite.folder / "order.yml"
    (reference,) = [
        json.loads((suite.folder / test["job"]).read_text())["reference"]
        for test in suite.tests
        if test["id"] == "eoepca"
    ]
    order.write_text(json.dumps({"product": reference}))
    run = cwltool(
        *("--no-container", "--preserve-environment", "CDSE_TRUSTED_HOSTS"),
        *("--preserve-environment", "CDSE_ACCESS_TOKEN", f"{wrapped}#main", order),
        cwd=suite.folder,
        CDSE_ACCESS_TOKEN=platform.mint(),
        **platform.environment,
        **suite.variables,
    )
    assert run.returncode == 0, run.stderr
    assert "catalog.json" in json.loads(run.stdout)["copied"]["value"].splitlines()


def test_eoepca_is_stage_in() -> None:
    """The two tools differ in their input alone."""
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
