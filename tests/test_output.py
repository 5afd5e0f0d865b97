"""The output folder: what is there already, what a failure leaves, what cannot be written."""

import errno
import filecmp
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote

import pytest

from sandbox.server import Sandbox
from stage_in.errors import CredentialsError, OutputError, ProductError, TemporaryError
from stage_in.lock import LOCK, Lock
from stage_in.output import Output
from tests.conftest import Run, SameTree, StageIn, slow_after
from tests.editing import open_folder

PAGE = os.sysconf("SC_PAGESIZE")
STAGING = ".catalog.staging"
RESUME = f"Run the command again to resume from the files in {STAGING}."
NAMESPACE = ("unshare", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")), "--mount")


def switch_user() -> tuple[str, ...]:
    """Return the command that runs another as an ordinary user, if the tests run as root.

    Root may write everywhere. No other process has the user's id, because limits of threads count
    all processes of a user. The user may read root's files, as the interpreter may be among them.
    """
    if os.geteuid() != 0:
        return ()
    used = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError):
            used.add(process.stat().st_uid)
    # The ids from 60,000 to 64,999 are not allocated (Debian Policy, 9.2.2).
    first = os.getpid() % 5000
    uid = next(uid for n in range(5000) if (uid := 60_000 + (first + n) % 5000) not in used)
    return (
        *("setpriv", "--reuid", f"{uid}", "--regid", f"{uid}", "--clear-groups"),
        *("--inh-caps", "-all,+dac_read_search", "--ambient-caps", "-all,+dac_read_search"),
    )


def make_staging(folder: Path) -> Path:
    """Make the staging folder of a run that was killed before it had written anything."""
    lock = Lock(folder / STAGING)
    lock.acquire()
    lock.release()
    return folder / STAGING


def list_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def assert_refused(run: Run, *words: str) -> None:
    """Check that a run ended with 73, and that its last line has these words."""
    assert run.code == 73, run.log
    assert "ERROR" in run.reason
    assert all(word in run.reason for word in words), run.reason
    assert "Traceback" not in run.log


def list_verified(folder: Path, product: Path) -> set[str]:
    """Return the files of a product that a failed run has left complete in its staging folder."""
    safe = folder / STAGING / "catalog" / product.stem / product.name
    return {
        path
        for path in open_folder(product).entries
        if (safe / path).is_file() and filecmp.cmp(safe / path, product / path, shallow=False)
    }


def list_requested(platform: Sandbox) -> set[str]:
    """Return the files of products whose bytes were requested; an empty path is that of a zip."""
    return {
        "/".join(re.findall(r"Nodes\(([^)]*)\)", unquote(exchange.path))[1:])
        for exchange in platform.log.of("download", "*$value")
    }


def assert_resumable_as_told(run: Run, folder: Path) -> bool:
    """Check that a failed run says that the next one resumes if and only if it left files.

    Returns:
        Whether it left files.
    """
    left = [path for path in (folder / STAGING).rglob("*") if path.is_file()]
    assert (folder / STAGING).exists() == bool(left)
    assert {*left} != {folder / STAGING / "stage-in.lock"}
    assert run.reason.endswith(RESUME) == bool(left), run.reason
    assert ("resume" in run.reason) == bool(left)
    return bool(left)


def assert_resumes(stage_in: StageIn, folder: Path, product: Path, *options: str) -> set[str]:
    """Run the command to its end, and check that it requests no verified file again.

    Returns:
        The files that it did not request because they were verified.
    """
    verified = list_verified(folder, product)
    has_zip = (folder / STAGING / f"{product.stem}.zip").exists()
    stage_in.platform.log.clear()
    run = stage_in(stage_in.platform.item_url(product.name), *options)
    assert run.code == 0, run.log
    requested = list_requested(stage_in.platform)
    assert not requested & verified
    assert not (has_zip and requested)
    assert (f"Resuming: {len(verified)} of" in run.log) == bool(verified)
    assert {path.name for path in folder.iterdir()} == {"catalog"}
    diff = ["diff", "-r", product, folder / "catalog" / product.stem / product.name]
    assert subprocess.run(diff, capture_output=True, text=True).stdout == ""
    return verified


