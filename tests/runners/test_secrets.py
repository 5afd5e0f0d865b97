"""What cwltool writes down about a run in a container, whose command has the token's variable."""

from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.cwl_runs import CWL, SECRET, cwltool, find_files_with
from tests.runners.conftest import Engine
from tests.runners.orders import write_order

pytestmark = pytest.mark.runner


@pytest.mark.parametrize(
    ("document", "revealed"), [(SECRET, False), (CWL, True)], ids=["secret workflow", "tool alone"]
)
def test_secret_workflow_keeps_the_token_out_of_log_and_provenance(
    engine: Engine,
    image: str,
    platform: Sandbox,
    tmp_path: Path,
    new: Path,
    document: Path,
    revealed: bool,
) -> None:
    token = platform.mint()
    item = platform.item_url(new.name)
    run = cwltool(
        *engine.options,
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
    assert (token in run.stderr) is revealed
    assert bool(find_files_with(token, tmp_path / "provenance")) is revealed
    assert not find_files_with(token, tmp_path / "out")
    assert token not in run.stdout
