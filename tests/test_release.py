"""The checks of a release find each kind of problem, and released CWL files name a digest."""

import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from deploy import recipe
from deploy.metadata import find_problems, read_project
from deploy.release import pin
from tests.conftest import ROOT
from tests.cwl_runs import IMAGE

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


def test_compiled_modules_are_not_read(copy: Path) -> None:
    compiled = copy / "deploy/__pycache__/metadata.cpython-311.pyc"
    compiled.parent.mkdir(exist_ok=True)
    compiled.write_bytes(b"\xa7\r\r\n")
    assert find_problems(copy) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("stage-in.cwl", f"stage-in:{VERSION}", "stage-in:9", "stage-in.cwl: dockerPull"),
        ("stage-in.cwl", f"stage-in:{VERSION}", "other", "stage-in.cwl: dockerPull"),
        ("stage-in.cwl", IMAGE, f"stage-in:{VERSION}", "expected a registry in dockerPull"),
        ("workflows/classify.cwl", IMAGE, f"other/{IMAGE}", "workflows/classify"),
        ("workflows/classify.cwl", f"stage-in:{VERSION}", "stage-in:9.0.0", "workflows/classify"),
        ("workflows/stage-in-app.cwl", f'"{VERSION}"', '"9.0.0"', "stage-in-app.cwl: expected"),
        ("deploy/argo/stage-in.yaml", f":{VERSION}", ":9.0.0", "deploy/argo/stage-in.yaml"),
        ("docs/runners.md", f"stage-in:{VERSION}", "stage-in:9.0.0", "docs/runners.md"),
        ("codemeta.json", f'"{VERSION}"', '"9.0.0"', "codemeta.json: version"),
        ("codemeta.json", "Apache-2.0", "MIT", "codemeta.json: license"),
        ("codemeta.json", "Python 3.11", "Python 3.10", "codemeta.json: runtimePlatform"),
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


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        # It agrees with pyproject.toml.
        (VERSION, "9.0.0", "package/version"),
        ('name = "stage-in"', 'name = "stagein"', "package/name"),
        ("source/{{ name[0] }}", "source/s2", "source/url"),
        ("https://pypi.org", "https://pypi.io", "source/url"),
        (
            'python_min = "3.11"',
            'python_min = "3.10"',
            "requirements/run: expected 'python >=3.11'",
        ),
        ("    - python {{ python_min }}.*\n    - hatch", "    - python\n    - hatch", "host"),
        ("requires:\n    - python {{ python_min }}.*", "requires:\n    - python", "test/requires"),
        ("stage_in.cli:run", "stage_in.cli:main", "build/entry_points"),
        ("hatchling >=1.27", "hatchling", "requirements/host"),
        ("    - click >=8.1.3\n", "", "requirements/run: expected 'click >=8.1.3', found none"),
        ("click >=8.1.3", "click >=8", "expected no 'click >=8', which"),
        ("    - pysocks >=1.5.6,!=1.5.7\n", "", "requirements/run: expected 'pysocks"),
        ("    - __unix\n", "", "requirements/run: expected '__unix'"),
        ("license: Apache-2.0", "license: Apache 2.0 License", "about/license:"),
        ("license_file: LICENSE", "license_file: COPYING", "about/license_file"),
        ("summary: Stage", "summary: Stages", "about/summary"),
        ("    - cdse-token --help\n", "", "test/commands: expected 'cdse-token'"),
        ("    - pip check\n", "", "test/commands: expected 'pip check'"),
        # It is in the form that conda-forge expects.
        ('version: "{{ version }}"', "version: 1.0", "package/version"),
        ('sha256: "0', 'sha256: "1', "source/sha256"),
        ("noarch: python", "noarch: generic", "build/noarch"),
        ("number: 0", "number: 1", "build/number"),
        (" --no-deps", "", "build/script"),
        ("about:", "abouts:", "expected the sections package, source"),
        (
            "build:\n  noarch",
            "test: {}\n\nbuild:\n  noarch",
            "expected the sections package, source",
        ),
        ("package:\n", "package: []\nother:\n", "expected the sections package, source"),
        ("  number: 0\n", "", "build: expected number"),
        ("  home: https://stage-in.example\n", "", "about: expected home"),
        ("  number: 0\n", "  number: 0\n  skip: true\n", "found skip"),
        ("  host:\n", "  run: []\n  host:\n", "requirements: expected host, run"),
        ("maintainers:\n    - maintainer.example", "maintainers: x", "expected a list of strings"),
        ("    - maintainer.example\n", "", "extra: expected recipe-maintainers"),
        ("click >=8.1.3", "click>=8.1.3", "without other spaces"),
        ("click >=8.1.3", "click >= 8.1.3", "without other spaces"),
        ("    - click", "    - click  # [linux]\n    - click", "expected no selector"),
        ('{% set name = "stage-in" %}', '{%set name="stage-in"%}', "line 4: expected {% set"),
        ("{{ version }}", "{{version}}", "expected {{ name }}"),
        ("{{ version }}", "{{ other }}", "'other' is undefined"),
        ("package:\n", "package: {\n", "flow mapping"),
        ("maintainer.example\n", "maintainer.example\n\n", "one newline"),
        ("maintainer.example\n", "maintainer.example", "one newline"),
    ],
)
def test_each_difference_of_the_recipe_is_found(
    copy: Path, old: str, new: str, problem: str
) -> None:
    path = copy / recipe.RECIPE
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert [
        line for line in find_problems(copy) if f"{recipe.RECIPE}: " in line and problem in line
    ]


