"""How the end of a command and signals end its process."""

import subprocess
import sys

import pytest


def run(script: str) -> "subprocess.CompletedProcess[str]":
    """Run a function `command`, which the script defines, as a process."""
    script = (
        "import os, signal, sys, threading, time\n"
        "from stage_in.process import run_as_process\n"
        f"{script}\n"
        "run_as_process(command)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    ("code", "expected"), [("0", 0), ("None", 0), ("2", 2), ("75", 75), ("'a message'", 1)]
)
def test_exit_code(code: str, expected: int) -> None:
    """What the command has printed is flushed, although the interpreter is not torn down."""
    ended = run(f"def command():\n  print('printed')\n  sys.exit({code})")
    assert ended.returncode == expected
    assert ended.stdout == "printed\n"


def test_a_bug_keeps_its_traceback() -> None:
    ended = run("def command():\n  raise ValueError('a bug')")
    assert ended.returncode == 1
    assert ended.stderr.startswith("Traceback")
    assert ended.stderr.endswith("ValueError: a bug\n")


def test_threads_that_wait_do_not_delay_the_end() -> None:
    """Not even threads that are no daemons; the process would run for longer than `run` waits."""
    ended = run(
        "def command():\n  threading.Thread(target=time.sleep, args=(600,)).start()\n  sys.exit(0)"
    )
    assert ended.returncode == 0


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_signal(name: str) -> None:
    """The command itself does not notice: it is in a section that nothing may interrupt."""
    ended = run(
        "def command():\n"
        "  try:\n"
        f"    os.kill(os.getpid(), signal.{name})\n"
        "    time.sleep(600)\n"
        "  except BaseException:\n"
        "    print('interrupted')\n"
    )
    assert ended.returncode == {"SIGINT": 130, "SIGTERM": 143}[name]
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert f"Stopped by {name}. Run the command again to resume." in ended.stderr


def test_signal_without_a_thread_to_wait_for_it() -> None:
    ended = run(
        "def fail(thread):\n"
        '  raise RuntimeError("can\'t start new thread")\n'
        "threading.Thread.start = fail\n"
        "def command():\n"
        "  os.kill(os.getpid(), signal.SIGTERM)\n"
        "  time.sleep(600)\n"
    )
    assert ended.returncode == -15
