"""The output folder: it appears complete, by one rename, or not at all."""

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from stage_in.disk import describe_failure, remove, writing
from stage_in.errors import OutputError, UsageError
from stage_in.safe.manifest import MANIFEST

LOCK = "lock"


class Output:
    """The folder that a run leaves, and the staging folder beside it in which the run works.

    As a context manager it creates the staging folder and holds its lock. After a failure the
    staging folder stays if the next run can resume from it, and the error gets a note that says
    so; otherwise the folder is removed. An OSError that no other code has translated becomes an
    OutputError: errors of the network are translated where they occur.

    Attributes:
        path: where the catalog will be.
        staging: the staging folder, `.<name>.staging` beside `path`, because renaming a folder is
            atomic only within one file system.
        catalog: the unfinished catalog in the staging folder.
    """

    def __init__(self, path: Path) -> None:
        """Set the paths; nothing is created yet.

        Args:
            path: where the catalog will be.

        Raises:
            UsageError: the path does not end in the name of a folder.
        """
        if path.name in {"", ".."}:
            raise UsageError(f"expected the name of a folder as --output-dir, found {str(path)!r}")
        self.path = path
        self.staging = path.parent / f".{path.name}.staging"
        self.catalog = self.staging / "catalog"
        self._lock = -1

    def __enter__(self) -> Self:
        """Create and lock the staging folder.

        Raises:
            OutputError: it can't be created, or another process holds the lock.
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
        failure = error
        if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError):
            failure = OutputError(describe_failure(error, self.staging))
        if failure is not None and self._is_resumable():
            failure.add_note(f"Run the command again to resume from the files in {self.staging}.")
            os.close(self._lock)
        else:
            self._clean()
        if failure is not None and failure is not error:
            raise failure from error

    def keep_only(self, folder: Path, files: Iterable[Path]) -> None:
        """Remove what an earlier run has left, except what this run can use.

        Args:
            folder: a folder below the unfinished catalog, which stays as it is.
            files: files in the staging folder that stay.

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

    def publish(self, folder: Path) -> None:
        """Move a complete folder from the staging folder to its final path.

        Raises:
            OutputError: something else is at that path by now.
        """
        try:
            folder.rename(self.path)
        except OSError as error:
            raise OutputError(
                f"can't move the finished folder to {self.path}: {error.strerror}. Move away what "
                "is there, or choose another --output-dir"
            ) from error

    def _is_resumable(self) -> bool:
        """Tell whether the staging folder holds anything that the next run need not download.

        A manifest alone does not count: each run downloads it again, to know what the files must
        be.
        """
        with suppress(OSError):
            return any(
                path.name not in {LOCK, MANIFEST} and path.is_file() and path.stat().st_size
                for path in self.staging.rglob("*")
            )
        return True

    def _clean(self) -> None:
        """Remove the staging folder, the lock last, so that no other run starts in between."""
        with suppress(OSError, OutputError):
            for path in self.staging.iterdir():
                if path.name != LOCK:
                    remove(path)
            (self.staging / LOCK).unlink()
            self.staging.rmdir()
        os.close(self._lock)

    def _acquire(self) -> int:
        if self.staging.is_symlink():
            raise OutputError(
                f"the staging folder {self.staging} is a link that this tool did not make. "
                "Remove it, or choose another --output-dir"
            )
        path = self.staging / LOCK
        while True:
            with suppress(FileExistsError):
                self.staging.mkdir()
            try:
                lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                continue  # another run has just removed the folder
            except OSError:
                with suppress(OSError):  # the folder may hold someone else's files
                    self.staging.rmdir()
                raise
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(path.stat(), os.fstat(lock)):
                    return lock
            except FileNotFoundError:
                pass  # another run has just removed the folder together with this lock
            except BlockingIOError:
                os.close(lock)
                raise OutputError(
                    f"another stage-in process is writing to {self.path} (it holds {path}). "
                    "Wait for it, or choose another --output-dir"
                ) from None
            os.close(lock)
