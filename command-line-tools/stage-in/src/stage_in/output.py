"""The output folder: it appears complete, by one rename, or not at all."""

import errno
import os
import re
import stat
from collections.abc import Collection, Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from stage_in.disk import (
    OPEN_FOLDER,
    describe_failure,
    flush,
    flush_all,
    list_names,
    remove,
    writing,
)
from stage_in.errors import OutputError, UsageError
from stage_in.lock import Lock
from stage_in.ownership import is_marked
from stage_in.safe.manifest import MANIFEST

_STAGING = re.compile(r"\..+\.staging", re.IGNORECASE | re.DOTALL)


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
            raise UsageError(
                f"--output-dir must end with the name of a folder, but is {str(path)!r}"
            )
        if _STAGING.fullmatch(path.name):
            raise UsageError(
                f"--output-dir must not have the name of a staging folder, but is {path}. Choose "
                "another name"
            )
        try:
            self.path = path.expanduser()
        except RuntimeError as error:  # there is no such user
            raise UsageError(f"--output-dir can't be used: {error}") from error
        for folder in self.path.absolute().parents:
            if _STAGING.fullmatch(folder.name) and is_marked(folder):
                raise UsageError(
                    f"--output-dir is {self.path}, inside of {folder}. Another run removes what is "
                    "in its staging folder, so choose another folder"
                )
        self.staging = self.path.parent / f".{self.path.name}.staging"
        self.catalog = self.staging / "catalog"
        self._lock = Lock(self.staging)

    def __enter__(self) -> Self:
        """Create and lock the staging folder.

        On a read-only disk there is none if the output exists: it can be verified without a lock.

        Raises:
            OutputError: it can't be created, is not this tool's, or another process holds the lock.
        """
        with writing(self.staging):
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._lock.acquire()
            except OSError as error:
                if error.errno != errno.EROFS or not self._exists:
                    raise
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
        # NFS and FUSE keep a removed file under another name while it is open, as the lock was.
        with suppress(OSError):  # it is not empty, or another run has removed it
            self.staging.rmdir()
        if failure is not None and failure is not error:
            raise failure from error

    def keep_only(self, paths: Iterable[Path]) -> None:
        """Remove what an earlier run has left, except what this run can use.

        Args:
            paths: files and folders below the staging folder that stay as they are.

        Raises:
            OutputError: something can't be removed.
        """
        kept = [path.relative_to(self.staging).parts for path in paths]
        kept += [(name,) for name in self._lock.files]
        with writing(self.staging):
            _keep_only(kept, self._lock.folder)
            _ = self._folder_mode  # now, as the disk may be full later

    def measure(self) -> int:
        """Return the bytes of the files that the staging folder holds."""
        with writing(self.staging):
            return sum(path.lstat().st_size for path in self.staging.rglob("*"))

    def publish(self, folder: Path) -> None:
        """Flush a complete folder to disk, and move it from the staging folder to its final path.

        After a power cut the folder is at that path with all its content, or not at all.

        Raises:
            OutputError: something else is at that path by now, or the disk fails.
        """
        if not self._lock.is_in_place:
            raise OutputError(
                f"another user or process has replaced the staging folder {self.staging}. Choose "
                "an --output-dir in a folder of your own"
            )
        with writing(folder):
            mode = self._folder_mode
            paths = [*folder.rglob("*"), folder]
            for path in paths:
                _set_mode(path, mode)
            flush_all(paths)
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
                raise OutputError(
                    f"there is a folder at {target}, where the catalog needs a file. Move it away"
                )
            part.replace(target)
            flush(target.parent)

    @property
    def _exists(self) -> bool:
        return self.path.is_dir() and any(self.path.iterdir())

    @cached_property
    def _folder_mode(self) -> int:
        """The mode of a new folder, which the umask decides.

        An earlier run may have had another umask, and a shared staging folder has other modes.
        """
        example = self.staging / "mode"
        example.mkdir(exist_ok=True)
        mode = example.stat().st_mode
        example.rmdir()
        return stat.S_IMODE(mode)

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
        """Empty the staging folder, the lock last, so that no other run starts in between."""
        with suppress(OSError, OutputError):
            folder = self._lock.folder
            for name in list_names(folder):
                if name not in self._lock.files:
                    remove(Path(name), folder)
            for name in self._lock.files:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)


def _keep_only(kept: Collection[tuple[str, ...]], folder: int) -> None:
    """Remove all but some paths below a folder, which is given by its descriptor."""
    for name in list_names(folder):
        is_link = stat.S_ISLNK(os.lstat(name, dir_fd=folder).st_mode)
        below = [path[1:] for path in kept if path[0] == name and not is_link]
        if () in below:
            continue
        if below:
            with suppress(NotADirectoryError):
                child = os.open(name, OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=folder)
                try:
                    _keep_only(below, child)
                finally:
                    os.close(child)
                continue
        remove(Path(name), folder)


def _set_mode(path: Path, folder_mode: int) -> None:
    status = path.lstat()
    mode = folder_mode if stat.S_ISDIR(status.st_mode) else folder_mode & 0o666
    if stat.S_IMODE(status.st_mode) != mode:
        with suppress(PermissionError):  # another member of the group has made it
            path.chmod(mode)