def write_sdist(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return path


def test_a_released_recipe_has_the_checksum(tmp_path: Path) -> None:
    text = (ROOT / recipe.RECIPE).read_text()
    base = f"stage_in-{VERSION}"
    sdist = write_sdist(tmp_path / f"{base}.tar.gz", f"{base}/LICENSE")
    run = subprocess.run(
        [sys.executable, "-m", "deploy.recipe", sdist],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    filled = recipe.render(run.stdout)
    assert filled["source"]["sha256"] == hashlib.sha256(sdist.read_bytes()).hexdigest()
    filled["source"]["sha256"] = recipe.NO_CHECKSUM
    assert filled == recipe.render(text)
    assert "#" not in run.stdout
    for field in ("about/home", "about/doc_url", "about/dev_url", "extra/recipe-maintainers"):
        assert field in run.stderr


def test_a_recipe_for_another_file_is_refused(tmp_path: Path) -> None:
    text = (ROOT / recipe.RECIPE).read_text()
    with pytest.raises(ValueError, match="found stage_in-9"):
        recipe.fill(text, write_sdist(tmp_path / "stage_in-9.0.0.tar.gz"))
    base = f"stage_in-{VERSION}"
    with pytest.raises(ValueError, match="/LICENSE in"):
        recipe.fill(text, write_sdist(tmp_path / f"{base}.tar.gz", f"{base}/README.md"))


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
    assert changed[1] == changed[0].replace(IMAGE, REFERENCE)
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


def test_registry_is_written_into_all_files(copy: Path) -> None:
    for command in (
        ["git", "init", "--quiet"],
        ["git", "add", "--all"],
        ["make", "--file", ROOT / "Makefile", "registry", "REGISTRY=registry.example:5000/owner"],
    ):
        subprocess.run(command, cwd=copy, check=True, capture_output=True, timeout=60)
    tool = yaml.safe_load((copy / "stage-in.cwl").read_text())
    image = tool["hints"]["DockerRequirement"]["dockerPull"]
    assert image == f"registry.example:5000/owner/stage-in:{VERSION}"
    assert find_problems(copy) == []


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


def test_tests_leave_the_environment_of_a_running_demonstration(tmp_path: Path) -> None:
    """A demonstration that has started before that of the tests was ready still uses its own."""
    for name in ("tests/requirements.lock", "stage-in/pyproject.toml", "classify/pyproject.toml"):
        path = tmp_path / ("" if name.startswith("tests") else "command-line-tools") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for program in ("bin/uv", "demo/bin/cwltool"):
        path = tmp_path / ".venv" / program
        path.parent.mkdir(parents=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    command = ["make", "--file", ROOT / "Makefile", ".venv/ready"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert (tmp_path / ".venv/ready").exists()
    assert (tmp_path / ".venv/demo/bin/cwltool").exists()
