"""The product in a mounted archive: copied, verified, and never through a link."""

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.server import Sandbox
from stage_in.errors import NotFoundError, StageInError, TemporaryError, VerificationError
from stage_in.safe.name import ProductName
from stage_in.settings import Settings
from stage_in.sources.completion import Completion
from stage_in.sources.download import Download
from stage_in.sources.mount import MountSource
from stage_in.transfer.arrivals import Arrivals
from tests.conftest import Run, SameTree, StageIn
from tests.editing import find

BAND = "*IMG_DATA/*_B03.jp2"


@pytest.fixture
def mount(platform: Sandbox, new: Path, tmp_path: Path) -> Path:
    """The SAFE folder of the newer product in a mounted archive, `eodata`."""
    (product,) = [x for x in platform.products if x.name == new.name]
    return shutil.copytree(new, tmp_path / "eodata" / product.s3_key)


def run_with_mount(stage_in: StageIn, mount: Path, *options: str, **variables: str) -> Run:
    variables = {"CDSE_EODATA": str(mount.parents[6]), "CDSE_ACCESS_TOKEN": "", **variables}
    return stage_in(stage_in.platform.item_url(mount.name), *options, **variables)


def find_staged(stage_in: StageIn, mount: Path) -> Path:
    return stage_in.folder / "catalog" / mount.stem / mount.name


def test_a_product_is_copied_without_a_token(
    stage_in: StageIn, platform: Sandbox, mount: Path, assert_same_tree: SameTree
) -> None:
    run = run_with_mount(stage_in, mount)
    assert run.code == 0, run.log
    assert f"the mounted archive, {mount}" in run.log
    assert not [x for role in ("download", "s3", "identity") for x in platform.log.of(role)]
    staged = find_staged(stage_in, mount)
    assert_same_tree(mount, staged)
    assert not [path for path in staged.rglob("*") if path.is_symlink()]
    assert {path.stat().st_nlink for path in staged.rglob("*.jp2")} == {1}


def empty(path: Path) -> None:
    path.write_bytes(b"")


def link(path: Path) -> None:
    """Replace a file by a link to the same content, which only its kind gives away."""
    path.rename(path.parents[9] / "elsewhere")
    path.symlink_to(path.parents[9] / "elsewhere")


def link_folder(path: Path) -> None:
    path.parent.rename(path.parents[9] / "elsewhere")
    path.parent.symlink_to(path.parents[9] / "elsewhere")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


Damage = Callable[[Path], None]
DAMAGES = [
    (empty, {65}),
    (link, {65}),
    # The list of files finds a link, and the files are missing. Either may fail three times first.
    (link_folder, {65, 66}),
    (pipe, {65}),
    (lambda path: path.chmod(0), {77 if os.geteuid() else 0}),
]


@pytest.mark.parametrize("damage", [link, pipe])
def test_only_files_are_opened(mount: Path, damage: Damage) -> None:
    path = find(mount, BAND)
    damage(mount / path)
    with (
        pytest.raises(VerificationError, match="must be a plain file"),
        MountSource(mount, Arrivals(), 1).open(path),
    ):
        pass


@pytest.mark.slow
@pytest.mark.parametrize(("damage", "codes"), DAMAGES)
def test_damage_ends_a_run_that_has_no_other_source(
    stage_in: StageIn, mount: Path, damage: Damage, codes: set[int]
) -> None:
    damage(mount / find(mount, BAND))
    run = run_with_mount(stage_in, mount, "--transport", "mount")
    assert run.code in codes, run.log
    if run.code:
        assert "_B03.jp2" in run.reason or "IMG_DATA" in run.reason
        assert not (stage_in.folder / "catalog").exists()


