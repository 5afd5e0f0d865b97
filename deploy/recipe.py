"""Write the conda recipe of a release: `python -m deploy.recipe SDIST`.

Print deploy/conda/meta.yaml with the checksum of the source distribution. `find_problems` compares
the recipe with pyproject.toml and with the rules of conda-forge, which are the documented checks of
conda-smithy (LINTER.md in its repository) as far as they concern a recipe of pure Python.
"""

import hashlib
import re
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import yaml
from packaging.requirements import Requirement

RECIPE = "deploy/conda/meta.yaml"
# What a recipe of this kind consists of, in conda-forge's order. A ? marks what may be missing.
SECTIONS = {
    "package": ("name", "version"),
    "source": ("url", "sha256"),
    "build": ("noarch", "number", "script", "entry_points"),
    "requirements": ("host", "run"),
    "test": ("imports", "requires", "commands"),
    "about": ("home", "summary", "license", "license_file", "doc_url?", "dev_url?", "description?"),
    "extra": ("recipe-maintainers",),
}
# conda has no extras: what they install is a requirement of its own.
EXTRAS = {("requests", "socks"): "pysocks >=1.5.6,!=1.5.7"}
# The output folder is locked with fcntl, which Windows does not have.
VIRTUAL = "__unix"
NO_CHECKSUM = "0" * 64

# The forms that conda-smithy expects of a line or of a requirement.
_DEFINITION = re.compile(r'\{% set \w+ = "[^"\s]+" %\}')
_REFERENCE = re.compile(r"\{\{ [^{}\s]+ \}\}")
_SELECTOR = re.compile(r"[^#\s].*#.*\[.*\]")
_REQUIREMENT = re.compile(r"[a-z0-9_.-]+( [<>=!][^\s]*[^\s,]| [0-9][^\s]*)?")


