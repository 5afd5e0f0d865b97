"""Record a command on a terminal as an animated picture.

`python docs/recording.py PICTURE.svg COMMAND…`; `make recording` records `make demo`.

What is drawn is what the command wrote, when it wrote it. Only the folder of the repository gets
another name, as that is nobody's business. The picture is played once and stays at its end; where
nothing moves, the end is all there is. It has no script and fetches nothing.
"""

import os
import pty
import select
import shlex
import struct
import sys
import termios
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fcntl import ioctl
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape

import pyte
from pyte.screens import Char

ROOT = Path(__file__).parents[1]
NAME = "/home/you/stage-in"

COLUMNS, ROWS = 100, 25
LINES = 400  # of all that the command may write: the window shows the last ROWS of them
STEP = 0.1  # seconds between two pictures, at least
CELL, LINE, MARGIN = 8.4, 18, 14  # pixels
COLOURS = {
    "default": "#d6deeb",
    "black": "#637777",
    "red": "#ef5350",
    "green": "#7fdb8a",
    "brown": "#ecc48d",
    "blue": "#82aaff",
    "magenta": "#c792ea",
    "cyan": "#7fdbca",
    "white": "#ffffff",
}
STYLE = """\
text { font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; white-space: pre }
.b { font-weight: bold }
.t { visibility: hidden }
@keyframes hide { from, to { visibility: hidden } }
@keyframes show { from, to { visibility: visible } }
@media (prefers-reduced-motion: reduce) { g { animation: none !important } }
"""

Row = tuple[Char, ...]


@dataclass(frozen=True)
class Written:
    """What a command wrote at once.

    Attributes:
        time: Seconds since it was started.
        text: What it wrote, with the terminal's control sequences.
    """

    time: float
    text: str


@dataclass(frozen=True)
class Shown:
    """What a line of the terminal held for a while.

    Attributes:
        number: Which line, from 0.
        row: Its characters, without blanks at the end.
        start: Seconds since the command was started.
        end: When something else was there; None if it stayed.
    """

    number: int
    row: Row
    start: float
    end: float | None


def record(command: list[str], timeout: float = 300) -> list[Written]:
    """Run a command on a terminal, to its end.

    Args:
        command: Its arguments.
        timeout: Seconds that it may take.

    Raises:
        TimeoutError: It took longer.
        RuntimeError: It failed.
    """
    process, terminal = pty.fork()
    if not process:
        os.environ["TERM"] = "xterm-256color"
        for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # of the make that we may run under
            os.environ.pop(name, None)
        os.execvp(command[0], command)  # noqa: S606 (what the user gave)
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    begin = time.monotonic()
    pieces: list[tuple[float, bytes]] = []
    while time.monotonic() - begin < timeout:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:  # how Linux tells that nobody writes any more
            data = b""
        if not data:
            break
        pieces.append((time.monotonic() - begin, data))
    else:
        os.kill(process, 9)
        os.waitpid(process, 0)
        raise TimeoutError(f"expected {command[0]} to end within {timeout} s; it was ended")
    os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if code:
        raise RuntimeError(f"expected {shlex.join(command)} to end with 0, found {code}")
    return list(_join(pieces))


def _join(pieces: Iterable[tuple[float, bytes]]) -> Iterator[Written]:
    """Put together what came within one step, and rename the repository's folder."""
    for step, group in groupby(pieces, key=lambda piece: round(piece[0] / STEP)):
        text = b"".join(data for _, data in group).decode(errors="replace")
        yield Written(step * STEP, text.replace(str(ROOT), NAME))


def watch(session: Iterable[Written]) -> list[Shown]:
    """Return what each line of the terminal held, and when."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.Stream(screen)
    held: dict[int, tuple[Row, float]] = {}
    shown = []
    for written in session:
        stream.feed(written.text)
        for number in sorted(screen.dirty):
            row = _read_row(screen, number)
            former, start = held.get(number, ((), 0.0))
            if row != former:
                if former:
                    shown.append(Shown(number, former, start, written.time))
                held[number] = (row, written.time)
        screen.dirty.clear()
    return shown + [Shown(number, row, start, None) for number, (row, start) in held.items() if row]


def _read_row(screen: pyte.Screen, number: int) -> Row:
    row = [screen.buffer[number][column] for column in range(COLUMNS)]
    while row and row[-1].data == " ":
        row.pop()
    return tuple(row)


def draw(shown: list[Shown], title: str) -> str:
    """Return the picture.

    Args:
        shown: What each line held, and when.
        title: What it shows, for those who can't see it.
    """
    last = max(line.number for line in shown)
    rows = min(ROWS, last + 1)
    width, height = COLUMNS * CELL + 2 * MARGIN, rows * LINE + 2 * MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
            f'width="{width:g}" height="{height:g}" xml:space="preserve" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>\n{STYLE}{_make_scrolling(shown)}</style>",
            '<rect width="100%" height="100%" rx="8" fill="#011627"/>',
            f'<svg x="{MARGIN}" y="{MARGIN}" width="{COLUMNS * CELL:g}" height="{rows * LINE}">',
            '<g class="scroll">',
            *(_draw_line(line) for line in shown),
            "</g>",
            "</svg>",
            "</svg>\n",
        ]
    )


def _make_scrolling(shown: list[Shown]) -> str:
    """Return the style by which the window follows the last line."""
    lowest, moves = ROWS - 1, []
    for line in sorted(shown, key=lambda line: line.start):
        if line.number > lowest:
            lowest = line.number
            moves.append((line.start, (ROWS - 1 - lowest) * LINE))
    if not moves:
        return ""
    end = moves[-1][0]
    frames = [(0.0, 0), *moves]
    steps = "".join(
        f"{100 * start / end:.2f}% {{ transform: translateY({offset}px) }}\n"
        for start, offset in dict(frames).items()
    )
    return (
        f".scroll {{ transform: translateY({moves[-1][1]}px); "
        f"animation: scroll {end:.1f}s step-end }}\n@keyframes scroll {{\n{steps}}}\n"
    )


def _draw_line(line: Shown) -> str:
    """Return one line: what stays is hidden until it comes, what goes is shown until it goes."""
    if line.end is None:
        when = f'style="animation: hide {line.start:.1f}s"' if line.start else ""
    else:
        when = f'class="t" style="animation: show {line.end - line.start:.1f}s {line.start:.1f}s"'
    runs = []
    column = 0
    for (colour, bold), group in groupby(line.row, key=lambda char: (char.fg, char.bold)):
        text = "".join(char.data for char in group)
        start = column + len(text) - len(text.lstrip())
        column += len(text)
        if text.strip():
            style = ' class="b"' if bold else ""
            runs.append(
                f'<text x="{start * CELL:g}" y="{line.number * LINE + 14}"{style} '
                f'fill="{COLOURS.get(colour, COLOURS["default"])}" '
                f'textLength="{len(text.strip()) * CELL:g}">{escape(text.strip())}</text>'
            )
    return f"<g {when}>{''.join(runs)}</g>".replace("<g >", "<g>")


def main(picture: Path, *command: str) -> None:
    """Record a command, and write its picture."""
    prompt = Written(0.0, f"\x1b[1;32m$\x1b[0m {shlex.join(command)}\r\n")
    session = [Written(one.time + 0.5, one.text) for one in record(list(command))]
    picture.write_text(draw(watch([prompt, *session]), f"{shlex.join(command)}, recorded"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
