"""Every CWL file with jobs that must succeed and jobs that it must refuse, in containers."""

from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.conftest import StageIn
from tests.runners.conftest import Engine
from tests.suite import write_suite
from tests.web import serve_schema

pytestmark = pytest.mark.runner


def test_suite_passes_in_containers(
    engine: Engine,
    image: str,
    platform: Sandbox,
    stage_in: StageIn,
    tmp_path: Path,
    new: Path,
    old: Path,
) -> None:
    with serve_schema(tmp_path) as variables:
        suite = write_suite(
            tmp_path / "suite",
            platform,
            stage_in,
            (new, old),
            {**engine.environment, **variables},
        )
        options = engine.options
        options += ["--custom-net", "host"]
        assert suite(*options) == {}
        for name in ("stage-in-no-token", "many-wrong-item", "eoepca-wrong-item"):
            suite.assert_refused(name, *options)
