"""What cwltool writes about a run in a container, which it starts by a command with variables."""

from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.runners.conftest import Engine
from tests.runners.orders import write_order
from tests.test_cwl import CWL, cwltool
from tests.test_secret import SECRET, find

pytestmark = pytest.mark.runner


@pytest.mark.parametrize(
    ("document", "told"), [(SECRET, False), (CWL, True)], ids=["secret", "plain"]
)
def test_log_and_provenance(
    engine: Engine,
    image: str,
    platform: Sandbox,
    tmp_path: Path,
    new: Path,
    document: Path,
    told: bool,
) -> None:
    token = platform.mint()
    item = platform.item_url(new.name)
    run = cwltool(
        *([f"--{engine.name}"] if engine.name != "docker" else []),
        *("--custom-net", "host", "--provenance", tmp_path / "provenance"),
        *("--outdir", tmp_path / "out", document),
        write_order(tmp_path, platform.environment, item=item, access_token=token),
        cwd=tmp_path,
        **engine.environment,
    )
    assert run.returncode == 0, run.stderr
    assert image in run.stderr
    assert (tmp_path / "out/catalog/catalog.json").is_file()
    assert (tmp_path / "provenance/workflow/primary-job.json").is_file()
    assert (token in run.stderr) is told
    assert bool(find(token, tmp_path / "provenance")) is told
    assert not find(token, tmp_path / "out")
    assert token not in run.stdout
