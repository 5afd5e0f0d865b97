"""The lock on a staging folder: one run at a time, also where the file system has no flock."""

import errno
import fcntl
import json
import os
import socket
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from stage_in.disk import OPEN_FOLDER, flush, read_file, share
from stage_in.errors import OutputError
from stage_in.logger import logger
from stage_in.ownership import LOCK, Ownership
from stage_in.secrets import excerpt

OWNER = f"{LOCK}.owner"
_MAX_OWNER_SIZE = 1024  # bytes
_MAX_HOST_LENGTH = 64  # characters (gethostname(2))
# What flock reports on Lustre without -o flock, NFS without lockd, and some FUSE file systems.
_NO_FLOCK = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}
HEARTBEAT_INTERVAL = 20.0  # seconds between two signs of life of the owner
MAX_SILENCE = 180.0  # seconds without one after which a run on another host counts as dead


class Lock:
    """An exclusive lock on a folder, which ends with the process that holds it.

    Normally it is an flock on a file in the folder. Where the file system has none, a file that
    only one process can create names the owner. Such a file outlives its process, so a later run
    removes it if its owner no longer exists, or if it is on another host and has stopped touching
    the file.

    Attributes:
        files: the names of the files in the folder that belong to the lock.
        folder: the descriptor of the folder while it is locked. What is removed is removed in that,
            because another user may be able to replace the folder's path.
    """

    def __init__(self, folder: Path) -> None:
        """Set the path; nothing is locked yet.

        Args:
            folder: the folder to lock, which need not exist.
        """
        self.files = (LOCK, OWNER)
        self.folder = -1
        self._folder = folder
        self._path = folder / LOCK
        self._owner = folder / OWNER
        self._descriptor = -1
        self._released = threading.Event()

    def acquire(self) -> None:
        """Create the folder if necessary, check that it is ours, and lock it.

        Raises:
            OutputError: another process holds the lock, or the folder is not ours.
            OSError: the folder or the file can't be created.
        """
        while self.folder < 0:
            with suppress(FileExistsError):
                self._folder.mkdir(0o700)
                share(self._folder)
            with suppress(FileNotFoundError), ExitStack() as stack:  # another run has removed it
                folder = self._open_folder()
                stack.callback(os.close, folder)
                ownership = Ownership(self._folder, folder)
                ownership.check_marker()
                if not self._lock(folder):
                    continue
                stack.callback(self.release)
                ownership.check_content()
                if not os.path.samestat(os.fstat(folder), self._folder.lstat()):
                    continue
                stack.pop_all()
                self.folder = folder

    @property
    def is_in_place(self) -> bool:
        """Whether the folder's path still leads to the folder that was locked."""
        try:
            return os.path.samestat(os.fstat(self.folder), self._folder.lstat())
        except FileNotFoundError:
            return False

    def _open_folder(self) -> int:
        try:
            return os.open(self._folder, OPEN_FOLDER | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                raise
            raise OutputError(
                f"the staging folder {self._folder} is not a folder that this tool has made. Move "
                "it away, or choose another --output-dir"
            ) from error

    def _lock(self, folder: int) -> bool:
        """Lock the file in the folder, which also shows that this tool has made the folder.

        Returns:
            False if another run has changed the lock meanwhile.

        Raises:
            OutputError: another process holds the lock.
            OSError: the file can't be created or locked.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(LOCK, flags, 0o600, dir_fd=folder)
        except OSError as error:
            error.filename = str(self._path)
            with suppress(OSError):  # it may not be empty
                self._folder.rmdir()
            raise
        with ExitStack() as stack:
            stack.callback(os.close, descriptor)
            share(self._path)
            # After a power cut, btrfs may lack a file that was not flushed, but have later ones.
            flush(self._path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise self._held(self._path) from None
            except OSError as error:
                if error.errno not in _NO_FLOCK:
                    raise
                if not self._create_owner():
                    return False
            else:
                if not os.path.samestat(self._path.lstat(), os.fstat(descriptor)):
                    return False
                self._remove_dead_owner()  # of a host that mounts the folder without flock
                self._descriptor = os.dup(descriptor)
        return True

    def release(self) -> None:
        """Release the lock; the files stay."""
        self._released.set()
        if self.folder >= 0:
            os.close(self.folder)
        if self._descriptor >= 0:
            # A process that was forked meanwhile has the descriptor, too, and would keep the lock.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = -1
        else:
            with suppress(OSError):  # it may be missing, or the disk is read-only by now
                self._owner.unlink()
        self.folder = -1

    def _held(self, path: Path, by: str = "") -> OutputError:
        return OutputError(
            f"another stage-in process is writing to this --output-dir (it holds {path}{by}). Wait "
            "for it, or choose another --output-dir"
        )

    def _create_owner(self) -> bool:
        """Create the file that names the owner; False if a dead owner's file was removed instead.

        Raises:
            OutputError: the owner is alive.
        """
        me = {"host": socket.gethostname(), "pid": os.getpid(), "start": _get_start(os.getpid())}
        try:
            descriptor = os.open(
                self._owner, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
        except FileExistsError:
            self._remove_dead_owner()
            return False
        except FileNotFoundError:
            return False  # another run has just removed the folder
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(me, file)
        share(self._owner)
        logger.warning(
            "The file system of {} has no flock: a file with the owner's name serves as the lock",
            self._folder,
        )
        with suppress(RuntimeError):  # the system allows no more threads
            threading.Thread(target=self._show_life, daemon=True).start()
        return True

    def _show_life(self) -> None:
        while not self._released.wait(HEARTBEAT_INTERVAL):
            with suppress(OSError):
                os.utime(self._owner)

    def _remove_dead_owner(self) -> None:
        """Remove the owner's file if the owner is dead.

        The file is renamed first: of several runs that find it, one succeeds.
        """
        with suppress(FileNotFoundError):
            before = self._owner.lstat()
            owner = self._read_owner()
            if self._is_alive(owner, time.time() - before.st_mtime):
                host = excerpt(owner.get("host", "an unknown host"), _MAX_HOST_LENGTH)
                pid = excerpt(owner.get("pid", "?"), _MAX_HOST_LENGTH)
                raise self._held(
                    self._owner,
                    f" of process {pid} on {host}; remove the file if that has ended",
                )
            grave = self._owner.with_name(f"{OWNER}.{os.getpid()}")
            self._owner.rename(grave)
            after = grave.lstat()
            same = (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
            if not same:  # another run has taken the lock in between
                with suppress(OSError):
                    os.link(grave, self._owner)
            grave.unlink()
            if same:
                logger.warning("Removed the lock of a run that no longer exists: {}", self._owner)

    def _read_owner(self) -> dict[str, Any]:
        try:
            owner = json.loads(read_file(self._owner, _MAX_OWNER_SIZE))
        except (ValueError, RecursionError):
            owner = {}  # its owner is writing it, or was killed before
        return owner if isinstance(owner, dict) else {}

    @staticmethod
    def _is_alive(owner: dict[str, Any], silence: float) -> bool:
        if owner.get("host") == socket.gethostname():
            start = _get_start(owner.get("pid"))
            return start is not None and start == owner.get("start")
        return silence < MAX_SILENCE


def _get_start(pid: Any) -> str | None:
    """Return when a process of this machine started, in ticks since boot; None if there is none.

    It distinguishes a process from a later one with the same number.
    """
    try:
        status = Path(f"/proc/{int(pid)}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError, TypeError, ValueError):
        return None
    return status.rpartition(")")[2].split()[19]
