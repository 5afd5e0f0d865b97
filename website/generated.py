"""``python -m website.generated``: write anew what pages of the repository show of its files.

Between ``<!-- generated: <what> <arguments> -->`` and ``<!-- /generated -->`` is what a function of
this module returns; a test holds the pages against it.
"""

from __future__ import annotations

import inspect
import json
import re
import shlex
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from website import commands, cwl, example, modules
from website.pages import ROOT, list_pages

BLOCK = re.compile(
    r"(?P<begin><!-- generated: (?P<call>[^>]+) -->\n)(?P<text>.*?)(?P<end><!-- /generated -->)",
    re.DOTALL,
)


def show_workflow(name: str) -> str:
    """Show the steps of a workflow."""
    return _fence("mermaid", cwl.draw(ROOT / f"workflows/{name}.cwl"))


def show_modules() -> str:
    """Show which module of the package imports which."""
    return _fence("mermaid", modules.draw("app"))


def show_faults() -> str:
    """Show the words of the sandbox's rules."""
    from sandbox.faults import Fault

    text = inspect.getdoc(Fault) or ""
    attributes = text.partition("Attributes:\n")[2]
    lines = ["| word | meaning |", "|---|---|"]
    for entry in re.split(r"\n(?=    \w+:)", attributes.rstrip()):
        name, _, meaning = " ".join(entry.split()).partition(": ")
        lines.append(f"| `{name.replace('headers', 'header')}` | {meaning} |")
    return "\n".join(lines) + "\n"


def show_sandbox() -> str:
    """Show the options of the sandbox."""
    from sandbox.__main__ import main

    return "\n".join(commands.tabulate(main, "sandbox")) + "\n"


def show_item(*paths: str) -> str:
    """Show parts of an item that was staged from the sandbox.

    Args:
        paths: names of fields, from the top, separated by slashes.
    """
    item = stage_example()
    excerpt: dict[str, Any] = {}
    for path in paths:
        *parents, last = path.split("/")
        source, target = item, excerpt
        for parent in parents:
            source, target = source[parent], target.setdefault(parent, {})
        target[last] = source[last]
    return _fence("json", example.write(excerpt))


def show_asset(key: str) -> str:
    """Show an asset of that item."""
    return _fence("json", example.write({key: stage_example()["assets"][key]}))


SHOWS: dict[str, Callable[..., str]] = {
    "asset": show_asset,
    "faults": show_faults,
    "item": show_item,
    "modules": show_modules,
    "sandbox": show_sandbox,
    "workflow": show_workflow,
}


@cache
def stage_example() -> dict[str, Any]:
    """Stage the sandbox's product, and return its item."""
    with tempfile.TemporaryDirectory(prefix="example-") as folder:
        item: dict[str, Any] = json.loads(example.stage(Path(folder)).read_text())
    return item


def renew(text: str) -> str:
    """Return a page with its generated parts as they are to be."""

    def show(match: re.Match[str]) -> str:
        what, *arguments = shlex.split(match["call"])
        return f"{match['begin']}{SHOWS[what](*arguments)}{match['end']}"

    return BLOCK.sub(show, text)


def main() -> None:
    """Renew all pages."""
    for file in list_pages():
        page = ROOT / file
        text = page.read_text()
        if (renewed := renew(text)) != text:
            page.write_text(renewed)
            print(f"{file} is renewed")


def _fence(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```\n"


if __name__ == "__main__":
    main()
