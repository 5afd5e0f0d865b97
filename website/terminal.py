"""Draw what a command prints on a terminal: `python terminal.py PICTURE.svg COMMAND…`."""

import io
import os
import pty
import re
import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
WIDTH = 100


def run(command: list[str]) -> str:
    """Run a command on a terminal, and return what it prints."""
    printed = []

    def read(terminal: int) -> bytes:
        printed.append(os.read(terminal, 65536))
        return printed[-1]

    os.environ["COLUMNS"] = str(WIDTH)
    code = os.waitstatus_to_exitcode(pty.spawn(command, read))
    if code:
        sys.exit(f"Expected {shlex.join(command)} to exit with 0, found {code}.")
    text = b"".join(printed).decode().replace("\r\n", "\n")
    return text.replace(str(ROOT), "/home/you/stage-in")


def main(picture: Path, *command: str) -> None:
    """Run a command, and write the picture."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text.from_ansi(f"$ {shlex.join(command)}\n{run(list(command))}"))
    svg = console.export_svg(title=shlex.join(command))
    # The picture must not fetch fonts from another host.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    picture.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
