"""The report in Markdown, without secrets, and without anything that Markdown would obey."""

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.pages import ROOT
from stage_in import secrets
from stage_in.secrets import clean

_MAX_LENGTH = 300  # characters of a text that others wrote
_SIGNATURE = re.compile(r"(Signature=)[0-9a-f]{64}")  # of a request to S3, if it is echoed
# Besides the secrets that the tool knows: what names the user.
_NAMES = ("CDSE_USERNAME", "CDSE_S3_ACCESS_KEY", "AWS_ACCESS_KEY_ID")


class Filter:
    """Removes secrets, and the paths of this machine, from the lines of a report."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        secrets.register_environment(environment)
        secrets.register(*(environment.get(name, "") for name in _NAMES))
        places = {
            **{str(folder): "…", environment.get("HOME", ""): "~"},
            **{environment.get("CDSE_EODATA", ""): "<mount>"},
            **{environment.get("TMPDIR", ""): "<tmp>", sys.prefix: "<python>", str(ROOT): "<here>"},
        }
        self._places = {
            re.compile(rf"{re.escape(path.rstrip('/'))}(?![\w.-])"): mark
            for path, mark in sorted(places.items(), key=lambda place: -len(place[0]))
            if len(path) > 1
        }

    def __call__(self, line: str) -> str:
        """Return a line that may be published."""
        for path, mark in self._places.items():
            line = path.sub(mark, line)
        return _SIGNATURE.sub(r"\1…", clean(line))


def code(text: object) -> str:
    """Return a text that others wrote as code, so that it is no link, mention or cell border."""
    shown = secrets.strike(str(text))[:_MAX_LENGTH]
    for character, replacement in (("`", "'"), ("|", "¦"), ("\n", " "), ("\r", " ")):
        shown = shown.replace(character, replacement)
    return f"`{shown.strip() or ' '}`"


def make_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a table."""
    names = [*header]
    lines = [names, ["---"] * len(names), *([*row] for row in rows)]
    return [f"| {' | '.join(cells)} |" for cells in lines]
