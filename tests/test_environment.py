"""One source of versions: the locks, from which all else is written."""

import re
import tomllib

from tests.conftest import ROOT
from tests.environment import make_environment, read_pins

TOOL = ROOT / "command-line-tools/stage-in"


def test_environment_is_that_of_the_lock() -> None:
    assert (ROOT / "environment.yml").read_text() == make_environment()


def test_tests_run_with_what_the_image_has() -> None:
    tool, tests = (
        {pin.partition(" ;")[0] for pin in read_pins(folder / "requirements.lock")}
        for folder in (TOOL, ROOT / "tests")
    )
    assert tool <= tests
    names = {pin.partition("==")[0] for pin in tool}
    project = tomllib.loads((TOOL / "pyproject.toml").read_text())["project"]
    asked = {re.split("[=<>]", name)[0] for name in project["dependencies"]}
    assert asked <= names


def test_one_version_everywhere() -> None:
    project = tomllib.loads((TOOL / "pyproject.toml").read_text())["project"]
    version = project["version"]
    assert f"dockerPull: stage-in:{version}\n" in (ROOT / "stage-in.cwl").read_text()
    assert f'"version": "{version}"' in (ROOT / "codemeta.json").read_text()
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()
