"""The real thing to test against: products, a sandbox that serves them, our command running."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import settings

from sandbox.product import NEW, OLD, make_product
from sandbox.server import Sandbox

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
PIXELS = 192  # of the 10 m rasters: products of half a megabyte


# What hypothesis tries: the same in each run, for seconds; or other things, for minutes.
settings.register_profile("default", derandomize=True, deadline=None, max_examples=300)
settings.register_profile("fuzz", deadline=None, max_examples=20_000)
settings.load_profile("default")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("stage-in")
    group.addoption("--engine", metavar="NAME", help="container engine of the tests of runners")
    group.addoption("--slurm", action="store_true", help="run the tests that need Slurm")


def pytest_configure(config: pytest.Config) -> None:
    """Draw the seed of what is random once, so that the workers of pytest-xdist have it as well."""
    os.environ.setdefault("STAGE_IN_SEED", str(random.randrange(10**6)))


def pytest_report_header() -> str:
    return f"seed: STAGE_IN_SEED={os.environ['STAGE_IN_SEED']}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs more than Python unless it was asked for; then what lacks is a failure."""
    for marker, asked, how in (
        ("runner", config.getoption("--engine"), "make test-runners"),
        ("slurm", config.getoption("--slurm"), "make test-slurm"),
    ):
        for item in items:
            if item.get_closest_marker(marker) and not asked:
                item.add_marker(pytest.mark.skip(reason=f"run by `{how}`"))


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SAFE folder of the era of GML masks and MD5."""
    return make_product(tmp_path_factory.mktemp("old"), replace(OLD, pixels=PIXELS))


@pytest.fixture(scope="session")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SAFE folder of the era of JP2 masks, SHA3-256 and RADIO_ADD_OFFSET."""
    return make_product(tmp_path_factory.mktemp("new"), replace(NEW, pixels=PIXELS))


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SAFE folder whose bands come in more than one chunk."""
    return make_product(tmp_path_factory.mktemp("large"), replace(NEW, pixels=1098))


@pytest.fixture
def platform(old: Path, new: Path) -> Iterator[Sandbox]:
    """The platform on this machine, with both products."""
    with Sandbox([old, new]) as sandbox:
        yield sandbox


@dataclass(frozen=True)
class Run:
    """How a process of the command ended."""

    code: int
    log: str

    @property
    def reason(self) -> str:
        """The last line of standard error."""
        return self.log.rstrip().rpartition("\n")[2]


@dataclass(frozen=True)
class StageIn:
    """Runs the command as a process, in a folder of its own, against a sandbox.

    Attributes:
        platform: The sandbox.
        folder: Where it runs.
        through: The command that starts it, such as one that sets limits.
    """

    platform: Sandbox
    folder: Path
    through: tuple[str, ...] = ()

    def environment(self, **variables: str) -> dict[str, str]:
        """A clean environment: what the process needs, and how to reach the sandbox."""
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONWARNINGS": "error",
            "CDSE_ACCESS_TOKEN": self.platform.mint(),
            **self.platform.environment,
            **variables,
        }

    def start(self, item: str, *options: str, **variables: str) -> subprocess.Popen[str]:
        """Start a process and don't wait for it."""
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
        """Run a process to its end."""
        with self.start(item, *options, **variables) as process:
            out, log = process.communicate(timeout=60)
        assert out == ""
        return Run(process.returncode, log)


@pytest.fixture
def stage_in(platform: Sandbox, tmp_path: Path) -> StageIn:
    """The command, in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    return StageIn(platform, folder)


SameTree = Callable[[Path, Path], None]


@pytest.fixture
def assert_same_tree() -> SameTree:
    """Compare two folders byte for byte, empty folders included."""

    def assert_same(one: Path, other: Path) -> None:
        diff = subprocess.run(["diff", "-r", one, other], capture_output=True, text=True)
        assert (diff.returncode, diff.stdout) == (0, "")

    return assert_same
