"""Which module of a package imports which, as a picture."""

from __future__ import annotations

import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]


def draw(package: str) -> str:
    """Return a mermaid diagram of the modules, in the layers that the linter holds.

    An arrow that follows from others is left out: where a module imports one that imports a third,
    that it imports the third, too, is not drawn.

    Args:
        package: whose modules; `pyproject.toml` has its layers.
    """
    layers = _read_layers(package)
    graph = grimp.build_graph(package, exclude_type_checking_imports=True)
    imports = {
        module: graph.find_modules_directly_imported_by(module)
        for module in sorted(graph.modules - {package})
    }
    lines = ["flowchart TB"]
    for number, layer in enumerate(layers):
        lines.append(f'  subgraph layer{number}[" "]')
        lines += ["    direction LR", *(f"    {_id(module)}[{_name(module)}]" for module in layer)]
        lines.append("  end")
    for module, imported in imports.items():
        behind = {far for near in imported for far in _reach(near, imports)}
        lines += [f"  {_id(module)} --> {_id(other)}" for other in sorted(imported - behind)]
    return "\n".join(lines)


def _read_layers(package: str) -> list[list[str]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = [one for one in settings["contracts"] if one["type"] == "layers"]
    return [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]


def _reach(module: str, imports: dict[str, set[str]]) -> set[str]:
    """Return all that a module imports, directly or not."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        new = imports.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def _name(module: str) -> str:
    return module.rpartition(".")[2]


def _id(module: str) -> str:
    # `end` and the like would be words of mermaid's.
    return f"m_{_name(module)}"
