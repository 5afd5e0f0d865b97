"""The wheel in clean containers: Debian's own Python, pip, and no compilers."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.metadata import read_project
from sandbox.server import Sandbox
from tests.conftest import ROOT, SameTree
from tests.environment import read_pins
from tests.runners.conftest import Engine

pytestmark = pytest.mark.wheel


@pytest.fixture(scope="module")
def images(engine: Engine) -> Iterator[list[str]]:
    """The names of the images to remove at the end, because until then they share layers."""
    names: list[str] = []
    yield names
    engine("rmi", "--force", *names)


@pytest.mark.parametrize("versions", ["newest", "lowest"])
@pytest.mark.parametrize(
    ("suite", "python", "lock"),
    [("bookworm", "3.11", "lowest.lock"), ("trixie", "3.13", "lowest-3.13.lock")],
)
def test_wheel_stages_a_product_in_a_clean_container(
    engine: Engine,
    images: list[str],
    pytestconfig: pytest.Config,
    platform: Sandbox,
    new: Path,
    tmp_path: Path,
    assert_same_tree: SameTree,
    suite: str,
    python: str,
    lock: str,
    versions: str,
) -> None:
    """pip resolves the newest versions as for users; the lowest are those of a lock file."""
    context = tmp_path / "context"
    context.mkdir()
    (wheel,) = Path(pytestconfig.getoption("--wheel")).glob("*.whl")
    shutil.copy(wheel, context)
    pins = read_pins(ROOT / "tests" / lock) if versions == "lowest" else []
    (context / "constraints.txt").write_text("\n".join(pins))
    image = f"stage-in-wheel:{suite}-{versions}"
    built = engine(
        *("build", *shlex.split(os.environ.get("BUILD_OPTIONS", ""))),
        *("--build-arg", f"SUITE={suite}", "--tag", image),
        *("--file", ROOT / "tests/runners/wheel.Containerfile", context),
        timeout=500,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    images.append(image)
    assert_installed(engine, image, python, pins)
    product = stage(engine, image, platform, new.name, tmp_path)
    assert_same_tree(new, product)


def assert_installed(engine: Engine, image: str, python: str, pins: list[str]) -> None:
    """Check the commands, the versions of the packages, and that nothing can compile."""

    def run(*command: str) -> str:
        done = engine("run", "--rm", image, *command)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    version = read_project()["version"]
    assert run("python", "--version").startswith(f"Python {python}.")
    assert run("stage-in", "--version") == f"stage-in, version {version}\n"
    assert run("cdse-token", "--help").startswith("Usage: cdse-token ")
    assert run("python", "-m", "app.app", "--help").startswith("Usage: python -m app.app ")
    assert run("pip", "check") == "No broken requirements found.\n"
    assert not run("/bin/sh", "-c", "command -v gcc cc g++ make || true")
    frozen = run("pip", "freeze").lower().replace("_", "-").splitlines()
    installed = {line for line in frozen if not line.startswith("stage-in ")}
    assert len(installed) > len(read_project()["dependencies"])
    if pins:
        assert installed <= set(pins)


def stage(engine: Engine, image: str, platform: Sandbox, name: str, folder: Path) -> Path:
    """Stage a product in a container, and return the copy of its SAFE folder."""
    variables = {**platform.environment, "CDSE_ACCESS_TOKEN": platform.mint(), "HOME": "/tmp"}
    command = f"stage-in --input-item {platform.item_url(name)} && tar -c catalog"
    run = engine(
        *("run", "--rm", "--network", "host", "--workdir", "/tmp"),
        *(f"--env={variable}={value}" for variable, value in variables.items()),
        *(image, "/bin/sh", "-c", command),
        text=False,
    )
    assert run.returncode == 0, run.stderr.decode()
    subprocess.run(["tar", "-x", "-C", folder], input=run.stdout, check=True)
    return folder / "catalog" / re.sub(r"\.SAFE$", "", name) / name
