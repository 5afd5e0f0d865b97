"""Failures of the file system, free disk space, removal."""

import errno
import os
from pathlib import Path

import pytest

from stage_in.disk import check_disk_space, read_file, remove, writing
from stage_in.errors import OutputError, ProductError


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        *((number, "Choose") for number in (errno.EIO, errno.ESTALE, errno.ENOLCK, errno.EACCES)),
        (errno.EDQUOT, r"Free disk space \(\d+ bytes and \d+ inodes are free\), or choose"),
        (errno.ENOSPC, r"Free disk space \(\d+ bytes and \d+ inodes are free\), or choose"),
        (errno.EFBIG, r"Raise the limit of the file size \(ulimit -f\), or choose"),
    ],
)
@pytest.mark.parametrize("file", [None, "there"])
def test_failures_say_what_helps(
    tmp_path: Path, number: int, remedy: str, file: str | None
) -> None:
    """The tests have no file system with quotas, no broken disk and no server far away."""
    why = os.strerror(number)
    complaint = f"^can't write {file or tmp_path}: {why}. {remedy} another --output-dir$"
    with pytest.raises(OutputError, match=complaint), writing(tmp_path):
        raise OSError(number, why, file)


def test_other_failures_are_not_translated(tmp_path: Path) -> None:
    with pytest.raises(ProductError), writing(tmp_path):
        raise ProductError("an example")
    with pytest.raises(ZeroDivisionError), writing(tmp_path):
        raise ZeroDivisionError


def test_disk_space(tmp_path: Path) -> None:
    """The folder need not exist."""
    check_disk_space(tmp_path / "new" / "folder", 1)
    with pytest.raises(OutputError, match=rf"{10**18} bytes .*, but only \d+ are free\. Free disk"):
        check_disk_space(tmp_path / "new" / "folder", 10**18)
    assert not [*tmp_path.iterdir()]


def test_only_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="It is a pipe"):
        read_file(tmp_path / "pipe", 10)


def test_removal(tmp_path: Path) -> None:
    """A folder is removed with its content; of a link, nothing else is removed."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(precious)
    (tmp_path / "link").symlink_to(precious)
    (tmp_path / "file").write_text("")
    for name in ("folder", "link", "file"):
        remove(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["precious", "thesis.tex"]
    with pytest.raises(OutputError, match="No such file"):
        remove(tmp_path / "file")
