"""deploy/openeo: what its README sends to openEO runs with the variables that openEO sets."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.server import Sandbox
from tests.blocks import ITEM, read_blocks
from tests.conftest import ROOT
from tests.cwl_runs import (
    CWL,
    OPENEO,
    assert_only_s3,
    assert_valid,
    cwltool,
    find_files_with,
    serve_real_item,
)
from tests.landcover import read_covers
from tests.openeo_backend import serve_openeo

DEPLOY = ROOT / "deploy/openeo"
PACKAGE = DEPLOY / "package.cwl"
PYTHON = Path(sys.prefix) / "openeo/bin/python"


def get_process(name: str) -> dict[str, Any]:
    """Return a process of the package."""
    processes = yaml.safe_load(PACKAGE.read_text())["$graph"]
    (found,) = (process for process in processes if process["id"] == name)
    return dict(found)


def run_package(
    udf: str, context: dict[str, Any], folder: Path, variables: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a package as openEO does: a file for it, one for its inputs, variables for its tools."""
    package, order = folder / "package.cwl", folder / "inputs.json"
    package.write_text(udf)
    order.write_text(json.dumps(context))
    preserve = [word for name in variables for word in ("--preserve-environment", name)]
    options = ["--no-container", *preserve, "--outdir", str(folder / "out")]
    return cwltool(*options, package, order, cwd=folder, **variables)


def test_package_is_valid() -> None:
    assert_valid(PACKAGE)


def test_steps_of_the_package_are_those_of_the_project() -> None:
    """The first differs from stage-in.cwl only in what has to do with the token and the folder."""
    tool, step = yaml.safe_load(CWL.read_text()), get_process("stage-in")
    assert step["inputs"].keys() == tool["inputs"].keys() - {"access_token", "output_dir"}
    assert step["inputs"]["assets"] == tool["inputs"]["assets"]
    del tool["requirements"]["EnvVarRequirement"]
    fields = ("class", "baseCommand", "requirements", "hints", "temporaryFailCodes", "label", "doc")
    assert [step[field] for field in fields] == [tool[field] for field in fields]
    source = yaml.safe_load((ROOT / "workflows/classify.cwl").read_text())
    assert {"cwlVersion": source["cwlVersion"], **get_process("classify")} == source


@pytest.mark.slow
def test_package_runs_as_the_client_of_openeo_sends_it(new: Path, tmp_path: Path) -> None:
    """The Python code of the README posts the job; the job then has openEO's variables only."""
    assert PYTHON.exists(), "`make test-slow` installs the client of openEO"
    (block,) = [block for block in read_blocks(DEPLOY / "README.md") if block.language == "python"]
    with Sandbox([new], keys=[OPENEO]) as platform, serve_openeo() as backend:
        variables = platform.s3_environment()
        assert len(variables) == 5
        item = serve_real_item(platform, new.name)
        code, items = ITEM.subn(item, block.text)
        code = code.replace("openeo.dataspace.copernicus.eu", backend.url)
        assert items == 1
        sent = subprocess.run(
            [PYTHON, "-c", code],
            cwd=shutil.copytree(DEPLOY, tmp_path / "openeo"),
            env={
                "HOME": str(tmp_path),
                "PATH": os.environ["PATH"],
                "OPENEO_AUTH_METHOD": "client_credentials",
                "OPENEO_AUTH_CLIENT_ID": "own",
                "OPENEO_AUTH_CLIENT_SECRET": "own",
            },
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert sent.returncode == 0, sent.stderr
        (name,) = backend.started
        graph = backend.jobs[name]["process"]["process_graph"]
        (node,) = [node for node in graph.values() if node["process_id"] == "run_udf"]
        arguments = node["arguments"]
        assert arguments.keys() == {"data", "udf", "runtime", "context"}
        assert (arguments["data"], arguments["runtime"]) == (None, "EOAP-CWL")
        run = run_package(arguments["udf"], arguments["context"], tmp_path, variables)
        assert run.returncode == 0, run.stderr
        assert_only_s3(platform, OPENEO)
        assert {x.header("x-amz-security-token") for x in platform.log.of("s3")} == {OPENEO.session}
    (output,) = json.loads(run.stdout).values()
    assert output["class"] == "Directory"
    assert [path.name for path in (tmp_path / "out").rglob("catalog.json")] == ["catalog.json"]
    covers, _ = read_covers(tmp_path / "out/landcover")
    assert covers.any()
    for secret in (OPENEO.secret, str(OPENEO.session)):
        assert secret not in run.stdout + run.stderr
        assert not find_files_with(secret, tmp_path)
