"""Staging folders that this tool did not make are refused; output folders are read with care."""

import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.server import Sandbox
from stage_in.errors import OutputError, UsageError
from stage_in.lock import Lock
from stage_in.output import Output
from tests.conftest import StageIn, slow_after

STAGING = ".catalog.staging"
GROUP, ONE, OTHER = 60_300, 60_301, 60_302  # not allocated (Debian Policy, 9.2.2)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two users")


def make_staging(folder: Path) -> Path:
    """Make the staging folder of a run that was killed."""
    lock = Lock(folder / STAGING)
    lock.acquire()
    lock.release()
    (folder / STAGING / "catalog").mkdir()
    (folder / STAGING / "catalog" / "stray").write_text("")
    return folder / STAGING


def make_device(path: Path) -> None:
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def make_hard_link(path: Path) -> None:
    precious = path.parents[3] / "thesis.tex"
    precious.write_text("mine")
    path.hardlink_to(precious)


def make_thesis(folder: Path) -> None:
    (folder / STAGING).mkdir(mode=0o700)
    (folder / STAGING / "thesis.tex").write_text("mine")


def make_link(folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / STAGING).symlink_to("mine")


def change(what: Callable[[Path], object], path: str = "") -> Callable[[Path], None]:
    return lambda folder: (what(make_staging(folder) / path), None)[1]


STRANGERS: dict[str, Callable[[Path], None]] = {
    "made by this tool": make_thesis,
    "not a folder": lambda folder: (folder / STAGING).write_text("mine") and None,
    "is not a folder that this tool has made": make_link,
    "can be changed by other users": change(lambda path: path.chmod(0o777)),
    "by other users": change(lambda path: path.chmod(0o770)),
    "which other users can change": change(
        lambda path: (path.chmod(0o755), (path / "catalog").chmod(0o777))
    ),
    "a link at catalog/x": change(lambda path: path.symlink_to("/tmp"), "catalog/x"),
    "a pipe at catalog/x": change(os.mkfifo, "catalog/x"),
    "a pipe at S2A.zip": change(os.mkfifo, "S2A.zip"),
    "a pipe": change(lambda path: (path.unlink(), os.mkfifo(path)), "stage-in.lock"),
    "a socket at catalog/x": change(make_socket, "catalog/x"),
    "a device at catalog/x": change(make_device, "catalog/x"),
    "another name elsewhere": change(make_hard_link, "catalog/x"),
    "belongs to another user": change(lambda path: os.chown(path, ONE, ONE)),
    "file of another user at catalog": change(lambda path: os.chown(path, ONE, ONE), "catalog"),
}