# -- what is there


def test_another_product_is_there(
    stage_in: StageIn, platform: Sandbox, new: Path, old: Path, assert_same_tree: SameTree
) -> None:
    assert stage_in(platform.item_url(old.name)).code == 0
    platform.log.clear()
    for options in ((), ("--transport", "zip"), ("--assets", "B04")):
        run = stage_in(platform.item_url(new.name), *options)
        assert_refused(run, new.stem, "Move it away", "--output-dir")
    assert not platform.log.of("download")
    assert list_names(stage_in.folder) == {"catalog"}
    assert_same_tree(old, stage_in.folder / "catalog" / old.stem / old.name)


@pytest.mark.parametrize(
    "name", slow_after(2, ["catalog.json", "lost+found", "thesis.tex", ".hidden"])
)
def test_another_folder_is_there(
    stage_in: StageIn, platform: Sandbox, new: Path, name: str
) -> None:
    foreign = stage_in.folder / "catalog" / name
    foreign.parent.mkdir()
    foreign.write_text("{}")
    assert_refused(
        stage_in(platform.item_url(new.name)), "There is something else at", "Move it away"
    )
    assert not platform.log.of("download")
    assert foreign.read_text() == "{}"
    assert list_names(stage_in.folder) == {"catalog"}


def test_an_empty_folder_is_there(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    (stage_in.folder / "catalog").mkdir()
    run = stage_in(platform.item_url(new.name))
    assert run.code == 0, run.log
    assert (stage_in.folder / "catalog" / "catalog.json").is_file()


def test_resuming(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree
) -> None:
    """Of what is in the staging folder, verified files stay and everything else is removed."""
    staging = make_staging(stage_in.folder)
    safe = staging / "catalog" / new.stem / new.name
    safe.mkdir(parents=True)
    (staging / "catalog" / "S2A_OTHER").mkdir()
    (staging / "other.zip").write_bytes(b"x")
    (safe / "MTD_MSIL1C.xml").write_bytes((new / "MTD_MSIL1C.xml").read_bytes())
    (safe / "INSPIRE.xml").write_bytes(b"half")
    (safe / "stranger.txt").write_text("")
    (staging / "catalog" / new.stem / "stray.json").write_text("{}")
    (staging / "catalog" / "lock").write_text("")
    (safe / "stray" / "AUX_DATA").mkdir(parents=True)
    (safe / "manifest.safe" / "stray").mkdir(parents=True)
    run = stage_in(platform.item_url(new.name), "--verbose")
    assert run.code == 0, run.log
    assert "Resuming: 1 of" in run.log
    assert "Verified MTD_MSIL1C.xml" not in run.log
    assert "Verified INSPIRE.xml" in run.log
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)
    assert list_names(stage_in.folder / "catalog") == {"catalog.json", new.stem}
    assert {path.name for path in stage_in.folder.iterdir()} == {"catalog"}


