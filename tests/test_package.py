"""The Application Package: what the one file contains, and what four validators find in it."""

import json
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.server import Sandbox
from tests.conftest import ROOT, SameTree
from tests.cwl_runs import PRESERVE_TRUST, cwltool, run_package_program

pytestmark = pytest.mark.slow

PROCESS = "stage-in-app"
# Findings that are accepted: the image is a hint, as `--no-container` would not work otherwise, and
# whoever publishes the package adds an address for questions and a link to its documentation.
FOR_REVIEW = {
    ("EOAP.CONTAINER.HINT", "stage-in/hints"),
    ("TM.METADATA.QUALITY", "metadata/author/email"),
    ("TM.METADATA.QUALITY", "metadata/softwareHelp"),
}

Check = Callable[[Path], list[str]]
Damage = Callable[[dict[str, Any]], object]


def find(parts: list[Any], name: str) -> Any:
    """Return the process, or the input or output of a process, that has an id."""
    (part,) = (part for part in parts if part["id"] == name)
    return part


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package that `make package` writes."""
    bundle = tmp_path_factory.mktemp("package") / "stage-in.app.cwl"
    made = subprocess.run(
        ["make", "--directory", ROOT, "package", f"PACKAGE={bundle}"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert made.returncode == 0, made.stderr
    return bundle


def check_eoap_validator(bundle: Path) -> list[str]:
    """Return what eoap-validator finds; it exits with 0 even for checks that were "blocked"."""
    run = run_package_program(
        *("eoap-validator", f"{bundle}#{PROCESS}", "--format", "json"),
        *("--profile", "eoap-package", "--profile", "metadata"),
        cwd=bundle.parent,
    )
    report = json.loads(run.stdout)
    complaints = [
        f"{finding['rule_id']}: {finding['message']}"
        for finding in report["findings"]
        if finding["status"] not in ("passed", "not-applicable")
        and (finding["rule_id"], finding["location"]["path"]) not in FOR_REVIEW
    ]
    if run.returncode:
        complaints.append(f"exit code {run.returncode}")
    return complaints


def loosen_arrays(document: dict[str, Any]) -> None:
    """Replace optional arrays by arrays: ogc-ap-validator 0.5 fails on them with a traceback."""
    for process in document["$graph"]:
        for port in process["inputs"]:
            match port["type"]:
                case ["null", {"type": "array"} as array]:
                    port["type"] = array


def check_ap_validator(bundle: Path) -> list[str]:
    """Return what ap-validator finds, except that a stage-in has no input of type Directory."""
    document = yaml.safe_load(bundle.read_text())
    loosen_arrays(document)
    copy = bundle.with_suffix(".arrays.cwl")
    copy.write_text(yaml.safe_dump(document, sort_keys=False))
    run = run_package_program(
        *("ap-validator", "--detail", "all", "--format", "json", copy), cwd=bundle.parent
    )
    if not run.stdout:
        return [run.stderr]
    report = json.loads(run.stdout)
    complaints = [
        issue["message"]
        for issue in report["issues"]
        if issue["type"] != "note" and issue["req"] not in ("req-12", "req-13")
    ]
    if run.returncode or not report["valid"]:
        complaints.append(f"exit code {run.returncode}")
    return complaints


def check_cwltool(bundle: Path) -> list[str]:
    """Return what cwltool finds in the file and in the workflow; it exits with 0 after warnings."""
    complaints = []
    for name in (str(bundle), f"{bundle}#{PROCESS}"):
        run = cwltool("--validate", "--strict", name, cwd=bundle.parent)
        clean = run.returncode == 0 and "is valid CWL" in run.stdout
        lines = run.stderr.splitlines()
        if not clean or any(
            "WARNING" in line and "no default process" not in line for line in lines
        ):
            complaints.append(run.stdout + run.stderr)
    return complaints


def check_cwl2ogc(bundle: Path) -> list[str]:
    """Return what cwl2ogc could not convert, and therefore left out of the OGC process."""
    output = bundle.with_suffix(".json")
    output.unlink(missing_ok=True)
    run = run_package_program(
        *("transpiler-mate", "cwl2ogc", "--output", output, bundle), cwd=bundle.parent
    )
    if run.returncode:
        return [run.stderr]
    workflow = find(yaml.safe_load(bundle.read_text())["$graph"], PROCESS)
    process = json.loads(output.read_text()).get(PROCESS, {})
    complaints = [
        f"no {field}" for field in ("version", "title", "description") if not process.get(field)
    ]
    for ports in ("inputs", "outputs"):
        expected = {port["id"] for port in workflow[ports]}
        found = {name for name, port in process.get(ports, {}).items() if port.get("schema")}
        if found != expected:
            complaints.append(f"{ports}: expected {expected}, found {found}")
    return complaints


CHECKS: list[Check] = [check_eoap_validator, check_ap_validator, check_cwltool, check_cwl2ogc]


def test_package_is_one_file_with_the_metadata_of_the_project(bundle: Path) -> None:
    document = yaml.safe_load(bundle.read_text())
    pyproject = ROOT / "command-line-tools/stage-in/pyproject.toml"
    project = tomllib.loads(pyproject.read_text())["project"]
    assert document["s:softwareVersion"] == project["version"]
    assert document["s:description"] == project["description"]
    assert document["s:license"].endswith(f"/{project['license']}")
    assert document["s:keywords"] == project["keywords"]
    workflow, tool = (find(document["$graph"], name) for name in (PROCESS, "stage-in"))
    assert [step["run"] for step in workflow["steps"]] == ["#stage-in"]
    source = yaml.safe_load((ROOT / "stage-in.cwl").read_text())
    assert tool["hints"] == [{"class": "DockerRequirement", **source["hints"]["DockerRequirement"]}]
    # The workflow passes on every input of the tool, and the bundle keeps their defaults.
    names = list(source["inputs"])
    assert [port["id"] for port in workflow["inputs"]] == names
    assert [port["source"] for port in workflow["steps"][0]["in"]] == names
    for ports in (workflow["inputs"], tool["inputs"]):
        assert {port["id"]: port.get("default") for port in ports} == {
            name: port.get("default") for name, port in source["inputs"].items()
        }
    assert tool["temporaryFailCodes"] == source["temporaryFailCodes"]


def test_texts_have_no_apostrophes(bundle: Path) -> None:
    """A runner based on Argo rewrites quotes in documents."""
    document = yaml.safe_load(bundle.read_text())
    texts = [
        text
        for process in document["$graph"]
        for part in (process, *process["inputs"], *process["outputs"], *process.get("steps", []))
        for text in (part.get("label", ""), part.get("doc", ""))
    ]
    assert len([text for text in texts if text]) > 20
    assert not [text for text in texts if "'" in text]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_validator_finds_nothing(bundle: Path, check: Check) -> None:
    assert check(bundle) == []


def get_process(document: dict[str, Any], name: str) -> Any:
    """Return a process of a package, to edit it."""
    return find(document["$graph"], name)


def get_item(document: dict[str, Any], name: str) -> Any:
    """Return the input `item` of a process of a package, to edit it."""
    return find(get_process(document, name)["inputs"], "item")


DAMAGES: list[tuple[str, Check, Damage, str]] = [
    (
        "input without doc",
        check_eoap_validator,
        lambda document: get_item(document, PROCESS).pop("doc"),
        "EOAP.REQ10.DOC",
    ),
    (
        "tool without an image",
        check_eoap_validator,
        lambda document: get_process(document, "stage-in").pop("hints"),
        "EOAP.REQ8.DOCKER",
    ),
    (
        "input of the tool without label",  # a warning, exit code 0
        check_eoap_validator,
        lambda document: get_item(document, "stage-in").pop("label"),
        "EOAP.CLT.INPUT.LABEL",
    ),
    (
        "no author",
        check_eoap_validator,
        lambda document: document.pop("s:author"),
        "TM.METADATA.MODEL",
    ),
    (
        "no version",
        check_ap_validator,
        lambda document: document.pop("s:softwareVersion"),
        "softwareVersion",
    ),
    (
        "workflow without doc",
        check_ap_validator,
        lambda document: get_process(document, PROCESS).pop("doc"),
        "Missing element for Workflow",
    ),
    (
        "outputs are strings",  # a hint, exit code 0
        check_ap_validator,
        lambda document: [
            process["outputs"][0].update(type="string") for process in document["$graph"]
        ],
        "No output of type",
    ),
    (
        "unknown field",
        check_cwltool,
        lambda document: get_process(document, PROCESS).update(colour="red"),
        "colour",
    ),
    (
        "source of another type",
        check_cwltool,
        lambda document: get_item(document, PROCESS).update(type="int"),
        "is incompatible",
    ),
    (
        "no metadata",
        check_cwl2ogc,
        lambda document: document.pop("s:name"),
        "name",
    ),
    (
        "a type that has no schema",  # exit code 0
        check_cwl2ogc,
        lambda document: get_item(document, PROCESS).update(type="Any"),
        "inputs: expected",
    ),
]


@pytest.mark.parametrize(
    ("check", "damage", "complaint"),
    [pytest.param(*damage, id=name) for name, *damage in DAMAGES],
)
def test_validator_finds_what_is_wrong(
    bundle: Path, tmp_path: Path, check: Check, damage: Damage, complaint: str
) -> None:
    document = yaml.safe_load(bundle.read_text())
    damage(document)
    broken = tmp_path / "broken.cwl"
    broken.write_text(yaml.safe_dump(document, sort_keys=False))
    assert complaint in "\n".join(check(broken))


def test_ap_validator_still_fails_on_optional_arrays(bundle: Path) -> None:
    """When this fails, `loosen_arrays` is no longer needed."""
    run = run_package_program("ap-validator", bundle, cwd=bundle.parent)
    assert run.returncode == 1
    assert "'list' object has no attribute 'items'" in run.stderr


def test_package_stages_a_product(
    bundle: Path, platform: Sandbox, tmp_path: Path, new: Path, assert_same_tree: SameTree
) -> None:
    params = tmp_path / "params.yml"
    inputs = {"item": platform.item_url(new.name), "access_token": platform.mint()}
    params.write_text(json.dumps({**inputs, "output_dir": "first"}))
    run = cwltool(
        *("--no-container", *PRESERVE_TRUST),
        *("--outdir", tmp_path / "out", f"{bundle}#{PROCESS}", params),
        cwd=tmp_path,
        **platform.environment,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["staged"]["basename"] == "first"
    assert_same_tree(new, tmp_path / "out" / "first" / new.stem / new.name)
