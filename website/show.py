"""The generated parts of the pages.

`make docs-generated` runs cog, which calls these functions from comments in the pages. They return
Markdown.
"""

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sandbox.faults import Fault
from sandbox.product import NEW, make_product
from sandbox.server import Sandbox
from tests.environment import read_pins

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "command-line-tools/stage-in/src/stage_in"
BIN = Path(sys.executable).parent
STYLE = '%%{init: {"flowchart": {"nodeSpacing": 25, "rankSpacing": 30, "wrappingWidth": 300}}}%%'


def fence(language: str, text: str) -> str:
    """Return a fenced block of code with an empty line before and after it."""
    return f"\n```{language}\n{text.strip()}\n```\n"


def command(line: str) -> str:
    """Show what a command prints."""
    first, *arguments = shlex.split(line)
    printed = subprocess.run(
        [BIN / first, *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    return fence("text", printed.stdout)


def file(path: str) -> str:
    """Show a YAML or CWL file."""
    return fence("yaml", (ROOT / path).read_text())


def versions(lock: str, *names: str) -> str:
    """Show the versions of packages in a lock file; some depend on that of Python."""
    pins = [pin.partition(" ")[0].split("==") for pin in read_pins(ROOT / lock)]
    found = {name: [version for pin, version in pins if pin == name] for name in names}
    if missing := [name for name in names if not found[name]]:
        raise ValueError(f"expected a version of {', '.join(missing)} in {lock}, found none")
    listed = ", ".join(f"{name} {' or '.join(found[name])}" for name in names)
    return f"\n{textwrap.fill(listed, 100, break_on_hyphens=False)}.\n"


def faults() -> str:
    """Show the words of the sandbox's rules."""
    attributes = (inspect.getdoc(Fault) or "").partition("Attributes:\n")[2]
    lines = ["", "| word | meaning |", "|---|---|"]
    for entry in re.split(r"\n(?= {4}\w)", attributes.rstrip()):
        name, _, meaning = " ".join(entry.split()).partition(": ")
        lines.append(f"| `{name.replace('headers', 'header')}` | {meaning} |")
    return "\n".join([*lines, ""])


def layers() -> str:
    """Show the layers of `stage_in`, which import-linter compares with the code."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = settings["tool"]["importlinter"]["contracts"][0]
    lines = ["", "| layer | packages and modules |", "|---|---|"]
    for number, layer in enumerate(contract["layers"], 1):
        names = [name.strip() for name in layer.split("|")]
        paths = [f"{name}/" if (PACKAGE / name).is_dir() else f"{name}.py" for name in names]
        lines.append(f"| {number} | {', '.join(f'`{path}`' for path in paths)} |")
    return "\n".join([*lines, ""])


def workflow(path: str) -> str:
    """Show the steps of a CWL workflow.

    Inputs of the same steps share a node, and so do outputs of one step: the drawing has to fit the
    screen of a phone.
    """
    fields = yaml.safe_load((ROOT / path).read_text())
    lines = [STYLE, "flowchart TB"]
    inputs: dict[str, list[str]] = {name: [] for name in fields["inputs"]}
    outputs: dict[str, list[str]] = {name: [] for name in fields["steps"]}
    for name, step in fields["steps"].items():
        lines.append(f'  {name}["{name}{" (scattered)" if "scatter" in step else ""}"]')
        for source in step["in"].values():
            if not isinstance(source, str):
                continue  # an expression
            start, _, output = source.partition("/")
            if output:
                lines.append(f"  {start} -- {output} --> {name}")
            elif name not in inputs[start]:
                inputs[start].append(name)
    for number, steps in enumerate(dict.fromkeys(map(tuple, inputs.values()))):
        names = [name for name, used in inputs.items() if tuple(used) == steps]
        lines.append(f'  in_{number}(["{"<br>".join(names)}"])')
        lines += [f"  in_{number} --> {step}" for step in steps]
    for name, output in fields["outputs"].items():
        outputs[output["outputSource"].partition("/")[0]].append(name)
    for step, names in outputs.items():
        if names:
            lines.append(f'  {step} --> out_{step}(["{"<br>".join(names)}"])')
    return fence("mermaid", "\n".join(lines))


def parameters(path: str) -> str:
    """Show the description, the inputs and the outputs of a CWL file."""
    fields = yaml.safe_load((ROOT / path).read_text())
    lines = [
        "",
        fields["doc"].strip(),
        "",
        "| input | type | meaning |",
        "|---|---|---|",
    ]
    for name, given in fields["inputs"].items():
        meaning = given["doc"]
        if "default" in given:
            meaning += f". Default: `{json.dumps(given['default'])}`"
        lines.append(f"| `{name}` | `{_type(given)}` | {meaning} |")
    lines += ["", "| output | type | meaning |", "|---|---|---|"]
    for name, given in fields["outputs"].items():
        lines.append(f"| `{name}` | `{_type(given)}` | {given['doc']} |")
    return "\n".join([*lines, ""])


def _type(given: dict[str, Any]) -> str:
    return given["type"] if isinstance(given["type"], str) else given["type"]["type"]


def item(*paths: str) -> str:
    """Show fields of the example item.

    Args:
        paths: names of fields, from the top of the item, separated by slashes.
    """
    excerpt: dict[str, Any] = {}
    for path in paths:
        *parents, last = path.split("/")
        source, target = stage_example(), excerpt
        for parent in parents:
            source, target = source[parent], target.setdefault(parent, {})
        target[last] = source[last]
    return _show_json(excerpt)


def asset(key: str) -> str:
    """Show an asset of the example item."""
    return _show_json({key: stage_example()["assets"][key]})


def _show_json(fields: dict[str, Any]) -> str:
    """Return JSON with short lists on one line, and with the platform's address."""
    text = json.dumps(fields, indent=2, ensure_ascii=False)
    text = re.sub(
        r"\[\s+([^][{}]{1,80}?)\s+]", lambda found: f"[{' '.join(found[1].split())}]", text
    )
    text = re.sub(r"http://127\.0\.0\.1:\d+", "https://stac.dataspace.copernicus.eu", text)
    return fence("json", text)


@cache
def stage_example() -> dict[str, Any]:
    """Stage a product from the sandbox, and return its STAC item."""
    with tempfile.TemporaryDirectory() as folder:
        safe = make_product(Path(folder), NEW)
        with Sandbox([safe]) as platform:
            token = {"CDSE_ACCESS_TOKEN": platform.mint()}
            subprocess.run(
                [BIN / "stage-in", "--quiet", "--input-item", platform.item_url(safe.name)],
                cwd=folder,
                env={**os.environ, **platform.environment, **token},
                check=True,
                timeout=120,
            )
        (path,) = Path(folder).glob("catalog/*/*.json")
        fields: dict[str, Any] = json.loads(path.read_text())
        return fields
