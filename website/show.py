"""The generated parts of the pages.

`make docs-generated` runs cog, which calls these functions from comments in the pages. They return
Markdown.
"""

import importlib
import inspect
import json
import os
import pydoc
import re
import shlex
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import yaml

from sandbox.faults import Fault
from sandbox.product import NEW, make_product
from sandbox.server import Sandbox

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
STYLE = '%%{init: {"flowchart": {"nodeSpacing": 25, "rankSpacing": 40}}}%%'


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


def functions(module: str, *names: str) -> str:
    """Show the signatures and docstrings of functions."""
    members = vars(importlib.import_module(module))
    text = "\n".join(pydoc.plaintext.document(members[name]) for name in names)
    return fence("text", re.sub(r" +\n", "\n", text))


def file(path: str) -> str:
    """Show a YAML or CWL file."""
    return fence("yaml", (ROOT / path).read_text())


def faults() -> str:
    """Show the words of the sandbox's rules."""
    attributes = (inspect.getdoc(Fault) or "").partition("Attributes:\n")[2]
    lines = ["", "| word | meaning |", "|---|---|"]
    for entry in re.split(r"\n(?= {4}\w)", attributes.rstrip()):
        name, _, meaning = " ".join(entry.split()).partition(": ")
        lines.append(f"| `{name.replace('headers', 'header')}` | {meaning} |")
    return "\n".join([*lines, ""])


def packages() -> str:
    """Show which package or module of `stage_in` imports which.

    `errors` is left out, as nearly every module imports it. So is an arrow that other arrows imply.
    """
    graph = grimp.build_graph("stage_in", exclude_type_checking_imports=True)
    graph.remove_module("stage_in.errors")
    lines = [STYLE, "flowchart TB"]
    for module in sorted(graph.find_children("stage_in")):
        name = module.rpartition(".")[2]
        if graph.find_children(module):
            graph.squash_module(module)
            name += "/"
        lines.append(f'  {module}["{name}"]')
    for module in sorted(graph.modules):
        near = graph.find_modules_directly_imported_by(module)
        implied = set().union(*map(graph.find_upstream_modules, near))
        lines += [f"  {module} --> {other}" for other in sorted(near - implied)]
    return fence("mermaid", "\n".join(lines))


def workflow(path: str) -> str:
    """Show the steps of a CWL workflow."""
    fields = yaml.safe_load((ROOT / path).read_text())
    lines = ["flowchart LR", *(f'  in_{name}(["{name}"])' for name in fields["inputs"])]
    for name, step in fields["steps"].items():
        lines.append(f'  {name}["{name}{" (scattered)" if "scatter" in step else ""}"]')
        for source in step["in"].values():
            if not isinstance(source, str):
                continue  # an expression
            start, _, output = source.partition("/")
            lines.append(
                f"  {start} -- {output} --> {name}" if output else f"  in_{start} --> {name}"
            )
    for name, output in fields["outputs"].items():
        lines.append(f'  {output["outputSource"].partition("/")[0]} --> out_{name}(["{name}"])')
    return fence("mermaid", "\n".join(lines))


def parameters(path: str) -> str:
    """Show the description, the inputs and the outputs of a CWL file."""
    fields = yaml.safe_load((ROOT / path).read_text())
    lines = [
        "",
        fields["doc"].strip(),
        "",
        "| input | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, given in fields["inputs"].items():
        default = f"`{json.dumps(given['default'])}`" if "default" in given else ""
        lines.append(f"| `{name}` | `{_type(given)}` | {default} | {given['doc']} |")
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
