"""The output folder: it appears complete, by one rename, or not at all."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from stage_in.disk import describe_failure, flush, remove, writing
from stage_in.errors import OutputError, UsageError
from stage_in.lock import Lock
from stage_in.safe.manifest import MANIFEST


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
            path: where the catalog will be; `~` is expanded.

        Raises:
            UsageError: the path does not end in the name of a folder.
        """
        if path.name in {"", ".."}:
            raise UsageError(f"expected the name of a folder as --output-dir, found {str(path)!r}")
        try:
            self.path = path.expanduser()
        except RuntimeError as error:  # there is no such user
            raise UsageError(f"expected a folder as --output-dir: {error}") from error
        self.staging = self.path.parent / f".{self.path.name}.staging"
        self.catalog = self.staging / "catalog"
        self._lock = Lock(self.staging)

    def __enter__(self) -> Self:
        """Create and lock the staging folder.

        Raises:
            OutputError: it can't be created, or another process holds the lock.
        """
        with writing(self.staging):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.staging.is_symlink():
                raise OutputError(
                    f"the staging folder {self.staging} is a link that this tool did not make. "
                    "Remove it, or choose another --output-dir"
                )
            self._lock.acquire()
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
        else:
            self._clean()
        self._lock.release()
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
        kept = {*files, folder, *folder.parents, *self._locks}
        parents = [parent for parent in folder.parents if self.staging in (parent, *parent.parents)]
        for parent in reversed(parents):
            if parent.is_dir():
                for path in [*parent.iterdir()]:
                    if path not in kept or path.is_symlink():
                        remove(path)

    def publish(self, folder: Path) -> None:
        """Flush a complete folder to disk, and move it from the staging folder to its final path.

        After a power cut the folder is at that path with all its content, or not at all.

        Raises:
            OutputError: something else is at that path by now, or the disk fails.
        """
        with writing(folder):
            for path in folder.rglob("*"):
                flush(path)
            flush(folder)
        try:
            folder.rename(self.path)
        except OSError as error:
            raise OutputError(
                f"can't move the finished folder to {self.path}: {error.strerror}. Move away what "
                "is there, or choose another --output-dir"
            ) from error
        with writing(self.path):
            flush(self.path.parent)

    def replace(self, name: str, content: bytes) -> None:
        """Write a file in the published folder, by a rename, so that it is never half-written.

        Args:
            name: its path in the folder.
            content: its content.

        Raises:
            OutputError: it can't be written.
        """
        target = self.path / name
        part = self.staging / "part"
        with writing(target):
            part.write_bytes(content)
            flush(part)
            if target.is_dir() and not target.is_symlink():
                raise OutputError(f"expected a file at {target}, found a folder. Move it away")
            part.replace(target)
            flush(target.parent)

    @property
    def _locks(self) -> set[Path]:
        return {self.staging / name for name in self._lock.files}

    def _is_resumable(self) -> bool:
        """Tell whether the staging folder holds anything that the next run need not download.

        A manifest alone does not count: each run downloads it again, to know what the files must
        be.
        """
        with suppress(OSError):
            return any(
                path.name not in {*self._lock.files, MANIFEST}
                and path.is_file()
                and path.stat().st_size
                for path in self.staging.rglob("*")
            )
        return True

    def _clean(self) -> None:
        """Remove the staging folder, the lock last, so that no other run starts in between."""
        with suppress(OSError, OutputError):
            for path in self.staging.iterdir():
                if path not in self._locks:
                    remove(path)
            for path in self._locks:
                path.unlink(missing_ok=True)
            self.staging.rmdir()
