"""Writes to disk, with failures that say what helps."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from loguru import logger

from stage_in.errors import OutputError, StageInError

# What helps, other than to write elsewhere.
_REMEDIES = {
    errno.EFBIG: "raise the limit of a file's size (ulimit -f)",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure of the file system while `path` is written into an error of ours.

    Raises:
        OutputError: in place of an OSError.
    """
    try:
        yield
    except StageInError:
        raise
    except OSError as error:
        raise OutputError(describe(error, path)) from error


def check_disk_space(folder: Path, size: int) -> None:
    """Check that there is room for what will be written, before anything is fetched for it.

    Args:
        folder: where, or where it will be.
        size: in bytes.

    Raises:
        OutputError: there is too little.
    """
    with writing(folder):
        room = _get_free_space(folder)
    if room.f_blocks and room.f_bavail * room.f_frsize < size:  # some don't tell
        raise OutputError(
            f"expected room for {size} bytes in {folder}, found "
            f"{room.f_bavail * room.f_frsize}: make room, or choose another --output-dir"
        )


def _get_free_space(path: Path) -> os.statvfs_result:
    return os.statvfs(next(folder for folder in (path, *path.parents) if folder.exists()))


def describe(error: OSError, path: Path) -> str:
    """Say what can't be written, why, and what helps."""
    remedy = _REMEDIES.get(error.errno or 0)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        remedy = "make room"
        with suppress(OSError):
            room = _get_free_space(path)
            remedy += (
                f" ({room.f_bavail * room.f_frsize} bytes and {room.f_favail} more files are free)"
            )
    verb = "open" if error.errno == errno.EMFILE else "write"
    return (
        f"can't {verb} {error.filename or path}: {error.strerror or error}: "
        f"{f'{remedy}, or ' if remedy else ''}choose another --output-dir"
    )


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it.

    Raises:
        OutputError: it can't be removed.
    """
    with writing(path):
        if path.is_dir() and not path.is_symlink():
            logger.debug("Removing {}", path)
            shutil.rmtree(path)
        else:
            path.unlink()
