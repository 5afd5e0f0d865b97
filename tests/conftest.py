"""What most tests share: products, a sandbox that serves them, and runs of the command."""

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from sandbox.product import NEW, OLD, make_product
from sandbox.server import Sandbox
from stage_in import secrets

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
PIXELS = 192  # side of the 10 m rasters: the products have half a megabyte
# Seconds for tests with these markers; for all others, pyproject.toml sets the limit.
TIME_LIMITS = {
    **{"slow": 400, "runner": 1000, "slurm": 1000},
    **{"reader": 300, "wheel": 1000, "kubernetes": 500},
}

# By default hypothesis tries the same examples in each run; `make fuzz` tries many new ones.
settings.register_profile("default", derandomize=True, deadline=None, max_examples=100)
settings.register_profile("fuzz", deadline=None, max_examples=20_000)
settings.load_profile("default")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("stage-in")
    group.addoption("--engine", metavar="NAME", help="container engine for the tests of runners")
    group.addoption("--slurm", action="store_true", help="run the tests that need Slurm")
    group.addoption("--readers", action="store_true", help="run the tests of reading libraries")
    group.addoption("--wheel", metavar="DIR", help="folder of the wheel for its tests")
    group.addoption("--kubernetes", action="store_true", help="run the tests that need a cluster")


def pytest_configure(config: pytest.Config) -> None:
    """Draw one seed for random choices, which the workers of pytest-xdist inherit."""
    os.environ.setdefault("STAGE_IN_SEED", str(random.randrange(10**6)))


def pytest_report_header() -> str:
    return f"seed: STAGE_IN_SEED={os.environ['STAGE_IN_SEED']}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Set time limits, and skip tests of runners and readers unless an option asks for them.

    With the option, a missing engine, Slurm, environment or cluster is a failure.
    """
    for marker, seconds in TIME_LIMITS.items():
        for item in items:
            if item.get_closest_marker(marker) and not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(seconds))
    for marker, wanted, how in (
        ("runner", config.getoption("--engine"), "make test-runners"),
        ("slurm", config.getoption("--slurm"), "make test-slurm"),
        ("reader", config.getoption("--readers"), "make test-readers"),
        ("wheel", config.getoption("--wheel"), "make test-wheel"),
        ("kubernetes", config.getoption("--kubernetes"), "make test-kubernetes"),
    ):
        for item in items:
            if item.get_closest_marker(marker) and not wanted:
                item.add_marker(pytest.mark.skip(reason=f"runs by `{how}`"))


def slow_after(number: int, values: Collection[Any]) -> list[Any]:
    """Return the arguments of a parametrized test, all but the first ones marked as slow.

    The slow ones vary what the first ones test.
    """
    fast, slow = [*values][:number], [*values][number:]
    tuples = (value if isinstance(value, tuple) else (value,) for value in slow)
    return [*fast, *(pytest.param(*value, marks=pytest.mark.slow) for value in tuples)]


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the secrets of other tests: some of them are ordinary words."""
    monkeypatch.setattr(secrets, "_registry", secrets._Registry())


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SAFE folder of the older format, with masks in GML and MD5 checksums."""
    return make_product(tmp_path_factory.mktemp("old"), replace(OLD, pixels=PIXELS))


@pytest.fixture(scope="session")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SAFE folder of the newer format, with masks in JP2, SHA3-256 and RADIO_ADD_OFFSET."""
    return make_product(tmp_path_factory.mktemp("new"), replace(NEW, pixels=PIXELS))


@pytest.fixture
def bare(tmp_path: Path, new: Path) -> Path:
    """A product with two empty folders, HTML and rep_info, as some products have."""
    safe = tmp_path / "bare" / new.name
    shutil.copytree(new, safe)
    for path in (safe / "HTML").iterdir():
        path.unlink()
    manifest = safe / "manifest.safe"
    lines = manifest.read_text()
    for tag in ("dataObject", "xfdu:contentUnit"):
        lines = re.sub(rf'\s*<{tag} ID="HTML_.*?</{tag}>', "", lines, flags=re.DOTALL)
    manifest.write_text(lines)
    return safe


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SAFE folder whose bands arrive in more than one chunk."""
    return make_product(tmp_path_factory.mktemp("large"), replace(NEW, pixels=1098))


@pytest.fixture
def platform(old: Path, new: Path) -> Iterator[Sandbox]:
    """A sandbox of the platform, with both products."""
    with Sandbox([old, new]) as sandbox:
        yield sandbox


@dataclass(frozen=True)
class Run:
    """The exit code and the log of a finished process."""

    code: int
    log: str

    @property
    def reason(self) -> str:
        """The last line of standard error."""
        return self.log.rstrip().rpartition("\n")[2]


@dataclass(frozen=True)
class StageIn:
    """Runs the command as a process against a sandbox.

    Attributes:
        platform: The sandbox.
        folder: The working directory.
        through: A command in front of it, such as one that sets limits.
    """

    platform: Sandbox
    folder: Path
    through: tuple[str, ...] = ()

    def environment(self, **variables: str) -> dict[str, str]:
        """Return a clean environment in which the process finds its programs and the sandbox."""
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONWARNINGS": "error",
            "CDSE_ACCESS_TOKEN": self.platform.mint(),
            **self.platform.environment,
            **variables,
        }

    def start(self, item: str, *options: str, **variables: str) -> subprocess.Popen[str]:
        """Start a process without waiting for its end."""
        return subprocess.Popen(
            [*self.through, sys.executable, "-m", "app.app", "--input-item", item, *options],
            cwd=self.folder,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, item: str, *options: str, **variables: str) -> Run:
        """Run a process and wait for its end."""
        with self.start(item, *options, **variables) as process:
            out, log = process.communicate(timeout=100)
        assert out == ""
        return Run(process.returncode, log)

    def run_python(
        self, code: str, *arguments: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run Python code that uses the package, in place of the command."""
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=self.folder,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture
def stage_in(platform: Sandbox, tmp_path: Path) -> StageIn:
    """The command, in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    return StageIn(platform, folder)


SameTree = Callable[[Path, Path], None]


@pytest.fixture
def assert_same_tree() -> SameTree:
    """A function that compares two folders byte for byte, including empty folders."""

    def assert_same(one: Path, other: Path) -> None:
        diff = subprocess.run(["diff", "-r", one, other], capture_output=True, text=True)
        assert (diff.returncode, diff.stdout) == (0, "")

    return assert_same
