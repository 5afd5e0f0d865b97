"""The cwltest suite in tests/cwl, filled in for a sandbox."""

import hashlib
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any
from xml.etree import ElementTree

import yaml

from sandbox.server import Sandbox
from tests.conftest import ROOT, StageIn
from tests.cwl_runs import CWL, ITEMS, cwltool, run_package_program, serve_real_item

SUITE = ROOT / "tests/cwl"
# The exit code of the tool and a word of its message, by what is wrong with a job.
FAILURES = {
    "missing-token": (77, "CDSE_ACCESS_TOKEN"),
    "missing-keys": (77, "CDSE_S3_ACCESS_KEY"),
    "wrong-item": (66, "404"),
    "wrong-input": (1, "catalog.json"),
}


def list_cwl_files() -> list[Path]:
    """Return the CWL files of the repository, except for those of tests."""
    return [CWL, *sorted((ROOT / "workflows").glob("*.cwl")), *sorted(ROOT.glob("deploy/*/*.cwl"))]


@dataclass(frozen=True)
class Suite:
    """The suite, written for one sandbox.

    Attributes:
        folder: The suite's files, and the outputs of its runs.
        variables: Environment variables for cwltest and cwltool.
    """

    folder: Path
    variables: dict[str, str]

    @property
    def file(self) -> Path:
        """The file with the list of tests."""
        return self.folder / "tests.yml"

    @property
    def tests(self) -> list[dict[str, Any]]:
        """The list of tests, as cwltest reads it."""
        return list(yaml.safe_load(self.file.read_text()))

    def __call__(self, *options: str) -> dict[str, str]:
        """Run the suite, with options for cwltool.

        Returns:
            The failures, by id of the test.
        """
        junit = self.folder / "junit.xml"
        (self.folder / "tmp").mkdir(exist_ok=True)
        run = run_package_program(
            *("cwltest", "--test", self.file, "--junit-xml", junit, "--junit-verbose"),
            *("-j", "2", "--timeout", "120"),
            *("--tool", Path(sys.executable).parent / "cwltool", "--", *options),
            cwd=self.folder,
            timeout=900,
            TMPDIR=str(self.folder / "tmp"),
            **self.variables,
        )
        cases = ElementTree.parse(junit).getroot().findall(".//testcase")
        ran = {str(case.get("file") or case.get("name")): case for case in cases}
        assert len(ran) == len(cases) == len(self.tests)
        wrong = {
            name: "".join(part.get("message", "") + (part.text or "") for part in case)
            for name, case in ran.items()
            if [part for part in case if part.tag in ("failure", "error", "skipped")]
        }
        # A job that succeeds although it should fail is reported on standard error only.
        tests = self.tests
        for number in re.findall(r"^Test (\d+) failed", run.stderr, re.MULTILINE):
            wrong.setdefault(tests[int(number) - 1]["id"], run.stderr)
        assert bool(run.returncode) is bool(wrong), run.stderr
        return wrong

    def assert_refused(self, name: str, *options: str) -> None:
        """Run the job of a test by cwltool, and check why the tool refuses it.

        cwltest sees that a job fails, but neither the tool's exit code nor its message.
        """
        (test,) = (test for test in self.tests if test["id"] == name)
        run = cwltool(
            *(*options, "--outdir", self.folder / "out"),
            *(test["tool"], self.folder / test["job"]),
            cwd=self.folder,
            **self.variables,
        )
        code, reason = FAILURES[test["tags"][0]]
        assert run.returncode == 1
        assert re.search(rf"\[job \S+\] exited with status: {code}\b", run.stderr), run.stderr
        assert reason in run.stderr
        assert "Final process status is permanentFail" in run.stderr


def read_tests() -> list[dict[str, Any]]:
    """Return the list of tests, with only the root of the repository filled in."""
    text = Template((SUITE / "tests.yml").read_text())
    return list(yaml.safe_load(text.safe_substitute(root=ROOT)))


def write_suite(
    folder: Path,
    platform: Sandbox,
    stage_in: StageIn,
    products: tuple[Path, Path],
    variables: dict[str, str],
) -> Suite:
    """Stage the first of a sandbox's two products, and write the suite for both."""
    safe, other = products
    staged = stage_in(platform.item_url(safe.name))
    assert staged.code == 0, staged.log
    (folder / "empty").mkdir(parents=True)
    manifest = hashlib.sha1((safe / "manifest.safe").read_bytes()).hexdigest()
    key = next(iter(platform.s3.keys.values()))
    values = {
        "root": ROOT.as_uri(),
        "item": platform.item_url(safe.name),
        "legacy": platform.item_url(other.name, "legacy"),
        "nothing": platform.item_url(safe.name).replace(safe.stem, "nothing"),
        "token": platform.mint(),
        "real_item": serve_real_item(platform, safe.name),
        "access_key": key.access,
        "secret_key": key.secret,
        "s3": platform.origins["s3"],
        "hosts": platform.environment["CDSE_TRUSTED_HOSTS"],
        "name": safe.stem,
        "other": other.stem,
        "manifest": f"sha1${manifest}",
        "staged": (stage_in.folder / "catalog").as_uri(),
        "empty": (folder / "empty").as_uri(),
        "search": (folder / "search.json").as_uri(),
        "search_wrong": (folder / "search-wrong.json").as_uri(),
    }
    search = json.dumps(
        {
            "type": "FeatureCollection",
            "features": [platform.item(product.name) for product in products],
        }
    )
    (folder / "search.json").write_text(search)
    # Another id than that of any product on the platform.
    unknown = re.sub(r"Products\(.{8}", "Products(ffffffff", search)
    (folder / "search-wrong.json").write_text(unknown)
    (folder / "jobs").mkdir()
    for path in ("tests.yml", *(f"jobs/{job.name}" for job in (SUITE / "jobs").iterdir())):
        text = Template((SUITE / path).read_text()).substitute(values)
        (folder / path).write_text(text)
    # Only overrides can set variables inside of containers.
    definitions = {"CDSE_ACCESS_TOKEN": "$(inputs.access_token)", **platform.environment}
    requirements = {"EnvVarRequirement": {"envDef": definitions}}
    tools = (f"{CWL.as_uri()}#stage-in", f"{ITEMS.as_uri()}#stage-in-items")
    overrides = {tool: {"requirements": requirements} for tool in tools}
    for job in (folder / "jobs").iterdir():
        order = {"cwltool:overrides": overrides, **yaml.safe_load(job.read_text())}
        job.write_text(json.dumps(order))
    return Suite(folder, variables)
