"""Keys for S3 under CWL runners: in the environment of the tool, and as secret inputs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.server import Sandbox
from tests.conftest import ROOT, SameTree
from tests.cwl_runs import (
    CWL,
    OPENEO,
    assert_only_s3,
    assert_valid,
    cwltool,
    find_files_with,
    serve_real_item,
)

S3 = ROOT / "workflows/stage-in-s3.cwl"
EOEPCA = ROOT / "workflows/stage-in-eoepca-s3.cwl"


def write_order(folder: Path, **inputs: str) -> Path:
    order = folder / "order.yml"
    order.write_text(json.dumps(inputs))
    order.chmod(0o600)
    return order


def check_secret_keys(
    platform: Sandbox,
    folder: Path,
    new: Path,
    assert_same_tree: SameTree,
    *options: str,
    **environment: str,
) -> None:
    """Stage a product with keys as inputs, and check that only the job order has them."""
    platform.s3.keys = {OPENEO.access: OPENEO}
    order = write_order(
        folder,
        item=serve_real_item(platform, new.name),
        access_key=OPENEO.access,
        secret_key=OPENEO.secret,
        session_token=str(OPENEO.session),
        endpoint=platform.origins["s3"],
        region="eodata",
    )
    run = cwltool(
        *(*options, "--provenance", folder / "provenance", "--outdir", folder / "out", S3, order),
        cwd=folder,
        **environment,
    )
    assert run.returncode == 0, run.stderr
    assert_only_s3(platform, OPENEO)
    assert_same_tree(new, folder / "out/catalog" / new.stem / new.name)
    assert (folder / "provenance/workflow/primary-job.json").is_file()
    for secret in (OPENEO.access, OPENEO.secret, str(OPENEO.session)):
        assert secret not in run.stdout + run.stderr
        assert find_files_with(secret, folder) == {Path("order.yml")}


@pytest.mark.parametrize("runner", [None, "cwltool"])
def test_the_environment_of_openeo_is_enough(
    new: Path, tmp_path: Path, runner: str | None, assert_same_tree: SameTree
) -> None:
    with Sandbox([new], keys=[OPENEO]) as platform:
        variables = platform.s3_environment()
        assert variables == {
            "AWS_ENDPOINT_URL_S3": platform.origins["s3"],
            "AWS_REGION": "eodata",
            "AWS_ACCESS_KEY_ID": OPENEO.access,
            "AWS_SECRET_ACCESS_KEY": OPENEO.secret,
            "AWS_SESSION_TOKEN": OPENEO.session,
        }
        item = serve_real_item(platform, new.name)
        if runner:
            preserve = [word for name in variables for word in ("--preserve-environment", name)]
            order = write_order(tmp_path, item=item)
            run = cwltool("--no-container", *preserve, CWL, order, cwd=tmp_path, **variables)
        else:
            run = subprocess.run(
                [Path(sys.executable).with_name("stage-in"), "--input-item", item],
                cwd=tmp_path,
                env=variables,
                capture_output=True,
                text=True,
                timeout=100,
            )
        assert run.returncode == 0, run.stderr
        assert_only_s3(platform, OPENEO)
        assert {x.header("x-amz-security-token") for x in platform.log.of("s3")} == {OPENEO.session}
        assert_same_tree(new, tmp_path / "catalog" / new.stem / new.name)
        for secret in (OPENEO.secret, str(OPENEO.session)):
            assert secret not in run.stdout + run.stderr
            assert not find_files_with(secret, tmp_path)


def test_keys_are_secret_inputs(
    platform: Sandbox, tmp_path: Path, new: Path, assert_same_tree: SameTree
) -> None:
    """Neither the log nor the provenance of cwltool has them, and nothing needs a token."""
    check_secret_keys(platform, tmp_path, new, assert_same_tree, "--no-container")


def test_stage_in_s3_is_valid() -> None:
    assert_valid(S3)


def test_tools_for_s3_differ_from_the_others_only_in_their_inputs_and_variables() -> None:
    def read(path: Path) -> dict[str, Any]:
        document: dict[str, Any] = yaml.safe_load(path.read_text())
        return document

    for tool, other, extra in (
        (read(CWL), read(S3), {"access_key", "secret_key", "session_token", "endpoint", "region"}),
        (
            read(ROOT / "workflows/stage-in-eoepca.cwl"),
            read(EOEPCA),
            {
                *("STAGEIN_AWS_SERVICEURL", "STAGEIN_AWS_REGION"),
                *("STAGEIN_AWS_ACCESS_KEY_ID", "STAGEIN_AWS_SECRET_ACCESS_KEY"),
            },
        ),
    ):
        shared = tool["inputs"].keys() - {"access_token"}
        assert other["inputs"].keys() == shared | extra
        for name in shared:
            assert other["inputs"][name] == tool["inputs"][name]
        for field in ("cwlVersion", "class", "baseCommand", "outputs", "temporaryFailCodes"):
            assert other[field] == tool[field]
        for one in (tool, other):
            one["requirements"].pop("EnvVarRequirement", None)
            one["hints"].pop("cwltool:Secrets", None)
        assert (other["requirements"], other["hints"]) == (tool["requirements"], tool["hints"])