def test_another_folder_appears_meanwhile(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    stall = platform.faults.add("on=download path=*_B03* stall=60")
    other = stage_in.folder / "catalog" / "thesis.tex"
    with stage_in.start(platform.item_url(new.name)) as process:
        platform.log.wait(lambda exchange: "_B03" in exchange.path)
        other.parent.mkdir()
        other.write_text("")
        platform.faults.remove(stall)
        _, log = process.communicate(timeout=60)
    run = Run(process.returncode, log)
    assert_refused(run, "Directory not empty", "Move away what is there, or choose another")
    assert assert_resumable_as_told(run, stage_in.folder)
    assert list_names(other.parent) == {"thesis.tex"}

    shutil.rmtree(other.parent)
    assert assert_resumes(stage_in, stage_in.folder, new) == {*open_folder(new).entries}


# -- what a failure leaves


def fail(output: Output, failure: BaseException, **files: str) -> None:
    """Write files into the SAFE folder of a run that fails."""
    safe = output.catalog / "x" / "x.SAFE"
    with output:
        (safe / "HTML").mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (safe / name.replace("_", ".")).write_text(content)
        raise failure


@pytest.mark.parametrize(
    "failure",
    [
        *(ProductError, OutputError, TemporaryError, CredentialsError, OSError),
        *(ZeroDivisionError, KeyboardInterrupt),
    ],
)
def test_every_failure_leaves_files_to_resume_from(
    tmp_path: Path, failure: type[BaseException]
) -> None:
    output = Output(tmp_path / "catalog")
    file = output.catalog / "x" / "x.SAFE" / "B03.jp2"
    for _ in range(2):  # the second time shows that the lock is free
        with pytest.raises(failure) as caught:
            fail(output, failure("an example"), B03_jp2="x")
        assert caught.value.__notes__ == [
            f"Run the command again to resume from the files in {output.staging}."
        ]
        assert file.read_text() == "x"
    with output:
        assert file.exists()
    assert not list_names(tmp_path)


@pytest.mark.parametrize("failure", [CredentialsError, OSError, ZeroDivisionError])
def test_nothing_is_left_if_there_is_nothing_to_resume_from(
    tmp_path: Path, failure: type[Exception]
) -> None:
    """Every run downloads the manifest, so keeping that would save nothing."""
    with pytest.raises(failure) as caught:
        fail(Output(tmp_path / "catalog"), failure("x"), manifest_safe="<a/>", B03_jp2="")
    assert not hasattr(caught.value, "__notes__")
    assert not list_names(tmp_path)


# INSPIRE.xml is small, so it comes after the images.
FAILURES = [
    ("on=download path=*INSPIRE.xml* corrupt=0.5", 65),
    ("on=download path=*INSPIRE.xml* status=503", 75),
    ("on=download path=*INSPIRE.xml* status=403", 77),
]


@pytest.mark.parametrize(
    ("fault", "code"), slow_after(1, FAILURES), ids=[str(code) for _, code in FAILURES]
)
def test_resuming_after_a_failure(
    stage_in: StageIn, platform: Sandbox, new: Path, fault: str, code: int
) -> None:
    rule = platform.faults.add(fault)
    run = stage_in(platform.item_url(new.name), "--patience", "5")
    assert run.code == code, run.log
    assert "Traceback" not in run.log
    assert assert_resumable_as_told(run, stage_in.folder)
    platform.faults.remove(rule)
    verified = assert_resumes(stage_in, stage_in.folder, new)
    assert len([path for path in verified if "/IMG_DATA/" in path]) >= 10


@pytest.mark.parametrize(
    ("fault", "code"), slow_after(1, [("status=403", 77), ("corrupt=0.5", 65)])
)
def test_a_failure_before_the_first_file(
    stage_in: StageIn, platform: Sandbox, new: Path, fault: str, code: int
) -> None:
    platform.faults.add(f"on=download path=*manifest.safe* {fault}")
    run = stage_in(platform.item_url(new.name))
    assert run.code == code, run.log
    assert not assert_resumable_as_told(run, stage_in.folder)


@pytest.mark.parametrize(
    ("function", "transport"),
    slow_after(
        1,
        [
            ("sources.download.check_distinct", "nodes"),
            ("staging.make_item_files", "zip"),
            ("sources.download.check_distinct", "zip"),
            ("staging.make_item_files", "nodes"),
        ],
    ),
)
def test_resuming_after_a_bug(
    stage_in: StageIn, new: Path, tmp_path: Path, function: str, transport: str
) -> None:
    """A bug ends with 1 and its traceback. Here it is in a worker thread, or in the main one."""
    module, _, name = function.rpartition(".")
    patch = tmp_path / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(
        "import threading\n"
        f"import stage_in.{module}\n"
        "from stage_in.sources.completion import Completion\n"
        "complete, verified = Completion.complete, threading.Event()\n"
        "def complete_and_tell(*args):\n"
        "    complete(*args)\n"
        "    verified.set()\n"
        "def bug(*args):\n"
        "    verified.wait(60)  # another thread verifies a file\n"
        "    raise ZeroDivisionError('an example of a bug')\n"
        "Completion.complete = complete_and_tell\n"
        f"stage_in.{module}.{name} = bug\n"
    )
    options = ("--transport", transport)
    url = stage_in.platform.item_url(new.name)
    run = stage_in(url, *options, PYTHONPATH=str(patch))
    assert run.code == 1, run.log
    assert "Traceback" in run.log
    assert "ZeroDivisionError: an example of a bug" in run.log
    assert run.reason == RESUME
    assert assert_resumable_as_told(run, stage_in.folder)
    assert assert_resumes(stage_in, stage_in.folder, new, *options)


@pytest.mark.parametrize("number", slow_after(1, [signal.SIGKILL, signal.SIGTERM]))
def test_resuming_after_a_kill(
    stage_in: StageIn, platform: Sandbox, new: Path, number: signal.Signals
) -> None:
    stall = platform.faults.add("on=download path=*INSPIRE.xml* stall=60")
    with stage_in.start(platform.item_url(new.name)) as process:
        platform.log.wait(lambda exchange: "INSPIRE.xml" in exchange.path)
        process.send_signal(number)
        _, log = process.communicate(timeout=30)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert number == signal.SIGKILL or log.endswith("Run the command again to resume.\n")
    platform.faults.remove(stall)
    verified = assert_resumes(stage_in, stage_in.folder, new)
    assert len([path for path in verified if "/IMG_DATA/" in path]) >= 10


# -- what cannot be written


def test_output_that_cannot_be_written(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    (stage_in.folder / "file").write_text("")
    (stage_in.folder / "link").symlink_to("nowhere")
    for output in ("file", "file/catalog", "link"):
        run = stage_in(platform.item_url(new.name), "--output-dir", output)
        assert run.code == 73, run.log
    assert not platform.log.of("download")
    for output in ("..", "/", "."):
        assert stage_in(platform.item_url(new.name), "--output-dir", output).code == 2
    assert {path.name for path in stage_in.folder.iterdir()} == {"file", "link"}


@pytest.mark.parametrize(
    ("output", "why"),
    slow_after(
        2,
        [
            ("x" * 250, "File name too long"),  # the name of the staging folder is longer
            ("file/deep/catalog", "Not a directory"),
            ("loop/catalog", "Can't write loop"),
            ("x" * 300, "File name too long"),
            ("x/" * 2500 + "catalog", "File name too long"),
            ("/proc/catalog", "No such file or directory"),
        ],
    ),
)
def test_paths_that_cannot_be_created(
    stage_in: StageIn, platform: Sandbox, new: Path, output: str, why: str
) -> None:
    (stage_in.folder / "file").write_text("")
    (stage_in.folder / "loop").symlink_to("loop")
    run = stage_in(platform.item_url(new.name), "--output-dir", output)
    assert_refused(run, "Can't write", why, "another --output-dir")
    assert not platform.log.of("download")


def test_a_folder_that_cannot_be_written(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    ordinary = replace(stage_in, through=switch_user())
    stage_in.folder.chmod(0o555)
    run = ordinary(platform.item_url(new.name))
    assert_refused(run, "Can't write .catalog.staging", "Permission denied")
    assert not list_names(stage_in.folder)


@dataclass(frozen=True)
class Disk:
    """A file system in a mount namespace, which exists as long as a process holds it.

    Attributes:
        folder: its path in the namespace.
        pid: the process.
    """

    folder: Path
    pid: int

    @property
    def files(self) -> Path:
        """Its path outside of the namespace."""
        return Path(f"/proc/{self.pid}/root{self.folder}")

    @property
    def through(self) -> tuple[str, ...]:
        """The command that runs another in the namespace, in `folder`."""
        user = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")
        enter = ("nsenter", "--target", str(self.pid), *user, "--mount")
        return (*enter, "env", "--chdir", str(self.folder))

    def remount(self, options: str) -> None:
        # Ordinary users may not repeat all options with which it was mounted.
        mount = ("mount", "--options-source", "disable", "-o", f"remount,{options}", "tmpfs")
        subprocess.run([*self.through, *mount, self.folder], check=True)

    @property
    def used(self) -> tuple[int, int]:
        """Used pages and inodes."""
        stat = os.statvfs(self.files)
        return stat.f_blocks - stat.f_bfree, stat.f_files - stat.f_ffree

    def fill(self) -> Path:
        """Write a file until nothing more can be written."""
        path = self.files / "fill"
        with path.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(PAGE)):
                pass
        assert self.used[0] == os.statvfs(self.files).f_blocks
        return path


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Disk]]:
    """Mount a tmpfs with some options."""
    with ExitStack() as stack:

        def mount(options: str) -> Disk:
            folder = tmp_path / f"disk{len(list_names(tmp_path))}"
            folder.mkdir()
            script = 'mount -t tmpfs -o "$0" tmpfs "$1" && echo mounted && exec cat'
            holder = stack.enter_context(
                subprocess.Popen(
                    [*NAMESPACE, "sh", "-c", script, options, folder],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
            assert holder.stdout is not None
            if holder.stdout.readline() != b"mounted\n" and os.geteuid() != 0:
                pytest.skip(f"no namespaces for users here: {holder.communicate()[1].decode()}")
            return Disk(folder, holder.pid)

        yield mount


def measure(stage_in: StageIn, disk: Disk, new: Path, transport: str) -> tuple[int, int]:
    """Return the maximum of pages and inodes that a run needs."""
    platform = stage_in.platform
    run = stage_in(platform.item_url(new.name), "--transport", transport)
    assert run.code == 0, run.log
    pages, inodes = disk.used
    for exchange in platform.log.of("download", "*/$value"):
        if "Nodes" not in exchange.path:
            pages += -(-exchange.sent // PAGE)
            inodes += 1
    shutil.rmtree(disk.files / "catalog")
    return pages, inodes + 2  # the staging folder and its lock


@pytest.mark.slow
@pytest.mark.parametrize("transport", slow_after(1, ["nodes", "zip"]))
def test_no_space(
    stage_in: StageIn, mount: Callable[[str], Disk], new: Path, transport: str
) -> None:
    """While there is too little, each run says so; no run removes or requests verified files."""
    disk = mount("size=64m")
    inside = replace(stage_in, through=disk.through)
    url = stage_in.platform.item_url(new.name)
    pages, _ = measure(inside, disk, new, transport)
    steps = 6
    verified: set[str] = set()
    for size in [*(1 + pages * step // steps for step in range(steps)), pages - 2, pages - 1]:
        disk.remount(f"size={size * PAGE}")
        stage_in.platform.log.clear()
        run = inside(url, "--transport", transport)
        assert_refused(run, "Free disk space", "another --output-dir")
        assert_resumable_as_told(run, disk.files)
        assert list_names(disk.files) <= {STAGING}
        assert not list_requested(stage_in.platform) & verified
        assert list_verified(disk.files, new) >= verified
        verified = list_verified(disk.files, new)
    assert "Verified" in run.log
    assert "Can't write" in run.reason
    assert verified == {*open_folder(new).entries}
    disk.remount(f"size={pages * PAGE}")
    assert_resumes(inside, disk.files, new, "--transport", transport)


@pytest.mark.slow
def test_no_inodes(stage_in: StageIn, mount: Callable[[str], Disk], new: Path) -> None:
    disk = mount("size=64m")
    inside = replace(stage_in, through=disk.through)
    url = stage_in.platform.item_url(new.name)
    _, inodes = measure(inside, disk, new, "nodes")
    for number in (1, 2, 3, 9, inodes // 2, inodes - 3, inodes - 1):
        disk.remount(f"nr_inodes={number}")
        run = inside(url)
        assert_refused(run, "No space left on device", "Free disk space", "inodes are free")
        assert_resumable_as_told(run, disk.files)
        assert list_names(disk.files) <= {STAGING}
    assert "Verified" in run.log
    disk.remount(f"nr_inodes={inodes}")
    assert_resumes(inside, disk.files, new)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("transport", "fault", "why"),
    [
        ("nodes", "path=*manifest.safe*$value", "bytes of disk space are needed"),
        ("nodes", "path=*_B03*$value at=0.5", "_B03.jp2: No space left on device"),
        ("zip", "path=*/$value at=0.5", ".part: No space left on device"),
    ],
)
def test_the_disk_is_filled_meanwhile(
    stage_in: StageIn,
    platform: Sandbox,
    mount: Callable[[str], Disk],
    new: Path,
    transport: str,
    fault: str,
    why: str,
) -> None:
    disk = mount("size=8m")
    inside = replace(stage_in, through=disk.through)
    stall = platform.faults.add(f"on=download {fault} stall=60 times=1")
    path = fault.split()[0].removeprefix("path=")
    # With one connection, nothing else is written meanwhile.
    options = ("--transport", transport, "--connections", "1")
    with inside.start(platform.item_url(new.name), *options) as process:
        platform.log.wait(lambda exchange: fnmatchcase(unquote(exchange.path), path))
        filler = disk.fill()
        platform.faults.remove(stall)
        _, log = process.communicate(timeout=60)
    run = Run(process.returncode, log)
    assert_refused(run, why, "Free disk space")
    assert re.search(r"\b0\b", run.reason), "it does not say how much was free"
    has_files = assert_resumable_as_told(run, disk.files)
    assert not (has_files and "manifest" in fault)
    filler.unlink()
    assert list_names(disk.files) == ({STAGING} if has_files else set())
    assert_resumes(inside, disk.files, new, "--transport", transport)


def test_a_read_only_disk(
    stage_in: StageIn, platform: Sandbox, mount: Callable[[str], Disk], new: Path
) -> None:
    disk = mount("size=8m")
    disk.remount("ro")
    run = replace(stage_in, through=disk.through)(platform.item_url(new.name))
    assert_refused(run, "Read-only file system", "another --output-dir")
    assert not platform.log.of("download")


def test_a_finished_output_on_a_read_only_disk_is_verified(
    stage_in: StageIn, platform: Sandbox, mount: Callable[[str], Disk], new: Path
) -> None:
    disk = mount("size=8m")
    inside = replace(stage_in, through=disk.through)
    assert inside(platform.item_url(new.name)).code == 0
    disk.remount("ro")
    run = inside(platform.item_url(new.name))
    assert run.code == 0, run.log
    assert "is complete already" in run.log
    disk.remount("rw")
    next(disk.files.rglob("T*_B04.jp2")).write_bytes(b"x")
    disk.remount("ro")
    run = inside(platform.item_url(new.name))
    assert run.code == 73, run.log
    assert "_B04.jp2" in run.reason


def test_a_disk_at_the_output(
    stage_in: StageIn, platform: Sandbox, mount: Callable[[str], Disk], new: Path
) -> None:
    """A folder can't be renamed to a mount point."""
    disk = mount("size=8m")
    inside = replace(stage_in, through=disk.through)
    output = ("--output-dir", str(disk.folder))
    assert_refused(inside(platform.item_url(new.name), *output), "mounted folder", "inside of it")
    assert not platform.log.of("download")
    (disk.files / "lost+found").mkdir()
    assert_refused(inside(platform.item_url(new.name), *output), "There is something else at")
    assert list_names(disk.files) == {"lost+found"}
    assert f".{disk.folder.name}.staging" not in list_names(disk.folder.parent)


def test_nothing_is_written_elsewhere(
    stage_in: StageIn, platform: Sandbox, mount: Callable[[str], Disk], new: Path
) -> None:
    """Neither the home folder nor that of temporary files is needed."""
    disk = mount("size=1,nr_inodes=1")
    for transport in ("nodes", "zip"):
        run = replace(stage_in, through=disk.through)(
            platform.item_url(new.name),
            *("--output-dir", str(stage_in.folder / transport), "--transport", transport),
            HOME=str(disk.folder),
            TMPDIR=str(disk.folder),
        )
        assert run.code == 0, run.log
        assert list_names(stage_in.folder / transport) == {"catalog.json", new.stem}


# -- limits of the system


@pytest.mark.slow
@pytest.mark.parametrize("transport", slow_after(1, ["nodes", "zip"]))
def test_a_limit_of_the_file_size(
    stage_in: StageIn, platform: Sandbox, new: Path, transport: str
) -> None:
    sizes = sorted(path.stat().st_size for path in new.rglob("*") if path.is_file())
    for size in (1, sizes[len(sizes) // 2], sizes[-1] - 1):
        limited = replace(stage_in, through=("prlimit", f"--fsize={size}"))
        run = limited(platform.item_url(new.name), "--transport", transport)
        assert_refused(run, "File too large", "ulimit -f")
        assert_resumable_as_told(run, stage_in.folder)
        assert list_names(stage_in.folder) <= {STAGING}
    assert_resumes(stage_in, stage_in.folder, new, "--transport", transport)


def test_failures_that_no_other_code_translates(tmp_path: Path) -> None:
    why = f"can't write there: {os.strerror(errno.ESTALE)}. Choose another --output-dir"
    with pytest.raises(OutputError, match=why), Output(tmp_path / "out"):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), "there")
    assert not list_names(tmp_path)


def test_a_file_system_that_lists_what_was_there_when_the_folder_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """btrfs does so for each descriptor, and sshfs for each handle."""
    output = Output(tmp_path / "catalog")
    listdir = os.listdir
    with output:
        locked = output._lock.folder
        monkeypatch.setattr(
            os, "listdir", lambda folder=".": [LOCK] if folder == locked else listdir(folder)
        )
        (output.staging / "x.zip").write_text("x")
    monkeypatch.undo()
    assert not list_names(tmp_path)


def test_a_file_system_that_keeps_removed_files_while_they_are_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS and FUSE do so, under another name in the same folder."""
    output = Output(tmp_path / "catalog")
    unlink, release = os.unlink, Lock.release

    def hide(path: str | Path, *, dir_fd: int | None = None) -> None:
        if path == LOCK:
            os.rename(path, ".nfs1", src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        else:
            unlink(path, dir_fd=dir_fd)

    def release_and_remove(lock: Lock) -> None:
        release(lock)
        (output.staging / ".nfs1").unlink()

    monkeypatch.setattr(os, "unlink", hide)
    monkeypatch.setattr(Lock, "release", release_and_remove)
    with output:
        pass
    assert not list_names(tmp_path)


def test_an_overlay_of_two_file_systems(tmp_path: Path) -> None:
    """Its files and its folders have different devices, as a container's may have.

    Without extended attributes, an overlay can't rename its folders.
    """
    for name in ("lower", "upper", "merged"):
        (tmp_path / name).mkdir()
    layers = "lowerdir=lower,upperdir=upper/new,workdir=upper/work,xino=off"
    mount = (
        "mount -t tmpfs tmpfs upper && mkdir upper/new upper/work && "
        f"mount -t overlay overlay -o {layers} merged || exit 99; "
        'cd merged && exec "$@"'
    )
    code = (
        "import os; from pathlib import Path; from stage_in.output import Output\n"
        "try:\n"
        "    os.mkdir('one'); os.rename('one', 'other'); os.rmdir('other')\n"
        "except OSError:\n"
        "    os._exit(99)\n"
        "with Output(Path('catalog')) as output:\n"
        "    output.catalog.mkdir()\n"
        "    (output.catalog / 'x').write_text('x')\n"
        "    assert output.staging.stat().st_dev != (output.catalog / 'x').stat().st_dev\n"
        "    output.publish(output.catalog)\n"
        "print(*os.listdir())"
    )
    command = [*NAMESPACE, "sh", "-c", mount, "sh", sys.executable, "-c", code]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    if run.returncode == 99 or (run.returncode and "unshare" in run.stderr):
        pytest.skip(f"no overlay that renames folders can be mounted here: {run.stderr}")
    assert run.stdout == "catalog\n", run.stderr


@pytest.mark.parametrize("failure", [ConnectionResetError(104, "reset"), OSError("no number")])
def test_failures_of_the_network_are_not_those_of_the_output(
    tmp_path: Path, failure: OSError
) -> None:
    with pytest.raises(OSError) as caught, Output(tmp_path / "out"):
        raise failure
    assert caught.value is failure


# -- several runs at once


def test_two_runs_at_once(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    stall = platform.faults.add("on=download path=*_B03* stall=60 at=0.5")
    with stage_in.start(platform.item_url(new.name)) as first:
        platform.log.wait(lambda exchange: "_B03" in exchange.path and exchange.sent > 0)
        second = stage_in(platform.item_url(new.name))
        platform.faults.remove(stall)
        first.communicate(timeout=60)
    assert second.code == 73
    assert "Another stage-in process" in second.reason
    assert first.returncode == 0


@pytest.mark.slow
def test_two_runs_at_any_time(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree
) -> None:
    """At least one succeeds. The other is refused, or finds the finished catalog."""
    print(f"STAGE_IN_SEED={os.environ['STAGE_IN_SEED']}")  # noqa: T201
    draw = random.Random(os.environ["STAGE_IN_SEED"])
    refused = 0
    for wait in (*(0.0,) * 5, *(draw.uniform(0, 1.0) for _ in range(10))):
        runs = []
        with ExitStack() as stack:
            for _ in range(2):
                options = ("--transport", draw.choice(["nodes", "zip"]))
                start = stage_in.start(platform.item_url(new.name), *options)
                runs.append(stack.enter_context(start))
                time.sleep(wait)
            logs = [run.communicate(timeout=60)[1] for run in runs]
        ended = [Run(run.returncode, log) for run, log in zip(runs, logs, strict=True)]
        assert 0 in {run.code for run in ended}
        for run in ended:
            if run.code:
                refused += 1
                assert_refused(run, "Another stage-in process", "Wait for it")
        assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)
        assert list_names(stage_in.folder) == {"catalog"}
        shutil.rmtree(stage_in.folder / "catalog")
    assert refused


CONTENDER = """
import os, random, sys
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from loguru import logger
from stage_in.errors import OutputError, TemporaryError
from stage_in.output import Output

logger.remove()
folder, seed = Path(sys.argv[1]), sys.argv[2]
draw = random.Random(seed)
alone = published = 0
for _ in range(int(sys.argv[3])):
    try:
        with Output(folder / "catalog") as output:
            os.close(os.open(folder / "alone", os.O_CREAT | os.O_EXCL))
            alone += 1
            output.keep_only([output.catalog])
            output.catalog.mkdir(exist_ok=True)
            (output.catalog / seed).write_text(draw.choice(["", "a file to resume from"]))
            end = draw.choice([None, TemporaryError, ValueError, OutputError])
            if end is None:
                if output.path.exists():
                    rmtree(output.path)
                output.publish(output.catalog)
                assert (output.path / seed).exists()
                published += 1
            (folder / "alone").unlink()
            if end is not None:
                raise end("drawn")
    except (TemporaryError, ValueError, OutputError) as error:
        assert str(error) == "drawn" or "another stage-in process" in str(error), error
print(alone, published)
"""


@pytest.mark.slow
def test_contenders(tmp_path: Path) -> None:
    """Only one of several processes has the staging folder at any time."""
    with ExitStack() as stack:
        contenders = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", CONTENDER, tmp_path, f"{number}", "4000"],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for number in range(4)
        ]
        ended = [contender.communicate(timeout=240) for contender in contenders]
    assert [log for _, log in ended] == [""] * 4
    counts = [[int(count) for count in out.split()] for out, _ in ended]
    assert all(alone > published > 0 for alone, published in counts), counts
    with Output(tmp_path / "catalog"):
        pass
    assert list_names(tmp_path) == {"catalog"}
