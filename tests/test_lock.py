"""The lock on a staging folder, on file systems with flock and without."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from stage_in.errors import OutputError
from stage_in.lock import LOCK, MAX_SILENCE, OWNER, Lock, _get_start


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".catalog.staging"


@pytest.fixture(params=["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def no_flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let flock fail as it does on file systems that have none."""

    def fail(descriptor: int, operation: int) -> None:
        number = getattr(errno, request.param)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", fail)


def write_owner(folder: Path, **changes: object) -> Path:
    me = {"host": socket.gethostname(), "pid": os.getpid(), "start": "0"}
    folder.mkdir(exist_ok=True)
    owner = folder / OWNER
    owner.write_text(json.dumps({**me, **changes}))
    return owner


def assert_free(folder: Path) -> None:
    lock = Lock(folder)
    lock.acquire()
    lock.release()


def test_one_at_a_time(folder: Path) -> None:
    lock = Lock(folder)
    lock.acquire()
    with pytest.raises(OutputError, match="another stage-in process is writing"):
        Lock(folder).acquire()
    lock.release()
    assert_free(folder)


def test_a_process_forked_meanwhile_does_not_keep_the_lock(folder: Path) -> None:
    """A program that calls `stage` may have a pool of processes."""
    lock = Lock(folder)
    lock.acquire()
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    try:
        lock.release()
        assert_free(folder)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_one_at_a_time_without_flock(folder: Path, no_flock: None) -> None:
    lock = Lock(folder)
    lock.acquire()
    with pytest.raises(OutputError, match=f"process {os.getpid()} on {socket.gethostname()}"):
        Lock(folder).acquire()
    lock.release()
    assert_free(folder)


def test_the_lock_of_a_dead_process_is_removed(folder: Path, no_flock: None) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    write_owner(folder, pid=dead.pid)
    assert_free(folder)


def test_a_later_process_with_the_same_number_is_another(folder: Path, no_flock: None) -> None:
    write_owner(folder, start="1")
    assert_free(folder)


def test_a_lock_that_another_run_takes_in_between_is_given_back(
    folder: Path, no_flock: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = write_owner(folder, start="1")
    read_owner = Lock._read_owner

    def read_and_replace(lock: Lock) -> Any:
        owner = read_owner(lock)
        if owner["start"] == "1":
            dead.unlink()
            write_owner(folder, start=_get_start(os.getpid()))
        return owner

    monkeypatch.setattr(Lock, "_read_owner", read_and_replace)
    with pytest.raises(OutputError, match=f"process {os.getpid()} on"):
        Lock(folder).acquire()


def test_another_host_is_alive_while_it_touches_the_file(folder: Path, no_flock: None) -> None:
    owner = write_owner(folder, host="elsewhere")
    with pytest.raises(OutputError, match="on elsewhere; remove the file if that has ended"):
        Lock(folder).acquire()
    assert owner.exists()
    past = time.time() - MAX_SILENCE - 1
    os.utime(owner, (past, past))
    assert_free(folder)


def test_a_file_that_was_never_written_counts_as_another_host(folder: Path, no_flock: None) -> None:
    owner = write_owner(folder)
    owner.write_text("")
    with pytest.raises(OutputError, match="an unknown host"):
        Lock(folder).acquire()


def test_flock_respects_an_owner_on_another_host(folder: Path) -> None:
    write_owner(folder, host="elsewhere")
    with pytest.raises(OutputError, match="on elsewhere"):
        Lock(folder).acquire()


def test_of_many_that_find_a_dead_owner_one_gets_the_lock(folder: Path) -> None:
    """Eight processes without flock start at once; those that fail say that another is writing."""
    write_owner(folder, start="1")
    program = (
        "import fcntl, errno, sys, time\n"
        "def fail(*a): raise OSError(errno.ENOSYS, 'no flock')\n"
        "fcntl.flock = fail\n"
        "from pathlib import Path\n"
        "from stage_in.errors import OutputError\n"
        "from stage_in.lock import Lock\n"
        "sys.stdin.readline()\n"
        "lock = Lock(Path(sys.argv[1]))\n"
        "try: lock.acquire()\n"
        "except OutputError: print('held')\n"
        "else: print('mine')\n"
        "sys.stdout.flush(); sys.stdin.readline()\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.stdout.readline().strip() for process in processes if process.stdout]
    for process in processes:
        process.communicate("\n")
    assert sorted(answers) == ["held"] * 7 + ["mine"]


def test_a_lock_file_that_was_swapped_is_not_a_lock(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run removes the folder between open and flock: the lock is taken on the new file."""
    real = fcntl.flock
    swapped = []

    def swap(descriptor: int, operation: int) -> None:
        if not swapped:
            swapped.append((folder / LOCK).unlink())
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", swap)
    lock = Lock(folder)
    lock.acquire()
    assert swapped
    with pytest.raises(OutputError):
        Lock(folder).acquire()
    lock.release()
