"""The checks of a release find each kind of problem, and released CWL files name a digest."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploy.metadata import find_problems, read_project
from deploy.release import pin
from tests.conftest import ROOT

VERSION = read_project()["version"]
DIGEST = "0123456789abcdef" * 4
REFERENCE = f"registry.example:5000/earth/stage-in@sha256:{DIGEST}"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the files that the checks read, for tests to change."""
    for pattern in ("*.md", "*.cwl", "CITATION.cff", "codemeta.json", "*/stage-in/pyproject.toml"):
        for path in ROOT.glob(pattern):
            (tmp_path / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / path.relative_to(ROOT))
    for folder in ("workflows", "deploy", "docs", "tests/cwl"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def test_no_problems() -> None:
    assert find_problems() == []


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("stage-in.cwl", f"stage-in:{VERSION}", "stage-in:9", "stage-in.cwl: expected"),
        ("stage-in.cwl", f"stage-in:{VERSION}", "other", "stage-in.cwl: dockerPull"),
        ("workflows/classify.cwl", f"stage-in:{VERSION}", "stage-in:9.0.0", "workflows/classify"),
        ("workflows/stage-in-app.cwl", f'"{VERSION}"', '"9.0.0"', "stage-in-app.cwl: expected"),
        ("deploy/argo/stage-in.yaml", f":{VERSION}", ":9.0.0", "deploy/argo/stage-in.yaml"),
        ("docs/runners.md", f"stage-in:{VERSION}", "stage-in:9.0.0", "docs/runners.md"),
        ("codemeta.json", f'"{VERSION}"', '"9.0.0"', "codemeta.json: version"),
        ("codemeta.json", "Apache-2.0", "MIT", "codemeta.json: license"),
        ("CITATION.cff", VERSION, "9.0.0", "CITATION.cff: version"),
        ("CHANGELOG.md", f"[{VERSION}]", "[9.0.0]", "the first section"),
        ("CHANGELOG.md", f"## [{VERSION}] -", f"## {VERSION}", "expected '## [X.Y.Z]"),
        ("CHANGELOG.md", "### Added", "### New", "found 'New'"),
        ("CHANGELOG.md", "# Changelog", "# News", "expected the title"),
        ("CHANGELOG.md", "\n## [", "\n## [0.0.1] - 2020-01-01\n\n## [", "expected changes"),
        ("CHANGELOG.md", "\n## [", "\n## [0.0.1] - 2020-01-01\n\n## [", "newest version first"),
    ],
)
def test_each_difference_is_found(copy: Path, file: str, old: str, new: str, problem: str) -> None:
    assert find_problems(copy) == []
    text = (copy / file).read_text()
    assert old in text
    (copy / file).write_text(text.replace(old, new, 1))
    assert [line for line in find_problems(copy) if problem in line]


def test_a_release_needs_dates(copy: Path) -> None:
    tag = f"v{VERSION}"
    changes = copy / "CHANGELOG.md"
    title, rest = changes.read_text().split(f"## [{VERSION}] - ", 1)
    text = rest.partition("\n")[2]
    changes.write_text(f"{title}## [{VERSION}] - unreleased\n{text}")
    citation = copy / "CITATION.cff"
    citation.write_text(re.sub("^date-released.*\n", "", citation.read_text(), flags=re.MULTILINE))
    problems = "\n".join(find_problems(copy, tag))
    assert "expected a date, found 'unreleased'" in problems
    assert "expected date-released" in problems
    changes.write_text(f"{title}## [{VERSION}] - 2026-12-01\n{text}")
    citation.write_text(f"{citation.read_text()}date-released: 2026-12-01\n")
    assert find_problems(copy, tag) == []
    assert find_problems(copy, "v9.0.0") == [f"the tag: expected '{tag}', found 'v9.0.0'"]


@pytest.mark.parametrize("path", ["stage-in.cwl", "tests/cwl/eoepca/app.cwl"])
def test_a_released_file_names_the_digest(path: str) -> None:
    run = subprocess.run(
        [sys.executable, "deploy/release.py", path, REFERENCE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    before, after = (ROOT / path).read_text().splitlines(), run.stdout.splitlines()
    assert len(before) == len(after)
    (changed,) = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert changed[1] == changed[0].replace(f"stage-in:{VERSION}", REFERENCE)
    assert yaml.safe_load(run.stdout)["cwlVersion"] == "v1.2"


@pytest.mark.parametrize(
    ("text", "reference", "problem"),
    [
        (f"dockerPull: stage-in:{VERSION}", f"registry.example/stage-in:{VERSION}", "sha256"),
        (f"dockerPull: stage-in:{VERSION}", f"stage-in@sha256:{DIGEST}", "HOST/NAME"),
        (f"dockerPull: stage-in:{VERSION}", REFERENCE[:-1], "64 hexadecimal digits"),
        (f"dockerPull: stage-in:{VERSION}", f"{REFERENCE}\nrun: x", "HOST/NAME"),
        (f"dockerPull: {REFERENCE}", REFERENCE, "found none"),
    ],
    ids=["tag", "no host", "short", "two lines", "already released"],
)
def test_a_malformed_reference_is_refused(text: str, reference: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        pin(text, reference)


def test_the_distribution_has_the_licence() -> None:
    licence = (ROOT / "LICENSE").read_text()
    assert (ROOT / "command-line-tools/stage-in/LICENSE").read_text() == licence


def test_workflows_call_existing_targets() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = [path.read_text() for path in (ROOT / ".github/workflows").glob("*.yml")]
    calls = re.findall(r"make ([a-z -]+)", "".join(texts))
    called = {target for call in calls for target in call.split()}
    assert called
    assert called <= targets
