"""Which module of a package imports which, as a picture."""

from __future__ import annotations

import grimp

EVERYWHERE = "errors"  # what nearly all import tells nothing
SETTINGS = '%%{init: {"flowchart": {"nodeSpacing": 12, "rankSpacing": 40, "padding": 10}}}%%'


def draw(package: str) -> str:
    """Return a mermaid diagram of the modules.

    An arrow that follows from others is left out: where a module imports one that imports a third,
    that it imports the third, too, is not drawn.

    Args:
        package: whose modules.
    """
    graph = grimp.build_graph(package, exclude_type_checking_imports=True)
    imports = {
        module: graph.find_modules_directly_imported_by(module) - {f"{package}.{EVERYWHERE}"}
        for module in sorted(graph.modules - {package, f"{package}.{EVERYWHERE}"})
    }
    lines = [SETTINGS, "flowchart TB"]
    lines += [f"  {_id(module)}[{_name(module)}]" for module in imports]
    for module, imported in imports.items():
        behind = {far for near in imported for far in _reach(near, imports)}
        lines += [f"  {_id(module)} --> {_id(other)}" for other in sorted(imported - behind)]
    return "\n".join([*lines, "  classDef default font-size:28px"])


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
