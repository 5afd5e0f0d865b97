"""Every version comes from the lock files, and everything else is derived from them."""

import re
import tomllib

from tests.conftest import ROOT
from tests.environment import make_environment, read_pins

TOOL = ROOT / "command-line-tools/stage-in"


def test_environment_yml_is_up_to_date() -> None:
    assert (ROOT / "environment.yml").read_text() == make_environment()


def test_the_tests_use_the_versions_of_the_image_and_the_demonstrations() -> None:
    tool, demo, tests = (
        {pin.partition(" ;")[0] for pin in read_pins(folder / "requirements.lock")}
        for folder in (TOOL, ROOT / "sandbox", ROOT / "tests")
    )
    assert tool <= demo <= tests
    names = {pin.partition("==")[0] for pin in tool}
    project = tomllib.loads((TOOL / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[\[=<>]", name)[0] for name in project["dependencies"]}
    assert declared <= names


DESCRIBED = ("stage-in-app.cwl", "stage-in-eoepca.cwl", "stage-in-eoepca-s3.cwl")


def test_one_version_everywhere() -> None:
    project = tomllib.loads((TOOL / "pyproject.toml").read_text())["project"]
    version = project["version"]
    folders = (ROOT / "workflows", ROOT / "tests/cwl/eoepca")
    files = [ROOT / "stage-in.cwl", *(path for folder in folders for path in folder.glob("*.cwl"))]
    texts = {path.name: path.read_text() for path in files}
    images = {name: re.findall(r'dockerPull: *"?([^\s"}]+)', text) for name, text in texts.items()}
    (image,) = images["stage-in.cwl"]
    assert image.endswith(f"/stage-in:{version}")
    assert {found for names in images.values() for found in names} == {image}
    described = {
        name: re.findall('^s:softwareVersion: "(.*)"', text, re.MULTILINE)
        for name, text in texts.items()
        if "s:name: stage-in\n" in text
    }
    assert described == {name: [version] for name in DESCRIBED}
    assert f'"version": "{version}"' in (ROOT / "codemeta.json").read_text()
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()
