"""Check the metadata of the repository: `python -m deploy.metadata [TAG]`.

command-line-tools/stage-in/pyproject.toml defines the version. Each file that repeats it or other
metadata has to agree. With a tag such as v0.2.0, the dates of a release are required, too.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from deploy import recipe

ROOT = Path(__file__).parents[1]
PROJECT = "command-line-tools/stage-in/pyproject.toml"
# The files that may name the image or the version of a workflow.
NAMING = (
    *("*.cwl", "*.md", "docs/*.md", "workflows/*.cwl", "tests/cwl/*/*.cwl"),
    *("deploy/*/*.cwl", "deploy/*/*.md", "deploy/*/*.py", "deploy/*/*.yaml"),
)
IMAGE = re.compile(r"(?:[\w.:-]+/)*\bstage-in:\d[\w.+-]*")
WORKFLOW = re.compile(r'^s:softwareVersion: "(.*)"', re.MULTILINE)
SECTION = re.compile(r"## \[(?P<version>\d+\.\d+\.\d+)\] - (?P<date>\d{4}-\d\d-\d\d|unreleased)")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def read_pyproject(root: Path = ROOT) -> dict[str, Any]:
    """Return the content of the distribution's pyproject.toml."""
    return tomllib.loads((root / PROJECT).read_text())


def read_project(root: Path = ROOT) -> dict[str, Any]:
    """Return the metadata of the distribution."""
    return dict(read_pyproject(root)["project"])


def find_problems(root: Path = ROOT, tag: str = "") -> list[str]:
    """Return one line for each problem.

    Args:
        root: Folder of the repository.
        tag: Tag of the release; empty if this is not a release.
    """
    project = read_project(root)
    return [
        *_check_names(root, project["version"]),
        *_check_changelog((root / "CHANGELOG.md").read_text(), project["version"], tag),
        *_check_citation(yaml.safe_load((root / "CITATION.cff").read_text()), project, tag),
        *_check_codemeta(json.loads((root / "codemeta.json").read_text()), project),
        *_check_recipe((root / recipe.RECIPE).read_text(), read_pyproject(root)),
        *_expect("the tag", tag, f"v{project['version']}" if tag else ""),
    ]


def _expect(where: str, found: object, expected: object) -> Iterator[str]:
    if found != expected:
        yield f"{where}: expected {expected!r}, found {found!r}"


def _check_names(root: Path, version: str) -> Iterator[str]:
    """Check that all files name the image as stage-in.cwl does, with a registry and the version."""
    tool = yaml.safe_load((root / "stage-in.cwl").read_text())
    image = tool["hints"]["DockerRequirement"]["dockerPull"]
    registry, _, name = image.rpartition("/")
    yield from _expect("stage-in.cwl: dockerPull", name, f"stage-in:{version}")
    if not registry:
        yield f"stage-in.cwl: expected a registry in dockerPull, found {image!r}"
    for path in sorted({path for pattern in NAMING for path in root.glob(pattern)}):
        if path.name == "stage-in.app.cwl":  # `make package` writes it from the other files
            continue
        text = path.read_text()
        where = str(path.relative_to(root))
        for found in IMAGE.findall(text):
            yield from _expect(where, found, image)
        if "s:name: stage-in\n" in text:
            for found in WORKFLOW.findall(text):
                yield from _expect(where, found, version)


def _check_changelog(text: str, version: str, tag: str) -> Iterator[str]:
    """Check the form of the changelog against keepachangelog.com, version 1.1.0."""
    title, *sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    if not title.startswith("# Changelog\n"):
        yield f"CHANGELOG.md: expected the title '# Changelog', found {title.splitlines()[0]!r}"
    found = []
    for section in sections:
        head, *kinds = re.split(r"^### (.*)\n", section, flags=re.MULTILINE)
        match = SECTION.fullmatch(head.strip())
        if not match:
            yield (
                f"CHANGELOG.md: expected '## [X.Y.Z] - YYYY-MM-DD' with nothing before the first "
                f"'### ', found {head.strip().splitlines()[0]!r}"
            )
            continue
        found.append(match)
        for kind, changes in zip(kinds[::2], kinds[1::2], strict=True):
            if kind not in KINDS or not changes.strip().startswith("- "):
                yield (
                    f"CHANGELOG.md: [{match['version']}]: expected lists under {sorted(KINDS)}, "
                    f"found {kind!r} with {changes.strip()[:20]!r}"
                )
        if not kinds:
            yield f"CHANGELOG.md: [{match['version']}]: expected changes, found none"
    if not found:
        yield "CHANGELOG.md: expected a section for each version, found none"
        return
    yield from _expect("CHANGELOG.md: the first section", found[0]["version"], version)
    numbers = [tuple(map(int, match["version"].split("."))) for match in found]
    if any(newer <= older for newer, older in pairwise(numbers)):
        yield f"CHANGELOG.md: expected the newest version first, found {numbers}"
    for match in found[0 if tag else 1 :]:
        if match["date"] == "unreleased":
            yield f"CHANGELOG.md: [{match['version']}]: expected a date, found 'unreleased'"


def _check_citation(citation: dict[str, Any], project: dict[str, Any], tag: str) -> Iterator[str]:
    where = "CITATION.cff"
    for ours, theirs in (
        *(("version", "version"), ("title", "name"), ("license", "license")),
        *(("abstract", "description"), ("keywords", "keywords")),
    ):
        yield from _expect(f"{where}: {ours}", citation.get(ours), project[theirs])
    if tag and not isinstance(citation.get("date-released"), date):
        yield f"{where}: expected date-released, found {citation.get('date-released')!r}"


def _check_codemeta(codemeta: dict[str, Any], project: dict[str, Any]) -> Iterator[str]:
    where = "codemeta.json"
    for key in ("name", "version", "description", "keywords"):
        yield from _expect(f"{where}: {key}", codemeta.get(key), project[key])
    for key, value in (
        ("@context", "https://w3id.org/codemeta/3.0"),
        ("@type", "SoftwareSourceCode"),
        ("license", f"https://spdx.org/licenses/{project['license']}"),
        ("runtimePlatform", f"Python {project['requires-python'].removeprefix('>=')} or newer"),
    ):
        yield from _expect(f"{where}: {key}", codemeta.get(key), value)


def _check_recipe(text: str, pyproject: dict[str, Any]) -> Iterator[str]:
    for problem in recipe.find_problems(text, pyproject):
        yield f"{recipe.RECIPE}: {problem}"


if __name__ == "__main__":
    sys.exit("\n".join(find_problems(tag="".join(sys.argv[1:]))) or 0)
