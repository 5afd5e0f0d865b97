"""The rules for a staging folder: this tool must have made it, and nobody else may change it.

A run removes what is in its staging folder and trusts the rest, so it works in no other.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import NoReturn

from stage_in.disk import describe_kind, is_shared, list_names, share, walk
from stage_in.errors import OutputError

LOCK = "stage-in.lock"  # is created first and removed last; other files of the lock begin like it
_OTHERS_WRITE = 0o022
_OTHERS_ENTER = 0o011


def is_marked(folder: Path) -> bool:
    """Tell whether this tool has made a staging folder."""
    return (folder / LOCK).is_file()


class Ownership:
    """The rules for one staging folder, which is open.

    The folder has to look like one that this run would make at the same place now: the same owner,
    and no more permissions to write. On a file system without owners and modes, all look alike. If
    the folder beside it belongs to a group (`is_shared`), the owner may be another member, because
    every member could replace the folder anyway.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """Compare owner and modes.

        Args:
            path: the staging folder.
            descriptor: the same folder, which stays the same if the path is replaced.

        Raises:
            OutputError: the folder is not this run's.
            OSError: it can't be read.
        """
        self._path = path
        self._descriptor = descriptor
        self._status = os.fstat(descriptor)
        self._mode = 0o700
        self._owner = os.geteuid()
        self._is_shared = False
        if self._status.st_uid != self._owner or self._status.st_mode & 0o077:
            self._make_example()
        if self._status.st_uid != self._owner and not self._is_shared:
            self._refuse("belongs to another user")
        if self._status.st_mode & _OTHERS_WRITE & ~self._mode:
            self._refuse("can be changed by other users")

    def check_marker(self) -> None:
        """Check that the folder is empty, or holds the file that this tool creates first.

        Raises:
            OutputError: it holds something else.
            OSError: it can't be read.
        """
        names = list_names(self._descriptor)
        if names and not any(name.startswith(LOCK) for name in names):
            self._refuse(f"was not made by this tool, because it contains no {LOCK}")

    def check_content(self) -> None:
        """Check everything in the folder, which must be locked.

        Raises:
            OutputError: there is a link, a device, a pipe, a socket, a mounted folder, or something
                that another user could change.
            OSError: a folder in it can't be read.
        """
        can_enter = self._status.st_mode & _OTHERS_ENTER & ~self._mode
        for path, status in walk(self._descriptor):
            is_file = stat.S_ISREG(status.st_mode)
            if not (is_file or stat.S_ISDIR(status.st_mode)):
                self._refuse(f"contains {describe_kind(status)} at {path}")
            # A lock that changes its owner has two names for a moment.
            if is_file and status.st_nlink > 1 and not path.startswith(f"{LOCK}."):
                self._refuse(f"contains a file that has another name elsewhere, at {path}")
            # An overlay may give each of its files the device of another file system.
            if not is_file and status.st_dev != self._status.st_dev:
                self._refuse(f"contains a mounted folder at {path}")
            if status.st_uid != self._owner and not self._is_shared:
                self._refuse(f"contains a file of another user at {path}")
            if can_enter and status.st_mode & _OTHERS_WRITE & ~self._mode:
                self._refuse(f"contains {path}, which other users can change")

    def _make_example(self) -> None:
        """Look at a folder that is made like a staging folder and removed again."""
        example = Path(mkdtemp(prefix=".stage-in.", dir=self._path.parent))
        try:
            share(example)
            status = example.stat()
        finally:
            with suppress(OSError):
                example.rmdir()
        self._owner, self._mode = status.st_uid, status.st_mode
        self._is_shared = is_shared(self._path.parent) and status.st_gid == self._status.st_gid

    def _refuse(self, found: str) -> NoReturn:
        raise OutputError(
            f"the staging folder {self._path} {found}. Move it away, or choose another --output-dir"
        )
