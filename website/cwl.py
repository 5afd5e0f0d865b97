"""The reference of the CWL files, from the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Fields = dict[str, Any]

OWN_STEP = "stage-in"
NO_BREAK = "\N{NON-BREAKING HYPHEN}"
# What each requirement of a tool means for whoever runs it.
_MEANINGS = {
    "NetworkAccess": "it has to reach the platform",
    "EnvVarRequirement": "variables of the tool's environment",
    "ResourceRequirement": "what a runner sets aside: cores, and MiB of memory and disk",
    "DockerRequirement": "the image; a runner without containers passes it over",
}


def write(root: Path) -> str:
    """Return the page.

    Args:
        root: of the repository.
    """
    tool = load(root / "stage-in.cwl")
    lines = [
        "# CWL reference",
        "",
        "Written from the files themselves. [Runners](runners.md) says how each is run.",
        "",
        "## `stage-in.cwl`",
        "",
        f"{tool['doc'].strip()} It is a {tool['class']} of CWL {tool['cwlVersion']}, and the step",
        "that workflows embed.",
        "",
        "### Inputs",
        "",
        *_tabulate_inputs(tool),
        "",
        "### Outputs",
        "",
        *_tabulate_outputs(tool),
        "",
        "### Requirements and hints",
        "",
        *_tabulate_requirements(tool),
        "",
        f"An exit code of {', '.join(str(code) for code in tool['temporaryFailCodes'])} is a",
        "temporary failure; [exit codes](environment.md) has them all.",
        "",
        "### A job order",
        "",
        "```yaml",
        (root / "params.yml").read_text().strip(),
        "```",
        "",
        "### As a step",
        "",
        "```yaml",
        "steps:",
        *_write_step(load(root / "workflows/tutorial.cwl")["steps"][OWN_STEP]),
        "```",
        "",
        "## Workflows",
        "",
        "The step that stages is filled in each picture.",
    ]
    for path in sorted((root / "workflows").glob("*.cwl")):
        workflow = load(path)
        if workflow["class"] == "Workflow":
            lines += _describe_workflow(path, workflow)
    return "\n".join(lines) + "\n"


def load(path: Path) -> Fields:
    """Return a CWL document."""
    fields: Fields = yaml.safe_load(path.read_text())
    return fields


def draw(path: Path) -> str:
    """Return the steps of a workflow as a mermaid diagram, the one that stages set off.

    Args:
        path: of the workflow.
    """
    workflow = load(path)
    lines = ["flowchart LR"]
    for name, given in workflow["inputs"].items():
        lines.append(f'  in_{name}(["{name}<br><small>{write_type(given["type"])}</small>"])')
    for name, step in workflow["steps"].items():
        label = load(path.parent / step["run"]).get("label", name).replace("-", NO_BREAK)
        times = " (each)" if "scatter" in step else ""
        lines.append(f'  {_id(name)}["<b>{name}{times}</b><br>{label}"]')
    for name in workflow["outputs"]:
        lines.append(f'  out_{name}(["{name}"])')
    for name, step in workflow["steps"].items():
        for source in step["in"].values():
            start, slash, what = str(source).partition("/")
            lines.append(
                f"  {_id(start)} -- {what} --> {_id(name)}"
                if slash
                else f"  in_{source} --> {_id(name)}"
            )
    for name, output in workflow["outputs"].items():
        lines.append(f"  {_id(output['outputSource'].partition('/')[0])} --> out_{name}")
    own = [name for name, step in workflow["steps"].items() if name == OWN_STEP]
    lines += [
        "  classDef own fill:#0b6e5f,stroke:#0b6e5f,color:#ffffff",
        *(f"  class {_id(name)} own" for name in own),
    ]
    return "\n".join(lines)


def write_type(given: Any) -> str:
    """Return a type as CWL's short form has it."""
    return str(given) if isinstance(given, str) else str(given.get("type", given))


def _id(name: str) -> str:
    return name.replace("-", "_")


def _tabulate_inputs(tool: Fields) -> list[str]:
    lines = ["| input | type | default | meaning | becomes |", "|---|---|---|---|---|"]
    for name, given in tool["inputs"].items():
        lines.append(
            f"| `{name}` | `{write_type(given['type'])}` | {_write_default(given)} "
            f"| **{given['label']}.** {given['doc']} | {_become(tool, name, given)} |"
        )
    return lines


def _become(tool: Fields, name: str, given: Fields) -> str:
    """Say where the tool finds the value of an input."""
    here = f"$(inputs.{name})"
    if "inputBinding" in given:
        return f"`{given['inputBinding']['prefix']}`"
    variables = tool["requirements"].get("EnvVarRequirement", {}).get("envDef", {})
    found = [key for key, value in variables.items() if value == here]
    found += [arg["prefix"] for arg in tool.get("arguments", []) if arg.get("valueFrom") == here]
    return ", ".join(f"`{key}`" for key in found)


def _write_default(given: Fields) -> str:
    if "default" in given:
        value = given["default"]
        shown = ", ".join(value) if isinstance(value, list) else value
        return f"`{shown}`" if shown else "empty"
    return "not given" if write_type(given["type"]).endswith("?") else "**required**"


def _tabulate_outputs(tool: Fields) -> list[str]:
    lines = ["| output | type | meaning |", "|---|---|---|"]
    for name, output in tool["outputs"].items():
        kind = write_type(output["type"])
        lines.append(f"| `{name}` | `{kind}` | **{output['label']}.** {output['doc']} |")
    return lines


def _tabulate_requirements(tool: Fields) -> list[str]:
    lines = ["| | | value | meaning |", "|---|---|---|---|"]
    for kind in ("requirements", "hints"):
        for name, fields in tool.get(kind, {}).items():
            flat = fields.get("envDef", fields)
            value = "<br>".join(f"`{key}: {_write_value(text)}`" for key, text in flat.items())
            lines.append(f"| `{name}` | {kind.removesuffix('s')} | {value} | {_MEANINGS[name]} |")
    return lines


def _write_value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _describe_workflow(path: Path, workflow: Fields) -> list[str]:
    return [
        "",
        f"### `{path.name}`",
        "",
        workflow["doc"].strip(),
        "",
        "```mermaid",
        draw(path),
        "```",
        "",
        "| input | type | default | meaning |",
        "|---|---|---|---|",
        *(
            f"| `{name}` | `{write_type(given['type'])}` | {_write_default(given)} "
            f"| **{given['label']}.** {given['doc']} |"
            for name, given in workflow["inputs"].items()
        ),
        "",
        *_tabulate_outputs(workflow),
    ]


def _write_step(step: Fields) -> list[str]:
    """Return how the shortest workflow embeds the tool."""
    return [
        f"  {OWN_STEP}:",
        "    run: stage-in.cwl",
        "    in:",
        *(f"      {name}: {source}" for name, source in step["in"].items()),
        f"    out: [{', '.join(step['out'])}]",
    ]
