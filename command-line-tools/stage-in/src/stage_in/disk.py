"""Writing to disk: error messages with remedies, free space, removal."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from loguru import logger

from stage_in.errors import OutputError

_REMEDIES = {errno.EFBIG: "Raise the limit of the file size (ulimit -f)"}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Report a failure of the file system inside of the `with` as an OutputError.

    Args:
        path: what is written, for the message.

    Raises:
        OutputError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(describe_failure(error, path)) from error


def describe_failure(error: OSError, path: Path) -> str:
    """Return a message that says what can't be written, why, and what helps.

    Args:
        error: what the file system reported.
        path: what was written, where the error does not name a file.
    """
    remedy = _REMEDIES.get(error.errno or 0)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        remedy = "Free disk space"
        with suppress(OSError):
            free = _stat_file_system(path)
            remedy += (
                f" ({free.f_bavail * free.f_frsize} bytes and {free.f_favail} inodes are free)"
            )
    return (
        f"can't write {error.filename or path}: {error.strerror or error}. "
        f"{f'{remedy}, or choose' if remedy else 'Choose'} another --output-dir"
    )


def check_disk_space(folder: Path, size: int) -> None:
    """Check that the disk has space for what will be written, before anything is downloaded.

    Args:
        folder: where it will be written; the folder need not exist.
        size: bytes.

    Raises:
        OutputError: there is too little space.
    """
    with writing(folder):
        free = _stat_file_system(folder)
    available = free.f_bavail * free.f_frsize
    if free.f_blocks and available < size:  # some file systems report no blocks at all
        raise OutputError(
            f"expected {size} bytes of free disk space in {folder}, found {available}. "
            "Free disk space, or choose another --output-dir"
        )


def _stat_file_system(path: Path) -> os.statvfs_result:
    return os.statvfs(next(folder for folder in (path, *path.parents) if folder.exists()))


def flush(path: Path) -> None:
    """Wait until a file or a folder's entries are on disk.

    A file system that can't flush a folder is left alone: it decides itself when to write.

    Raises:
        OSError: the disk fails.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with everything in it.

    Raises:
        OutputError: it can't be removed.
    """
    with writing(path):
        if path.is_dir() and not path.is_symlink():
            logger.debug("Removing {}", path)
            shutil.rmtree(path)
        else:
            path.unlink()
