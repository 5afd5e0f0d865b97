"""Commands on a real terminal of a given width, and what it shows in the end."""

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping
from pathlib import Path

INTERRUPT = "\x03"  # what Ctrl-C sends


def run_on_terminal(
    command: list[str | Path],
    columns: int = 80,
    answers: Mapping[str, str] | None = None,
    interrupt_after: str = "",
    **options: object,
) -> tuple[int, str]:
    """Run a command on a terminal; return its exit code and all that it wrote.

    Args:
        command: the command.
        columns: the width of the terminal.
        answers: what is typed after each prompt. The terminal turns `\\x03` into Ctrl-C and `\\x04`
            into Ctrl-D.
        interrupt_after: a regular expression; Ctrl-C is typed when what was written matches it.
        options: those of Popen.
    """
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_take_terminal,
        **options,  # type: ignore[call-overload]
    )
    os.close(theirs)
    left = dict(answers or {})
    written = b""
    typed = ""
    while True:
        if typed == INTERRUPT and not select.select([ours], [], [], 2)[0]:
            # Python misses the first one if it comes just before it begins to read.
            os.write(ours, typed.encode())
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the process has ended
            break
        written += chunk
        text = written.decode(errors="replace")
        due = [prompt for prompt in left if text.endswith(f"{prompt}: ")]
        if interrupt_after and re.search(interrupt_after, text):
            due, left, interrupt_after = ["Ctrl-C"], {"Ctrl-C": INTERRUPT}, ""
        for prompt in due:
            typed = left.pop(prompt)
            os.write(ours, typed.encode())
    os.close(ours)
    return process.wait(60), written.decode()


def _take_terminal() -> None:
    """Make standard input the terminal of this process, whose Ctrl-C it does not ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # tests in the background inherit that it does
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def show(written: str, columns: int) -> list[str]:
    """Return the lines that a terminal of this width shows, as if it were high enough for all."""
    lines = [[]]  # type: list[list[str]]
    position = 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.", written, re.DOTALL):
        if part == "\r":
            position = 0
        elif part == "\n":
            lines.append([])
        elif part == "\x1b[K":
            del lines[-1][position:]
        elif not part.startswith("\x1b"):
            if position == columns:
                lines.append([])
                position = 0
            lines[-1][position : position + 1] = part
            position += 1
    return ["".join(line).rstrip() for line in lines]
