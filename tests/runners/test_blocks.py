"""The commands for containers that the pages show run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.blocks import PRESERVING, Reader
from tests.conftest import ROOT
from tests.runners.conftest import Engine
from tests.test_blocks import PAGES, list_commands

pytestmark = pytest.mark.runner
TRUSTING = "--env CDSE_TRUSTED_HOSTS --env CDSE_IDENTITY_URL"


def test_commands_for_containers_run(
    engine: Engine, image: str, platform: Sandbox, tmp_path: Path, new: Path
) -> None:
    """They run after the commands for accounts, which they need. `make image` has run before."""
    assert "make image" in (ROOT / ".ci/runners").read_text()
    reader = Reader(tmp_path, platform, platform.item_url(new.name))
    reader.settle()
    # Only overrides can tell a tool in a container to trust the sandbox.
    variables = {"CDSE_ACCESS_TOKEN": "$(inputs.access_token)", **platform.environment}
    requirements = {"EnvVarRequirement": {"envDef": variables}}
    tool = f"{(reader.clone / 'stage-in.cwl').as_uri()}#stage-in"
    overrides = tmp_path / "overrides.json"
    overrides.write_text(json.dumps({"cwltool:overrides": {tool: {"requirements": requirements}}}))
    commands = [block for page in PAGES for block in list_commands(page)]
    for block in commands:
        if not (block.needs_engine or block.needs_account):
            continue
        options = PRESERVING
        if block.needs_engine:
            options = f"--custom-net host --overrides {overrides}"
        text = block.text.replace("make image", "true")
        # The container has to reach and trust the sandbox.
        text = text.replace("podman run", f"podman run --network host {TRUSTING}")
        if engine.name != "podman":
            text = text.replace("--podman ", "").replace("--userns keep-id ", "")
            text = text.replace("podman run", f"{engine.name} run")
        run = reader.run(replace(block, text=text), CWLTOOL_OPTIONS=options, **engine.environment)
        assert run.returncode == 0, f"{block.place}\n{run.stdout}{run.stderr}"
        if block.needs_engine and "cwltool" in text:
            assert image in run.stderr  # cwltool logs the command that starts the container
    assert any(block.needs_engine for block in commands)
