"""workflows/stage-in-secret.cwl: what cwltool writes about a run, the token is not in it."""

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from sandbox.server import Sandbox
from tests.conftest import ROOT
from tests.test_cwl import CWL, cwltool

SECRET = ROOT / "workflows/stage-in-secret.cwl"


def find(token: str, folder: Path) -> set[Path]:
    """The files below a folder that hold a token."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder) for path in files if token.encode() in path.read_bytes()}


def read_ports(document: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """What a process takes and gives: names, types, defaults, labels."""
    process = yaml.safe_load(document.read_text())
    return {
        kind: {
            name: {key: value for key, value in port.items() if key in {"type", "default", "label"}}
            for name, port in process[kind].items()
        }
        for kind in ("inputs", "outputs")
    }


def run_with_provenance(
    platform: Sandbox, folder: Path, document: Path, **inputs: Any
) -> CompletedProcess[str]:
    """Run a document without a container, with `provenance` and `out` below the folder."""
    params = folder / "params.yml"
    params.write_text(json.dumps(inputs))
    return cwltool(
        *("--no-container", "--preserve-environment", "CDSE_TRUSTED_HOSTS"),
        *("--provenance", folder / "provenance", "--outdir", folder / "out", document, params),
        cwd=folder,
        **platform.environment,
    )


def test_valid() -> None:
    """The hint is an extension of cwltool's, known to it with --enable-ext."""
    checked = cwltool("--enable-ext", "--validate", "--strict", SECRET, cwd=ROOT)
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


def test_ports_are_those_of_the_tool() -> None:
    assert read_ports(SECRET) == read_ports(CWL)


@pytest.mark.parametrize(
    ("document", "told"), [(SECRET, False), (CWL, True)], ids=["secret", "plain"]
)
def test_provenance(
    platform: Sandbox, tmp_path: Path, new: Path, document: Path, told: bool
) -> None:
    """By itself the tool's token gets into the provenance, though not into the log."""
    token = platform.mint()
    item = platform.item_url(new.name)
    run = run_with_provenance(platform, tmp_path, document, item=item, access_token=token)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "out/catalog/catalog.json").is_file()
    assert (tmp_path / "provenance/workflow/primary-job.json").is_file()
    assert token not in run.stdout + run.stderr
    assert len(find(token, tmp_path / "provenance")) == (8 if told else 0)
    assert not find(token, tmp_path / "out")


def test_failures_are_failures(platform: Sandbox, tmp_path: Path, new: Path) -> None:
    missing = run_with_provenance(platform, tmp_path, SECRET, item=platform.item_url(new.name))
    assert missing.returncode == 1
    assert "CDSE_ACCESS_TOKEN" in missing.stderr