def render(text: str) -> Any:
    """Return the content of a recipe.

    Raises:
        ValueError: The recipe is not valid Jinja or not valid YAML.
    """
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701
    try:
        return yaml.safe_load(environment.from_string(text).render(PYTHON="python"))
    except (jinja2.TemplateError, yaml.YAMLError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def find_problems(text: str, pyproject: dict[str, Any]) -> Iterator[str]:
    """Yield one line for each problem of a recipe.

    Args:
        text: The recipe.
        pyproject: The content of the distribution's pyproject.toml.
    """
    yield from _check_lines(text)
    try:
        recipe = render(text)
    except ValueError as error:
        yield str(error)
        return
    problems = [*_check_sections(recipe)]
    yield from problems or _check_content(recipe, pyproject)


def find_unfilled(recipe: dict[str, Any]) -> list[str]:
    """Return the fields whose values are invented: they have the top-level domain .example."""
    return [
        f"{section}/{key}"
        for section, content in recipe.items()
        for key, value in content.items()
        if ".example" in str(value)
    ]


def convert(requirements: Iterable[str]) -> set[str]:
    """Return the requirements of a distribution in the form and with the names of conda."""
    converted = set()
    for requirement in map(Requirement, requirements):
        bounds = ",".join(map(str, requirement.specifier))
        converted.add(f"{requirement.name} {bounds}".strip())
        converted |= {EXTRAS[requirement.name, extra] for extra in requirement.extras}
    return converted


def fill(text: str, sdist: Path) -> str:
    """Return the recipe without its comments and with the checksum of the source distribution.

    Raises:
        ValueError: The recipe is for another file, or the file has no licence.
    """
    recipe = render(text)
    expected = recipe["source"]["url"].rpartition("/")[2]
    if sdist.name != expected:
        raise ValueError(f"expected {expected}, found {sdist.name}")
    licence = f"{sdist.name.removesuffix('.tar.gz')}/{recipe['about']['license_file']}"
    with tarfile.open(sdist) as archive:
        if licence not in archive.getnames():
            raise ValueError(f"expected {licence} in {sdist.name}, found none")
    lines = (line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    checksum = hashlib.sha256(sdist.read_bytes()).hexdigest()
    return "".join(lines).replace(NO_CHECKSUM, checksum)


def _check_lines(text: str) -> Iterator[str]:
    if not text.endswith("\n") or text.endswith("\n\n"):
        yield "expected one newline at the end"
    for number, line in enumerate(text.splitlines(), start=1):
        if "{%" in line and not _DEFINITION.fullmatch(line):
            yield f'line {number}: expected {{% set name = "value" %}}, found {line!r}'
        if line.count("{{") != len(_REFERENCE.findall(line)):
            yield f"line {number}: expected {{{{ name }}}}, found {line!r}"
        if _SELECTOR.search(line):
            yield f"line {number}: expected no selector because of noarch, found {line!r}"


def _check_sections(recipe: Any) -> Iterator[str]:
    if not isinstance(recipe, dict) or [*recipe] != [*SECTIONS]:
        yield f"expected the sections {', '.join(SECTIONS)}, found {', '.join(recipe or ())}"
        return
    for section, keys in SECTIONS.items():
        content = recipe[section] if isinstance(recipe[section], dict) else {}
        known = [key.removesuffix("?") for key in keys]
        for key in keys:
            if not key.endswith("?") and content.get(key) in (None, "", []):
                yield f"{section}: expected {key}, found none"
        if unknown := [key for key in content if key not in known]:
            yield f"{section}: expected {', '.join(known)}, found {', '.join(unknown)}"
        elif section == "requirements" and [*content] != known:
            yield f"{section}: expected {', '.join(known)}, found {', '.join(content)}"
    for section, key in (
        *(("build", "entry_points"), ("requirements", "host"), ("requirements", "run")),
        *(("test", "imports"), ("test", "requires"), ("test", "commands")),
        ("extra", "recipe-maintainers"),
    ):
        value = (recipe[section] or {}).get(key) or []
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            yield f"{section}/{key}: expected a list of strings, found {value!r}"


def _check_content(recipe: dict[str, Any], pyproject: dict[str, Any]) -> Iterator[str]:
    project = pyproject["project"]
    name, version = project["name"], project["version"]
    lowest = project["requires-python"].removeprefix(">=")
    sdist = f"{name.replace('-', '_')}-{version}.tar.gz"
    build, requirements, about = recipe["build"], recipe["requirements"], recipe["about"]
    for where, found, expected in (
        ("package/name", recipe["package"]["name"], name),
        ("package/version", recipe["package"]["version"], version),
        (
            "source/url",
            recipe["source"]["url"],
            f"https://pypi.org/packages/source/{name[0]}/{name}/{sdist}",
        ),
        ("source/sha256", recipe["source"]["sha256"], NO_CHECKSUM),
        ("build/noarch", build["noarch"], "python"),
        ("build/number", build["number"], 0),
        (
            "build/script",
            build["script"],
            "python -m pip install . -vv --no-deps --no-build-isolation",
        ),
        ("about/license", about["license"], project["license"]),
        ("about/license_file", about["license_file"], "LICENSE"),
        ("about/summary", about["summary"], project["description"]),
    ):
        if found != expected:
            yield f"{where}: expected {expected!r}, found {found!r}"
    backend = convert(pyproject["build-system"]["requires"])
    run = convert(project["dependencies"])
    for where, listed, wanted in (
        (
            "build/entry_points",
            build["entry_points"],
            {f"{command} = {function}" for command, function in project["scripts"].items()},
        ),
        ("requirements/host", requirements["host"], {f"python {lowest}.*", "pip", *backend}),
        ("requirements/run", requirements["run"], {f"python >={lowest}", VIRTUAL, *run}),
        ("test/requires", recipe["test"]["requires"], {f"python {lowest}.*", "pip"}),
    ):
        found_set, wanted_set = set(map(_sort_bounds, listed)), set(map(_sort_bounds, wanted))
        for part in sorted(wanted_set - found_set):
            yield f"{where}: expected {part!r}, found none"
        for part in sorted(found_set - wanted_set):
            yield f"{where}: expected no {part!r}, which pyproject.toml does not declare"
    for part in (*requirements["host"], *requirements["run"], *recipe["test"]["requires"]):
        if not _REQUIREMENT.fullmatch(part):
            yield f"expected 'name >=version' without other spaces, found {part!r}"
    commands = recipe["test"]["commands"]
    for command in ("pip check", *project["scripts"]):
        if not any(line.startswith(command) for line in commands):
            yield f"test/commands: expected {command!r}, found none"


def _sort_bounds(requirement: str) -> str:
    """Return a requirement with its bounds in alphabetical order."""
    name, _, bounds = requirement.partition(" ")
    return f"{name} {','.join(sorted(bounds.split(',')))}".strip()


if __name__ == "__main__":
    sdist = Path(sys.argv[1])
    recipe = (Path(__file__).parents[1] / RECIPE).read_text()
    try:
        filled = fill(recipe, sdist)
    except ValueError as error:
        sys.exit(f"{RECIPE}: {error}")
    sys.stdout.write(filled)
    if unfilled := find_unfilled(render(filled)):
        print(f"To be filled in by hand: {', '.join(unfilled)}", file=sys.stderr)  # noqa: T201
