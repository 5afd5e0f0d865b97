"""The output folder: worked on aside under a lock, there by one rename, or not at all."""

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from stage_in.disk import describe, remove, writing
from stage_in.errors import OutputError, TemporaryError, UsageError

LOCK = "lock"


class Output:
    """The folder that a run leaves, and the staging folder beside it that it works in.

    As a context manager it holds the staging folder and its lock. The folder stays after a
    temporary failure or an interruption, for the next run to go on from, and goes otherwise. An
    OSError that nobody has translated becomes an OutputError: those of the network have been, where
    they came from.

    Attributes:
        path: where the catalog will be.
        staging: where it is worked on, `.<name>.staging` beside it: renaming a folder is atomic
            only within one file system.
        catalog: the catalog in the making.
    """

    def __init__(self, path: Path) -> None:
        """Name the folders.

        Args:
            path: where the catalog will be.

        Raises:
            UsageError: that is no name of a folder.
        """
        if path.name in {"", ".."}:
            raise UsageError(f"expected the name of a folder as --output-dir, found {str(path)!r}")
        self.path = path
        self.staging = path.parent / f".{path.name}.staging"
        self.catalog = self.staging / "catalog"
        self._lock = -1

    def __enter__(self) -> Self:
        """Make and lock the staging folder.

        Raises:
            OutputError: it can't be made, or another run is at it.
        """
        with writing(self.staging):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self._acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        going_on = isinstance(error, TemporaryError) or (
            error is not None and not isinstance(error, Exception)
        )
        if going_on:
            os.close(self._lock)
        else:
            self._clean()
        if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError):
            raise OutputError(describe(error, self.staging)) from error

    def keep_only(self, folder: Path, files: Iterable[Path]) -> None:
        """Remove what an earlier run has left, but for what this one can go on from.

        Args:
            folder: somewhere below the catalog in the making; what is in it stays.
            files: in the staging folder.

        Raises:
            OutputError: something can't be removed.
        """
        kept = {self.staging / LOCK, *files, folder, *folder.parents}
        parents = [parent for parent in folder.parents if self.staging in (parent, *parent.parents)]
        for parent in reversed(parents):
            if parent.is_dir():
                for path in [*parent.iterdir()]:
                    if path not in kept or path.is_symlink():
                        remove(path)

    def _clean(self) -> None:
        """Remove the staging folder, the lock last: until then nobody else begins there."""
        with suppress(OSError, OutputError):
            for path in self.staging.iterdir():
                if path.name != LOCK:
                    remove(path)
            (self.staging / LOCK).unlink()
            self.staging.rmdir()
        os.close(self._lock)

    def publish(self, folder: Path) -> None:
        """Let a folder in the staging folder appear, complete, under its own name.

        Raises:
            OutputError: something else is there by now.
        """
        try:
            folder.rename(self.path)
        except OSError as error:
            raise OutputError(
                f"can't put it at {self.path}: {error.strerror}: is another product "
                "there, or a mounted folder?"
            ) from error

    def _acquire(self) -> int:
        if self.staging.is_symlink():
            raise OutputError(
                f"expected a folder of ours at {self.staging}, found a link: remove it"
            )
        path = self.staging / LOCK
        while True:
            with suppress(FileExistsError):
                self.staging.mkdir()
            try:
                lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                continue  # the run that was at it has just removed the folder
            except OSError:
                with suppress(OSError):  # somebody else's things are in it
                    self.staging.rmdir()
                raise
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(path.stat(), os.fstat(lock)):
                    return lock
            except FileNotFoundError:
                pass  # likewise, and the lock with it
            except BlockingIOError:
                os.close(lock)
                raise OutputError(
                    f"expected to be alone at {self.path}, found another run at it (it holds "
                    f"{path}): wait for it, or choose another --output-dir"
                ) from None
            os.close(lock)
