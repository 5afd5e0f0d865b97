"""Which page of the site comes from where, and what links between them become.

In the repository a page links to files beside it, so that it reads well there. On the site these
links lead to the page that was made of the file, to a copy of it, or nowhere.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path, PurePosixPath

from website import commands, cwl

ROOT = Path(__file__).parents[1]

# Where the rule "docs/<name>.md becomes <name>.md" doesn't hold.
PLACES = {
    "README.md": "index.md",
    "docs/start.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "deploy/argo/README.md": "argo.md",
    "deploy/calrissian/README.md": "calrissian.md",
    # What is described by a page that is made of it.
    "command-line-tools/stage-in/app/app.py": "commands.md",
    "command-line-tools/stage-in/app/login.py": "commands.md",
    "stage-in.cwl": "cwl.md",
}
GENERATED: dict[str, Callable[[Path], str]] = {"commands.md": commands.write, "cwl.md": cwl.write}

_LINK = re.compile(r"(?<=\]\()(?P<target>[^)\s]+)(?=\))")
_WHOLE_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)")
_ELSEWHERE = re.compile(r"[a-z]+:|#")


def list_pages() -> dict[str, str]:
    """Return the page of the site for each Markdown file of the repository that is one."""
    written = {path.relative_to(ROOT).as_posix(): path.name for path in ROOT.glob("docs/*.md")}
    places = {file: page for file, page in PLACES.items() if file.endswith(".md")}
    return {file: page for file, page in (written | places).items() if file != "README.md"}


def build(folder: Path) -> None:
    """Write all that the site is made of.

    Args:
        folder: where to; emptied first.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file, page in list_pages().items():
        (folder / page).write_text(_move((ROOT / file).read_text(), file, folder))
    for page, write in GENERATED.items():
        (folder / page).write_text(_move(write(ROOT), f"docs/{page}", folder))
    for picture in (*ROOT.glob("docs/*.svg"), *ROOT.glob("docs/*.png")):
        shutil.copy(picture, folder)


def _move(text: str, file: str, folder: Path) -> str:
    """Rewrite the links of a page, and copy what they lead to.

    Raises:
        FileNotFoundError: a link leads to what isn't there.
    """

    def lead(match: re.Match[str]) -> str:
        return _lead(match["target"], file, folder) or match["target"]

    def drop(match: re.Match[str]) -> str:
        if _ELSEWHERE.match(match["target"]) or _lead(match["target"], file, folder):
            return match[0]
        return match["text"]

    return _LINK.sub(lead, _WHOLE_LINK.sub(drop, text))


@cache
def _map_pages() -> dict[str, str]:
    """Return the page for each file that a link may lead to."""
    return {**PLACES, **list_pages(), **{f"docs/{page}": page for page in GENERATED}}


def _lead(target: str, file: str, folder: Path) -> str | None:
    """Return what a link becomes; None for one to a folder, which has no page."""
    if _ELSEWHERE.match(target):
        return target
    path, hash_, anchor = target.partition("#")
    found = os.path.normpath(PurePosixPath(file).parent / path)
    if page := _map_pages().get(found):
        return f"{page}{hash_}{anchor}"
    source = ROOT / found
    if source.is_dir():
        return None
    if source.parent == ROOT / "docs" and source.suffix in {".svg", ".png"}:
        return source.name
    copy = folder / "files" / found
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, copy)
    return f"files/{found}"
