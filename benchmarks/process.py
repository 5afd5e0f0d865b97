"""One process and all that it starts: how long, and what it takes."""

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MEMORY_BEAT = 0.02  # seconds between looks at the memory
DISK_BEAT = 0.1  # seconds between looks at the disk


@dataclass(frozen=True)
class Usage:
    """What a command took, from exec to exit.

    Attributes:
        wall: seconds.
        cpu: seconds of processor time, user and system, of the process and its descendants.
        memory: bytes: peak resident set of the process and its descendants, added up.
        disk: bytes: peak of what is allocated below its folder.
        code: exit code, negative for a signal.
        log: end of what it wrote to standard output and standard error.
    """

    wall: float
    cpu: float
    memory: int
    disk: int
    code: int
    log: str


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
) -> Usage:
    """Run a command to its end and measure it. Needs Linux.

    Args:
        command: its arguments.
        folder: where it runs, and the one place where its files count.
        environment: all of its variables.
        timeout: seconds after which it is killed.

    Raises:
        RuntimeError: this system does not tell the children of a process.
    """
    if not Path(f"/proc/self/task/{threading.get_native_id()}/children").exists():
        raise RuntimeError("expected a Linux kernel with /proc/…/children to measure with")
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        watch = _Watch(process.pid, folder, start + timeout)
        watch.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            watch.stop()
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        size = log.seek(0, os.SEEK_END)
        log.seek(max(0, size - 4000))
        text = log.read().decode("utf-8", "replace")
    return Usage(
        wall,
        used.ru_utime + used.ru_stime,
        watch.memory,
        max(watch.disk, get_allocated(folder)),
        process.returncode,
        text,
    )


class _Watch(threading.Thread):
    """Looks at a process from time to time, for the peaks that nobody else keeps.

    Memory is VmHWM of each process, which the kernel keeps and which starts anew at exec, added
    up over those that are alive together. So nothing is missed between two looks, and the sum is
    never too low. (ru_maxrss of a child starts with what its parent had, that is, we ourselves.)
    """

    def __init__(self, pid: int, folder: Path, deadline: float) -> None:
        super().__init__(daemon=True)
        self.memory = 0
        self.disk = 0
        self._pid = pid
        self._folder = folder
        self._deadline = deadline
        self._ended = threading.Event()

    def run(self) -> None:
        look = 0.0
        while True:
            self.memory = max(self.memory, sum(map(_get_peak, _get_tree(self._pid))))
            now = time.perf_counter()
            if now >= look:
                self.disk = max(self.disk, get_allocated(self._folder))
                look = now + DISK_BEAT
            if now > self._deadline:
                os.killpg(self._pid, signal.SIGKILL)
                return
            if self._ended.wait(MEMORY_BEAT):
                return

    def stop(self) -> None:
        self._ended.set()
        self.join()


def get_allocated(folder: Path) -> int:
    """Return the bytes that the files below a folder occupy, each counted once."""
    return 512 * sum(dict(_list_blocks(folder)).values())


def _list_blocks(folder: Path) -> Iterator[tuple[int, int]]:
    # Files come and go meanwhile.
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _list_blocks(Path(entry.path))
                else:
                    stat = Path(entry.path).lstat()
                    yield stat.st_ino, stat.st_blocks
    except FileNotFoundError:
        return


def _get_tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                yield from _get_tree(int(child))
    except (FileNotFoundError, ProcessLookupError):
        return


def _get_peak(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0