def test_the_next_source_delivers_what_the_mount_does_not(
    stage_in: StageIn, platform: Sandbox, mount: Path, new: Path, assert_same_tree: SameTree
) -> None:
    """First S3, then single files, each of them only what is still missing."""
    empty(mount / find(mount, BAND))
    platform.faults.add(f"status=404 on=s3 path={BAND}")
    environment = {**platform.s3_environment(), "CDSE_ACCESS_TOKEN": platform.mint()}
    run = run_with_mount(stage_in, mount, **environment)
    assert run.code == 0, run.log
    assert_same_tree(new, find_staged(stage_in, mount))
    assert "Falling back to S3" in run.log
    assert "Falling back to single files" in run.log
    (file,) = platform.log.of("download", "*IMG_DATA*$value")
    assert file.path.endswith("_B03.jp2)/$value")


def test_a_product_that_is_not_there_comes_from_the_next_source(
    stage_in: StageIn, platform: Sandbox, mount: Path
) -> None:
    shutil.rmtree(mount)
    run = run_with_mount(stage_in, mount, CDSE_ACCESS_TOKEN=platform.mint())
    assert run.code == 0, run.log
    assert "in the mounted archive" in run.log


@pytest.mark.parametrize("has_token", [True, False])
def test_an_archive_that_is_not_mounted(
    stage_in: StageIn, platform: Sandbox, mount: Path, has_token: bool
) -> None:
    """It does not look like a product that does not exist."""
    shutil.rmtree(mount.parents[5])
    token = platform.mint() if has_token else ""
    run = run_with_mount(stage_in, mount, CDSE_ACCESS_TOKEN=token)
    assert run.code == (0 if has_token else 2), run.log
    assert f"here is no folder Sentinel-2 in {mount.parents[6]}" in run.log
    assert not platform.log.of("catalogue")


def test_a_transport_that_needs_a_variable(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    run = stage_in(platform.item_url(new.name), "--transport", "mount")
    assert run.code == 2
    assert "CDSE_EODATA" in run.reason
    assert not list(platform.log)


# -- What a file system does that no folder on disk can be made to do


def copy(mount: Path, folder: Path, patience: float) -> Path:
    """Copy a product in this process."""
    arrivals = Arrivals()
    name = ProductName.parse(mount.name)
    settings = Settings(patience=patience)
    source = MountSource(mount, arrivals, 4)
    safe = folder / mount.name
    download = Download(
        source,
        name,
        safe,
        settings,
        arrivals,
        lambda: None,
        Completion(lambda _: None, lambda *_: None),
    )
    return download.run().path


def replace_read(monkeypatch: pytest.MonkeyPatch, read: Callable[[], bytes | None]) -> None:
    """Let reads of one band return what a function returns, unless that is None."""
    pread = os.pread

    def replaced(descriptor: int, size: int, position: int) -> bytes:
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        content = read() if "/eodata/" in path and path.endswith("_B03.jp2") else None
        return pread(descriptor, size, position) if content is None else content

    monkeypatch.setattr(os, "pread", replaced)


@pytest.mark.parametrize("number", [errno.EIO, errno.EPERM, errno.ESTALE])
def test_an_error_of_the_file_system_is_temporary(
    mount: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    assert_same_tree: SameTree,
    number: int,
) -> None:
    failures = [number]

    def read() -> None:
        if failures:
            raise OSError(failures.pop(), os.strerror(number))

    replace_read(monkeypatch, read)
    assert_same_tree(mount, copy(mount, tmp_path / "copy", 30))
    assert not failures


def test_an_error_that_stays_ends_by_patience(
    mount: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    replace_read(monkeypatch, read)
    with pytest.raises(TemporaryError, match=r"no new data arrived for 1 s.*Input/output error"):
        copy(mount, tmp_path / "copy", 1)


def test_a_read_that_hangs_ends_by_patience(
    mount: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_read(monkeypatch, lambda: time.sleep(30))
    started = time.monotonic()
    with pytest.raises(TemporaryError, match="has not ended"):
        copy(mount, tmp_path / "copy", 1)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("../eodata-x", NotFoundError),
        ("GRANULE", VerificationError),
        ("manifest.safe/x", NotFoundError),
    ],
)
def test_what_is_no_file(mount: Path, path: str, kind: type[StageInError]) -> None:
    with pytest.raises(kind), MountSource(mount, Arrivals(), 4).open(path):
        pass
