"""stage-in-eoepca.cwl under Calrissian, the runner of EOEPCA's platforms."""

from pathlib import Path

import pytest
import yaml

from sandbox.server import Sandbox
from tests.conftest import ROOT, SameTree
from tests.runners.calrissian import Calrissian
from tests.runners.conftest import Engine
from tests.runners.pods import Node
from tests.web import URI

pytestmark = pytest.mark.runner


def test_token_comes_with_the_environment_of_the_pod(
    platform: Sandbox,
    engine: Engine,
    image: str,
    tmp_path: Path,
    new: Path,
    assert_same_tree: SameTree,
) -> None:
    tool = yaml.safe_load((ROOT / "workflows/stage-in-eoepca.cwl").read_text())
    # Calrissian would fetch the type from the Web, which the tests must not use.
    (tool["inputs"]["reference"]["type"],) = yaml.safe_load(URI)
    del tool["requirements"]["SchemaDefRequirement"]
    folder, volume, scratch = (tmp_path / name for name in ("job", "volume", "scratch"))
    for one in (folder, volume, scratch):
        one.mkdir()
    calrissian = Calrissian(platform, Node(engine, scratch, {"stage-in": volume}), folder)
    token = platform.mint()
    run = calrissian(
        tool,
        environment={"CDSE_ACCESS_TOKEN": token},
        reference={"value": platform.item_url(new.name)},
    )
    assert run.code == 0, run.log
    assert run.variables["CDSE_ACCESS_TOKEN"] == token
    assert token not in run.log
    (catalog,) = run.results.rglob("catalog.json")
    assert_same_tree(new, catalog.parent / new.stem / new.name)
