"""The image that stage-in.cwl names, in the engine that `--engine` names."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

# What an engine needs of our environment, next to PATH.
ENGINE_SETTINGS = ("CONTAINERS_CONF", "CONTAINER_HOST", "DOCKER_HOST", "XDG_RUNTIME_DIR")


@dataclass(frozen=True)
class Engine:
    """A container engine with docker's command line."""

    name: str

    @property
    def environment(self) -> dict[str, str]:
        """What its commands need, for a process that starts them."""
        return {name: os.environ[name] for name in ENGINE_SETTINGS if name in os.environ}

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of the engine to its end."""
        return subprocess.run(
            [self.name, *arguments], capture_output=True, text=True, timeout=120
        )

    def inspect(self, name: str) -> dict[str, Any]:
        """What the engine knows of an image or a container."""
        (found,) = json.loads(self("inspect", name).stdout or "[{}]")
        return dict(found)


@pytest.fixture(scope="session")
def engine(pytestconfig: pytest.Config) -> Engine:
    """The engine; that it isn't there is a failure."""
    engine = Engine(pytestconfig.getoption("--engine"))
    version = engine("version")
    assert version.returncode == 0, version.stderr
    return engine


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    """The name of the image, which the engine has."""
    tool = yaml.safe_load((ROOT / "stage-in.cwl").read_text())
    name = str(tool["hints"]["DockerRequirement"]["dockerPull"])
    assert engine.inspect(name), f"no image {name}: build it by `make image`"
    return name
