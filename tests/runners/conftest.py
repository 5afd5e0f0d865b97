"""The image that stage-in.cwl names, in the engine that `--engine` names."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cwl_runs import IMAGE

# The variables that an engine needs besides PATH.
SETTINGS = ("HOME", "XDG_RUNTIME_DIR", "CONTAINERS_CONF", "CONTAINER_HOST", "DOCKER_HOST")


@dataclass(frozen=True)
class Engine:
    """A container engine with docker's command line."""

    name: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables for a process that runs its commands."""
        return {name: os.environ[name] for name in SETTINGS if name in os.environ}

    @property
    def options(self) -> list[str]:
        """The options by which cwltool and Toil use it."""
        return [] if self.name == "docker" else [f"--{self.name}"]

    def __call__(self, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run a command of the engine to its end."""
        options = {"text": True, "timeout": 120, **options}
        return subprocess.run([self.name, *arguments], capture_output=True, **options)

    def inspect(self, name: str) -> dict[str, Any]:
        """Return the description of an image or a container; empty if there is none."""
        found = self("inspect", name)
        return dict(json.loads(found.stdout)[0]) if found.returncode == 0 else {}

    @contextmanager
    def container(self, *arguments: str) -> Iterator[str]:
        """Run a container in the background, yield its id, and remove it at the end."""
        run = self("run", "--detach", *arguments)
        assert run.returncode == 0, run.stderr
        container = run.stdout.strip()
        try:
            yield container
        finally:
            self("rm", "--force", container)


@pytest.fixture(scope="session")
def engine(pytestconfig: pytest.Config) -> Engine:
    """The engine; a missing one is a failure."""
    engine = Engine(pytestconfig.getoption("--engine"))
    version = engine("version")
    assert version.returncode == 0, version.stderr
    return engine


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    """The name of the image, which the engine must have."""
    assert engine.inspect(IMAGE), f"no image {IMAGE}: run `make image`"
    return IMAGE
