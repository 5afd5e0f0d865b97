"""`python -m benchmarks.soak.measured`: the command, time and again in one process.

The command stages one product and ends. What it would leave behind shows where a process goes on:
this one takes orders from standard input, a JSON object a line, and answers each by another on
standard output: how it ended, and what the process holds then.
"""

import ctypes
import json
import os
import sys
import threading
import time
from pathlib import Path

from app.app import main as command

SETTLE = 2.0  # seconds that threads have, at most, to end which have nothing left to do


def main() -> None:
    """Take orders until there are no more."""
    for line in sys.stdin:
        order = json.loads(line)
        for name in [name for name in os.environ if name.startswith("CDSE_")]:
            del os.environ[name]
        os.environ.update(order["variables"])
        os.chdir(order["folder"])
        code = 0
        started = time.perf_counter()
        try:
            command(order["arguments"], standalone_mode=False)
        except SystemExit as end:
            code = end.code
        wall = time.perf_counter() - started
        print(json.dumps({"code": code, "wall": wall, **_look()}), flush=True)


class _Mallinfo(ctypes.Structure):
    """What malloc of the GNU C library tells of itself (mallinfo(3))."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def _look() -> dict[str, int]:
    """Return what this process holds."""
    until = time.monotonic() + SETTLE
    while threading.active_count() > 1 and time.monotonic() < until:
        time.sleep(0.01)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    files = [_get_target(link) for link in Path("/proc/self/fd").iterdir()]
    return {
        # One of them is the folder that has just been listed.
        "files": len(files) - 1,
        "sockets": sum(target.startswith("socket:") for target in files),
        "threads": threading.active_count(),
        "tasks": int(status["Threads"]),
        "memory": int(status["VmRSS"].split()[0]) * 1024,
        "heap": _get_heap(),
        "blocks": sys.getallocatedblocks(),
    }


def _get_heap() -> int:
    """Return the bytes that malloc has given and not got back; 0 where it doesn't tell."""
    tell = getattr(ctypes.CDLL(None), "mallinfo2", None)  # from glibc 2.33 on
    if tell is None:
        return 0
    tell.restype = _Mallinfo
    info = tell()
    return int(info.uordblks + info.hblkhd)


def _get_target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    main()
