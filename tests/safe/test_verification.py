"""Files compared with their entries in the manifest: while written, later, and by the next run."""

import hashlib
import itertools
import shutil
from pathlib import Path

import pytest

from stage_in.errors import OutputError, VerificationError
from stage_in.safe.folder import SafeFolder
from stage_in.safe.manifest import Entry
from stage_in.safe.name import ProductName
from stage_in.safe.verification import check_safe_folder, keep_verified, write_verified
from tests.editing import MANIFEST, find, open_folder

CONTENT = b"0123456789"


def entry_of(content: bytes, algorithm: str = "sha3_256") -> Entry:
    return Entry("a/file", len(content), algorithm, hashlib.new(algorithm, content).hexdigest())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a" / "file"


# -- while a file is written


@pytest.mark.parametrize("algorithm", ["md5", "sha3_256"])
@pytest.mark.parametrize("start", range(len(CONTENT) + 1))
def test_a_right_file(file: Path, algorithm: str, start: int) -> None:
    """An earlier attempt has left its first bytes, and more that are not its own."""
    file.parent.mkdir()
    file.write_bytes(CONTENT[:start] + b"another end")
    chunks = [CONTENT[start : start + 2], CONTENT[start + 2 :]]
    write_verified(chunks, file, entry_of(CONTENT, algorithm), start)
    assert file.read_bytes() == CONTENT


def test_the_folder_is_created(file: Path) -> None:
    write_verified([CONTENT], file, entry_of(CONTENT))
    assert file.read_bytes() == CONTENT


def test_a_short_file(file: Path) -> None:
    with pytest.raises(VerificationError, match="9 bytes of a/file arrived, but its size is 10"):
        write_verified([CONTENT[:-1]], file, entry_of(CONTENT))


def test_an_endless_file(file: Path) -> None:
    with pytest.raises(VerificationError, match="more than 10 bytes of a/file arrived"):
        write_verified(itertools.repeat(b"0123"), file, entry_of(CONTENT))
    assert file.stat().st_size <= len(CONTENT)


@pytest.mark.parametrize(("left", "arriving"), [(b"", b"X123456789"), (b"X1234", b"56789")])
def test_another_digest(file: Path, left: bytes, arriving: bytes) -> None:
    """The bytes that an earlier attempt has left are verified, too."""
    file.parent.mkdir()
    file.write_bytes(left)
    with pytest.raises(
        VerificationError,
        match=r"sha3_256 of a/file must begin with \w{16}, .* but begins with \w{16}$",
    ):
        write_verified([arriving], file, entry_of(CONTENT), len(left))


def test_only_the_size_is_checked_without_a_digest(file: Path) -> None:
    write_verified([b"abcde"], file, Entry("a/file", 5))
    with pytest.raises(VerificationError, match="more than"):
        write_verified([b"abcdef"], file, Entry("a/file", 5))


def test_links_are_replaced_and_not_followed(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    file.parent.mkdir()
    file.symlink_to(target)
    write_verified([CONTENT], file, entry_of(CONTENT))
    assert not file.is_symlink()
    assert target.read_text() == "precious"


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(OutputError, match="can't write"):
        write_verified([CONTENT], tmp_path / "a" / "file", entry_of(CONTENT))


# -- a folder that is complete, or should be


@pytest.fixture
def safe(new: Path, tmp_path: Path) -> Path:
    """A copy of a product, for a test to change."""
    return shutil.copytree(new, tmp_path / new.name)


def check(safe: Path, bands: set[str] | None = None) -> SafeFolder:
    return check_safe_folder(safe, ProductName.parse(safe.name), bands)


def test_a_complete_folder(safe: Path) -> None:
    folder = check(safe)
    assert folder == open_folder(safe)
    assert (folder.partial, folder.verified) == (False, True)


def test_a_partial_folder(safe: Path) -> None:
    """The files of other bands may be missing; a file that is there is verified all the same."""
    others = [path for path in open_folder(safe).entries if path.endswith("_B02.jp2")]
    assert len(others) == 3
    for path in others[1:]:
        (safe / path).unlink()
    folder = check(safe, {"B03", "B08"})
    assert (folder.partial, folder.verified) == (True, True)
    with pytest.raises(OutputError, match="2 of its files are missing or changed"):
        check(safe)
    (safe / others[0]).write_bytes(b"")
    with pytest.raises(
        OutputError, match=f"1 of its files are missing or changed, the first .* {others[0]}"
    ):
        check(safe, {"B03", "B08"})


def test_changed_missing_and_linked_files(safe: Path, new: Path) -> None:
    paths = [find(safe, f"T*_{band}.jp2") for band in ("B02", "B03", "B04")]
    changed, missing, linked = (safe / path for path in paths)
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    missing.unlink()
    with pytest.raises(
        OutputError, match=f"2 of its files are missing or changed, the first .* {paths[0]}"
    ):
        check(safe)
    linked.unlink()
    linked.symlink_to(new / paths[2])
    with pytest.raises(OutputError, match=f"there is a link at {paths[2]}"):
        check(safe)
    for path in (changed, linked):
        path.unlink()
    with pytest.raises(
        OutputError, match=f"1 of its files are missing or changed, the first .* {paths[1]}"
    ):
        check(safe, {"B03", "B08"})
    assert check(safe, {"B08", "TCI"}).partial


@pytest.mark.parametrize("content", [None, b"", b"<html/>"])
def test_a_folder_without_a_manifest(safe: Path, content: bytes | None) -> None:
    (safe / MANIFEST).unlink()
    if content is not None:
        (safe / MANIFEST).write_bytes(content)
    with pytest.raises(OutputError, match=f"the product in {safe} is not complete"):
        check(safe)


# -- what an earlier run has left


def test_only_verified_files_and_beginnings_are_kept(safe: Path, new: Path) -> None:
    """A file of the right size with another content goes; a shorter one may be completed."""
    entries = open_folder(safe).entries
    kept = {*entries}
    beginnings = {find(safe, name) for name in ("T*_B02.jp2", "T*_B03.jp2")}
    for path in beginnings:
        (safe / path).write_bytes(b"x")
    changed = find(safe, "MTD_DS.xml")
    (safe / changed).write_bytes(bytes(entries[changed].size))
    longer = find(safe, "T*_B05.jp2")
    (safe / longer).write_bytes(bytes(entries[longer].size + 1))
    kept -= {*beginnings, changed, longer}
    linked = find(safe, "T*_B04.jp2")
    (safe / linked).unlink()
    (safe / linked).symlink_to(new / linked)
    (safe / "stranger.txt").write_text("")
    (safe / "empty" / "folder").mkdir(parents=True)
    (safe / "elsewhere").symlink_to(new)
    assert keep_verified(safe, entries) == kept - {linked}
    left = {path.relative_to(safe).as_posix() for path in safe.rglob("*") if not path.is_dir()}
    assert left == kept - {linked} | beginnings
    assert not (safe / "empty").exists()
    assert (new / linked).is_file()


def test_files_that_are_not_wanted_any_more_are_removed(safe: Path) -> None:
    path = find(safe, "T*_B02.jp2")
    assert keep_verified(safe, {path: open_folder(safe).entries[path]}) == {path}
    assert [file.name for file in safe.rglob("*.*") if file.is_file()] == [Path(path).name]


def test_nothing_is_kept_of_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    assert keep_verified(tmp_path / "none", {"a/file": entry_of(CONTENT)}) == set()
