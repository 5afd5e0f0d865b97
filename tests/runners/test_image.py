"""The image by itself."""

import pytest

from tests.runners.conftest import Engine

pytestmark = pytest.mark.runner


def test_help(engine: Engine, image: str) -> None:
    run = engine("run", "--rm", "--read-only", "--user", "12345:0", image, "stage-in", "--help")
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("Usage: stage-in [OPTIONS]")
