"""Writing to disk: error messages with remedies, free space, shared folders, removal."""

import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from stage_in.errors import OutputError
from stage_in.logger import logger

_REMEDIES = {errno.EFBIG: "Raise the limit of the file size (ulimit -f)"}
_FLUSHES = 8  # at a time
OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC  # for os.open
_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


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
            f"{size} bytes of disk space are needed in {folder}, but only {available} are free. "
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


def flush_all(paths: Iterable[Path]) -> None:
    """Flush files and folders, many at a time, which file systems combine to one write.

    Raises:
        OSError: the disk fails.
    """
    paths = [*paths]
    with ThreadPoolExecutor(_FLUSHES) as pool:
        try:
            flushes = [pool.submit(flush, path) for path in paths]
        except RuntimeError:  # the system allows no more threads
            for path in paths:
                flush(path)
        else:
            for flushing in flushes:
                flushing.result()


def make_folder(path: Path) -> None:
    """Create a folder, and its parents where they are missing.

    Raises:
        OSError: it can't be created.
    """
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        share(path)


def share(path: Path) -> None:
    """Let the group write to a new file or folder if it is in a folder that the group shares.

    Otherwise a pod with another user, but the same group, could not resume from it.
    """
    if is_shared(path.parent):
        status = path.stat()
        group = 0o2070 if stat.S_ISDIR(status.st_mode) else 0o060
        with suppress(PermissionError):  # some file systems have no modes
            path.chmod(stat.S_IMODE(status.st_mode) | group)


def is_shared(folder: Path) -> bool:
    """Tell whether a folder is meant for its group: all members may write, and nobody else.

    The setgid bit, which hands the group on, tells it from a folder of a user whose umask is 002.
    Kubernetes sets both on the volumes of a pod with an `fsGroup`.
    """
    mode = folder.stat().st_mode
    return bool(mode & stat.S_ISGID and mode & stat.S_IWGRP and not mode & stat.S_IWOTH)


def list_names(folder: int) -> list[str]:
    """Return the names in a folder that is open.

    It is opened again, because btrfs and sshfs may list what was there when it was opened.

    Raises:
        OSError: it can't be read.
    """
    descriptor = os.open(".", OPEN_FOLDER, dir_fd=folder)
    try:
        return os.listdir(descriptor)  # noqa: PTH208 (a descriptor)
    finally:
        os.close(descriptor)


def walk(folder: Path | int) -> Iterator[tuple[str, os.stat_result]]:
    """Yield path and status of everything in a folder, which may change meanwhile.

    No link is followed, except one at the folder itself.

    Raises:
        OSError: a folder can't be read.
    """

    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    descriptor = os.open(folder, OPEN_FOLDER) if isinstance(folder, Path) else os.dup(folder)
    try:
        for root, folders, files, parent in os.fwalk(".", dir_fd=descriptor, onerror=fail):
            for name in sorted((*folders, *files)):
                with suppress(FileNotFoundError):
                    yield os.path.normpath(f"{root}/{name}"), os.lstat(name, dir_fd=parent)
    finally:
        os.close(descriptor)


def check_plain(folder: Path) -> None:
    """Check that a folder holds nothing but files and folders.

    Raises:
        OutputError: it holds a link, a device, a pipe or a socket.
        OSError: it can't be read.
    """
    for path, status in walk(folder):
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise OutputError(
                f"the folder {folder} must contain only files and folders, but there is "
                f"{describe_kind(status)} at {path}. Move the folder away, or choose another "
                "--output-dir"
            )


def describe_kind(status: os.stat_result) -> str:
    """Return what a path is, if it is neither a file nor a folder."""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "something else")


def read_file(path: Path, limit: int, folder: int | None = None) -> bytes:
    """Return the content of a file, at most `limit` bytes and one more.

    Args:
        path: the file, to which no link leads.
        limit: bytes.
        folder: the descriptor of the folder that the path starts in.

    Raises:
        OSError: it is no regular file, or can't be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe would block
    with os.fdopen(os.open(path, flags, dir_fd=folder), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, f"It is {describe_kind(status)}", str(path))
        return file.read(limit + 1)


def find_differing(path: Path, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files that are missing in a folder, are no plain files or have other content."""
    return {name: content for name, content in files.items() if not _has(path / name, content)}


def _has(path: Path, content: bytes) -> bool:
    try:
        return (
            not path.is_symlink()
            and path.is_file()
            and path.stat().st_size == len(content)
            and path.read_bytes() == content
        )
    except OSError:
        return False


def remove(path: Path, folder: int | None = None) -> None:
    """Remove a file, a link, or a folder with everything in it.

    Args:
        path: what is removed.
        folder: the descriptor of the folder that the path starts in.

    Raises:
        OutputError: it can't be removed.
    """
    with writing(path):
        if stat.S_ISDIR(os.lstat(path, dir_fd=folder).st_mode):
            logger.debug("Removing {}", path)
            shutil.rmtree(path, dir_fd=folder)
        else:
            os.unlink(path, dir_fd=folder)
