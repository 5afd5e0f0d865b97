"""stage-in.cwl under the reference runner, in the container of its hint."""

import re
from pathlib import Path

import certifi
import pytest

from sandbox.server import Sandbox
from tests.conftest import SameTree
from tests.cwl_runs import CWL, cwltool, stage
from tests.runners.conftest import Engine
from tests.runners.orders import write_order
from tests.test_cwl_s3 import check_secret_keys

pytestmark = pytest.mark.runner


def test_container_stages_what_the_command_stages(
    engine: Engine,
    image: str,
    platform: Sandbox,
    tmp_path: Path,
    new: Path,
    assert_same_tree: SameTree,
) -> None:
    token = platform.mint()
    item = platform.item_url(new.name)
    inside, outside, ids = (tmp_path / name for name in ("inside", "outside", "ids"))
    for folder in (inside, outside, ids):
        folder.mkdir()
    order = write_order(inside, platform.environment, item=item, access_token=token)
    run = cwltool(
        *engine.options,
        *("--custom-net", "host", "--leave-container", "--record-container-id"),
        *("--cidfile-dir", ids, CWL, order),
        cwd=inside,
        **engine.environment,
    )
    assert run.returncode == 0, run.stderr
    (cid,) = ids.iterdir()
    container = engine.inspect(cid.read_text())
    engine("rm", "--force", cid.read_text())
    assert container["Image"].removeprefix("sha256:") == engine.inspect(image)["Id"].removeprefix(
        "sha256:"
    )
    assert container["HostConfig"]["ReadonlyRootfs"]
    assert int(container["Config"]["User"].partition(":")[0]) > 0
    assert f"CDSE_ACCESS_TOKEN={token}" in container["Config"]["Env"]

    assert stage(platform, outside, item=item).returncode == 0
    assert_same_tree(inside / "catalog", outside / "catalog")
    assert_same_tree(new, inside / "catalog" / new.stem / new.name)


def test_keys_for_s3_are_secret_inputs(
    engine: Engine,
    image: str,
    platform: Sandbox,
    tmp_path: Path,
    new: Path,
    assert_same_tree: SameTree,
) -> None:
    options = engine.options
    options += ["--custom-net", "host"]
    check_secret_keys(platform, tmp_path, new, assert_same_tree, *options, **engine.environment)


@pytest.mark.parametrize("good", [True, False])
def test_certificates_of_the_job_order_are_read(
    engine: Engine, image: str, platform: Sandbox, tmp_path: Path, new: Path, good: bool
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(Path(certifi.where()).read_text() if good else "no certificate\n")
    inputs = {"item": platform.item_url(new.name), "access_token": platform.mint()}
    run = cwltool(
        *engine.options,
        *("--custom-net", "host", CWL),
        write_order(tmp_path, platform.environment, certificates=bundle, **inputs),
        cwd=tmp_path,
        **engine.environment,
    )
    assert run.returncode == (0 if good else 1), run.stderr
    complaint = re.search(r"certificates that REQUESTS_CA_BUNDLE names can.t be read", run.stderr)
    assert bool(complaint) is not good
