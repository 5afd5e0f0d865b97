"""Results as JSON, and the pages that show them; cog updates their generated parts."""

import json
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from cogapp import Cog

ROOT = Path(__file__).parents[1]


def describe_run() -> dict[str, str]:
    """Return the date, and the machine and the versions that the figures depend on."""
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    machine = [
        f"{model[1] if model else platform.machine()}, {psutil.cpu_count()} cores",
        f"{psutil.virtual_memory().total / 1024**3:.0f} GiB of memory",
        f"Linux {'.'.join(platform.release().split('.')[:2])}",
        f"Python {platform.python_version()}",
        *(f"{name} {version(name)}" for name in ("stage-in", "requests", "urllib3")),
    ]
    return {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": ", ".join(machine)}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object in which each object in a list has a line of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = re.sub(r"(?<=[\[,]) ?(?=\{)|(?<=\})(?=\])", "\n", json.dumps(content))
    path.write_text(f"{text}\n")


def update_pages() -> None:
    """Update the generated parts of all pages that show results."""
    for page in (ROOT / "README.md", *ROOT.glob("docs/*.md")):
        if "cog from benchmarks" in page.read_text():
            Cog().callable_main(["cog", "-r", "-P", "-I", str(ROOT), str(page)])


def make_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: bool = True) -> str:
    """Return a Markdown table.

    Args:
        head: the titles of the columns.
        rows: the cells of each row.
        right: whether all columns except the first are aligned to the right.
    """
    rule = ["---", *("---:" if right else "---" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *rows))