@pytest.fixture(params=STRANGERS)
def found(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Make a foreign staging folder in the working directory, and check that nothing changes it."""
    name: str = request.param
    if os.geteuid() != 0 and ("user at" in name or "another user" in name or "device" in name):
        pytest.skip("needs root")
    (tmp_path / "work").mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / "work")
    STRANGERS[name](tmp_path / "work")
    paths = ["find", ".", "-printf", "%p %y %m %U %i %l\n"]
    before = subprocess.run(paths, capture_output=True).stdout
    yield name
    assert subprocess.run(paths, capture_output=True).stdout == before


def test_foreign_staging_folders_are_refused(found: str) -> None:
    """Nothing is written or removed, and nothing hangs."""
    with pytest.raises(OutputError) as caught, Output(Path("catalog")):
        pass
    assert found in str(caught.value)
    assert "Move it away, or choose another --output-dir" in str(caught.value)


@pytest.mark.parametrize("found", slow_after(1, STRANGERS), indirect=True)
def test_a_run_requests_nothing_before_its_staging_folder_is_its_own(
    stage_in: StageIn, found: str, platform: Sandbox, new: Path
) -> None:
    run = stage_in(platform.item_url(new.name))
    assert run.code == 73, run.log
    assert found in run.reason
    assert "Move it away, or choose another --output-dir" in run.reason
    assert not platform.log.of("download")


def test_own_staging_folders_are_used(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    """Also an empty one: a run may have been killed before it had locked it."""
    for make in (make_staging, lambda folder: (folder / STAGING).mkdir(0o700)):
        make(stage_in.folder)
        run = stage_in(platform.item_url(new.name))
        assert run.code == 0, run.log
        assert [path.name for path in stage_in.folder.iterdir()] == ["catalog"]
        shutil.rmtree(stage_in.folder / "catalog")


@pytest.mark.parametrize("name", [".x.staging", "a/.Catalog.STAGING", ".a b.staging/"])
def test_names_of_staging_folders_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="another name"):
        Output(Path(name))


def test_an_output_in_a_staging_folder_is_refused(tmp_path: Path) -> None:
    """Another run would remove it."""
    make_staging(tmp_path)
    with pytest.raises(UsageError, match="inside of"):
        Output(tmp_path / STAGING / "catalog" / "out")
    (tmp_path / ".hive.staging").mkdir()
    Output(tmp_path / ".hive.staging" / "out")


def test_a_file_system_without_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All files seem to be of one user there, who is not this one."""
    make_staging(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with Output(tmp_path / "catalog"):
        pass
    assert not [*tmp_path.iterdir()]


def test_a_staging_folder_that_is_replaced(tmp_path: Path) -> None:
    """Where other users may write, they can rename it. What is there instead is left alone."""
    output = Output(tmp_path / "catalog")

    def replace_and_publish() -> None:
        with output:
            output.catalog.mkdir()
            output.staging.rename(tmp_path / "moved")
            output.catalog.mkdir(parents=True)
            (output.catalog / "thesis.tex").write_text("")
            output.keep_only([output.catalog / "x"])
            output.publish(output.catalog)

    with pytest.raises(OutputError, match="has replaced the staging folder"):
        replace_and_publish()
    assert (output.catalog / "thesis.tex").exists()
    assert not output.path.exists()


def test_published_files_have_the_modes_of_the_umask(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    """Also what an earlier run has left, which had another umask."""
    staging = make_staging(stage_in.folder)
    assert stat.S_IMODE(staging.stat().st_mode) == 0o700
    shutil.copytree(new, staging / "catalog" / new.stem / new.name)
    for path in (staging / "catalog").rglob("*"):
        path.chmod(0o777)
    masked = replace(stage_in, through=("sh", "-c", 'umask 027 && exec "$@"', "sh"))
    run = masked(platform.item_url(new.name))
    assert run.code == 0, run.log
    assert "Resuming: " in run.log
    catalog = stage_in.folder / "catalog"
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in catalog.rglob("*")}
    assert modes == {(True, 0o750), (False, 0o640)}
    assert stat.S_IMODE(catalog.stat().st_mode) == 0o750


@pytest.mark.slow
@as_root
def test_a_member_of_the_group_resumes(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    """In a volume with an fsGroup, pods with other users share a group."""
    os.chown(stage_in.folder, 0, GROUP)
    stage_in.folder.chmod(0o2775)
    url = platform.item_url(new.name)
    fault = platform.faults.add("on=download path=*$value status=503 after=4")
    run = as_user(stage_in, ONE, GROUP)(url, "--patience", "5")
    assert run.code == 75, run.log
    platform.faults.remove(fault)
    run = as_user(stage_in, OTHER, OTHER)(url)
    assert run.code == 73, run.log
    run = as_user(stage_in, OTHER, GROUP)(url)
    assert run.code == 0, run.log
    assert "Resuming: " in run.log
    catalog = stage_in.folder / "catalog"
    assert {path.stat().st_uid for path in catalog.rglob("*")} == {ONE, OTHER}
    assert [path.name for path in stage_in.folder.iterdir()] == ["catalog"]


@as_root
@pytest.mark.parametrize("mode", slow_after(1, [0o1777, 0o2775, 0o777, 0o2777]), ids=oct)
def test_the_folder_of_another_user(
    stage_in: StageIn, platform: Sandbox, new: Path, mode: int
) -> None:
    """It is refused, too, where everybody may write, and where this user is not in the group."""
    os.chown(stage_in.folder, OTHER, GROUP)
    stage_in.folder.chmod(mode)
    staging = make_staging(stage_in.folder)
    for path in (staging, *staging.rglob("*")):
        os.chown(path, ONE, GROUP)
        path.chmod(0o777)
    run = as_user(stage_in, OTHER, OTHER)(platform.item_url(new.name))
    assert run.code == 73, run.log
    assert "another user" in run.reason or "other users" in run.reason
    assert (staging / "catalog" / "stray").exists()


def as_user(stage_in: StageIn, user: int, group: int) -> StageIn:
    """Return the command as it runs for another user, who may read what belongs to root."""
    return replace(
        stage_in,
        through=(
            *("setpriv", "--reuid", str(user), "--regid", str(user), "--groups", str(group)),
            *("--inh-caps", "-all,+dac_read_search", "--ambient-caps", "-all,+dac_read_search"),
        ),
    )


# -- the output folder


def make_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(200 * 10**9)


@pytest.mark.parametrize(
    ("name", "make", "found"),
    slow_after(
        4,
        [
            ("manifest.safe", os.mkfifo, "a pipe at"),
            ("manifest.safe", make_sparse, "no valid manifest.safe"),
            ("manifest.safe", lambda path: path.write_text("hunter2"), "no valid manifest.safe"),
            ("GRANULE", lambda path: path.symlink_to("/tmp"), "a link at"),
            ("GRANULE/x", os.mkfifo, "a pipe at"),
            ("manifest.safe", lambda path: path.symlink_to("/etc/passwd"), "a link at"),
        ],
    ),
)
def test_output_folders_that_are_no_output(
    stage_in: StageIn,
    platform: Sandbox,
    new: Path,
    name: str,
    make: Callable[[Path], object],
    found: str,
) -> None:
    """They are read as regular files only, and bounded; nothing of them is quoted."""
    path = stage_in.folder / "catalog" / new.stem / new.name / name
    path.parent.mkdir(parents=True)
    make(path)
    limited = replace(stage_in, through=("prlimit", f"--as={4 * 10**9}"))
    run = limited(platform.item_url(new.name), "--patience", "5")
    assert run.code == 73, run.log
    assert found in run.reason
    assert "hunter2" not in run.log


def test_a_pipe_as_the_item(stage_in: StageIn) -> None:
    """It does not hang."""
    os.mkfifo(stage_in.folder / "item.json")
    run = stage_in("item.json", "--patience", "1")
    assert run.code == 75, run.log
