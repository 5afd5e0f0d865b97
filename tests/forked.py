"""Processes of the command that need not load its libraries, which saves a second for each run.

`python -m tests.forked` imports the command, then forks a process for each order on its standard
input. The process calls the command's own `run`, with its own environment, working directory,
standard streams and exit code.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, Run

MAX_DURATION = 100.0  # seconds after which a run is killed


class Forked:
    """Runs the command; the context manager starts and ends the process that forks."""

    def __enter__(self) -> "Forked":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.forked"],
            cwd=ROOT,
            env={**os.environ, "PYTHONWARNINGS": "error", "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=MAX_DURATION)

    def __call__(self, arguments: list[str], folder: Path, environment: dict[str, str]) -> Run:
        """Run the command and wait for its end."""
        streams = [folder.with_name(name) for name in ("out", "log")]
        order = {
            "arguments": arguments,
            "folder": str(folder),
            "environment": environment,
            "streams": [str(path) for path in streams],
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(order)}\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        out, log = (path.read_text() for path in streams)
        assert out == ""
        return Run(code, log)


def serve() -> None:
    """Run the ordered processes, one after another."""
    from stage_in.cli import run
    from stage_in.stac.stactools_item import preload

    preload()
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            _become(order)
            try:
                run()
            except BaseException:  # as the interpreter would
                traceback.print_exc()
                sys.stderr.flush()
            os._exit(1)
        sys.stdout.write(f"{_wait(child)}\n")
        sys.stdout.flush()


def _become(order: dict[str, Any]) -> None:
    for number, path in ((0, os.devnull), (1, order["streams"][0]), (2, order["streams"][1])):
        file = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["app.py", *order["arguments"]]


def _wait(child: int) -> int:
    deadline = time.monotonic() + MAX_DURATION
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            deadline += MAX_DURATION
        time.sleep(0.005)


if __name__ == "__main__":
    serve()
