"""The output: what is there already, what cannot be written, and who else is at it."""

import errno
import os
import random
import re
import shutil
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
from stage_in.disk import writing
from stage_in.errors import OutputError
from stage_in.output import Output
from tests.conftest import Run, SameTree, StageIn

PAGE = os.sysconf("SC_PAGESIZE")
NAMESPACE = ("unshare", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")), "--mount")
# Root may write everywhere: nobody, who may read what is root's, where the interpreter may be.
NOBODY = (
    *("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"),
    *("--inh-caps", "-all,+dac_read_search", "--ambient-caps", "-all,+dac_read_search"),
)
ORDINARY = NOBODY if os.geteuid() == 0 else ()


def list_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def assert_refused(run: Run, *words: str) -> None:
    """It ends with 73, and the last line says why; nothing looks like a bug."""
    assert run.code == 73, run.log
    assert "ERROR" in run.reason
    assert all(word in run.reason for word in words), run.reason
    assert "Traceback" not in run.log


# -- what is there


def test_another_product_is_there(
    stage_in: StageIn, platform: Sandbox, new: Path, old: Path, assert_same_tree: SameTree
) -> None:
    assert stage_in(platform.item_url(old.name)).code == 0
    platform.log.clear()
    for options in ((), ("--transport", "zip"), ("--assets", "B04")):
        run = stage_in(platform.item_url(new.name), *options)
        assert_refused(run, new.stem, "move it away", "--output-dir")
    assert not platform.log.of("download")
    assert list_names(stage_in.folder) == {"catalog"}
    assert_same_tree(old, stage_in.folder / "catalog" / old.stem / old.name)


@pytest.mark.parametrize("name", ["thesis.tex", "catalog.json", ".hidden", "lost+found"])
def test_a_foreign_folder_is_there(
    stage_in: StageIn, platform: Sandbox, new: Path, name: str
) -> None:
    foreign = stage_in.folder / "catalog" / name
    foreign.parent.mkdir()
    foreign.write_text("{}")
    assert_refused(stage_in(platform.item_url(new.name)), "found something else", "move it away")
    assert not platform.log.of("download")
    assert foreign.read_text() == "{}"
    assert list_names(stage_in.folder) == {"catalog"}


def test_an_empty_folder_is_there(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    (stage_in.folder / "catalog").mkdir()
    run = stage_in(platform.item_url(new.name))
    assert run.code == 0, run.log
    assert (stage_in.folder / "catalog" / "catalog.json").is_file()


def test_going_on(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree
) -> None:
    """Of what an earlier run has left, what is right stays and everything else goes."""
    staging = stage_in.folder / ".catalog.staging"
    safe = staging / "catalog" / new.stem / new.name
    safe.mkdir(parents=True)
    (staging / "catalog" / "S2A_OTHER").mkdir()
    (staging / "other.zip").write_bytes(b"x")
    (safe / "MTD_MSIL1C.xml").write_bytes((new / "MTD_MSIL1C.xml").read_bytes())
    (safe / "INSPIRE.xml").write_bytes(b"half")
    (safe / "stranger.txt").symlink_to("/etc/passwd")
    (staging / "catalog" / new.stem / "stray.json").write_text("{}")
    (staging / "catalog" / "lock").write_text("")
    (safe / "stray" / "AUX_DATA").mkdir(parents=True)
    (safe / "manifest.safe" / "stray").mkdir(parents=True)
    run = stage_in(platform.item_url(new.name), "--verbose")
    assert run.code == 0, run.log
    assert "Going on: 1 of" in run.log
    assert "Verified MTD_MSIL1C.xml" not in run.log
    assert "Verified INSPIRE.xml" in run.log
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)
    assert {path.name for path in stage_in.folder.iterdir()} == {"catalog"}


def test_a_staging_folder_full_of_links(
    stage_in: StageIn, platform: Sandbox, new: Path, tmp_path: Path
) -> None:
    """What another has prepared there leads nowhere else."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("")
    staging = stage_in.folder / ".catalog.staging"
    staging.mkdir()
    (staging / "catalog").symlink_to(precious)
    assert stage_in(platform.item_url(new.name)).code == 0
    assert [path.name for path in precious.iterdir()] == ["thesis.tex"]

    for link in (Path(new.stem), Path(new.stem) / new.name):
        (staging / "catalog" / link).parent.mkdir(parents=True)
        (staging / "catalog" / link).symlink_to(precious)
        run = stage_in(platform.item_url(new.name), "--output-dir", "catalog")
        assert run.code == 0, run.log
        assert [path.name for path in precious.iterdir()] == ["thesis.tex"]


def test_something_gets_there_meanwhile(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    platform.faults.add("on=download path=*_B03* stall=2")
    with stage_in.start(platform.item_url(new.name)) as process:
        platform.log.wait(lambda exchange: "_B03" in exchange.path)
        (stage_in.folder / "catalog").mkdir()
        (stage_in.folder / "catalog" / "thesis.tex").write_text("")
        _, log = process.communicate(timeout=60)
    assert_refused(Run(process.returncode, log), "Directory not empty", "another product")
    assert list_names(stage_in.folder) == {"catalog"}
    assert list_names(stage_in.folder / "catalog") == {"thesis.tex"}


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
    [
        ("x" * 250, "File name too long"),  # for the folder that it is worked on in
        ("x" * 300, "File name too long"),
        ("x/" * 2500 + "catalog", "File name too long"),
        ("file/deep/catalog", "Not a directory"),
        ("/proc/catalog", "No such file or directory"),
        ("loop/catalog", "can't write loop"),
    ],
)
def test_a_name_that_cannot_be(
    stage_in: StageIn, platform: Sandbox, new: Path, output: str, why: str
) -> None:
    (stage_in.folder / "file").write_text("")
    (stage_in.folder / "loop").symlink_to("loop")
    run = stage_in(platform.item_url(new.name), "--output-dir", output)
    assert_refused(run, "can't write", why, "another --output-dir")
    assert not platform.log.of("download")


def test_a_folder_of_somebody_else(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    ordinary = replace(stage_in, through=ORDINARY)
    stage_in.folder.chmod(0o555)
    run = ordinary(platform.item_url(new.name))
    assert_refused(run, "can't write .catalog.staging", "Permission denied")
    assert not list_names(stage_in.folder)

    stage_in.folder.chmod(0o777)
    staging = stage_in.folder / ".catalog.staging"
    (staging / "catalog").mkdir(parents=True)
    staging.chmod(0o555)
    run = ordinary(platform.item_url(new.name))
    assert_refused(run, "can't write .catalog.staging", "Permission denied")
    assert list_names(staging) == {"catalog"}

    staging.chmod(0o777)
    (staging / "catalog" / "old").mkdir()
    (staging / "catalog").chmod(0o555)
    run = ordinary(platform.item_url(new.name))
    assert_refused(run, "can't write .catalog.staging", "Permission denied")
    (staging / "catalog").chmod(0o777)
    assert stage_in(platform.item_url(new.name)).code == 0


@dataclass(frozen=True)
class Disk:
    """A file system in a mount namespace, which ends with the process that holds it.

    Attributes:
        folder: Where it is, for who runs in the namespace.
        pid: The process.
    """

    folder: Path
    pid: int

    @property
    def files(self) -> Path:
        """Where it is for everybody else."""
        return Path(f"/proc/{self.pid}/root{self.folder}")

    @property
    def through(self) -> tuple[str, ...]:
        """The command that runs another in the namespace, in its root folder."""
        user = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")
        enter = ("nsenter", "--target", str(self.pid), *user, "--mount")
        return (*enter, "env", "--chdir", str(self.folder))

    def remount(self, options: str) -> None:
        # Without what it has been mounted with, which users may not all give.
        mount = ("mount", "--options-source", "disable", "-o", f"remount,{options}", "tmpfs")
        subprocess.run([*self.through, *mount, self.folder], check=True)

    @property
    def used(self) -> tuple[int, int]:
        """Pages and inodes."""
        room = os.statvfs(self.files)
        return room.f_blocks - room.f_bfree, room.f_files - room.f_ffree

    def fill(self) -> Path:
        """Write another's file, until nothing more can be written."""
        path = self.files / "fill"
        with path.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(PAGE)):
                pass
        assert self.used[0] == os.statvfs(self.files).f_blocks
        return path


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Disk]]:
    """Mount a tmpfs by its options."""
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
    """Find the pages and inodes that a run takes at most."""
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
@pytest.mark.parametrize("transport", ["nodes", "zip"])
def test_no_space(
    stage_in: StageIn,
    mount: Callable[[str], Disk],
    new: Path,
    transport: str,
    assert_same_tree: SameTree,
) -> None:
    """However little there is, it says so, leaves nothing, and goes well once there is enough."""
    disk = mount("size=64m")
    inside = replace(stage_in, through=disk.through)
    url = stage_in.platform.item_url(new.name)
    pages, _ = measure(inside, disk, new, transport)
    steps = 6
    for size in [*(1 + pages * step // steps for step in range(steps)), pages - 2, pages - 1]:
        disk.remount(f"size={size * PAGE}")
        run = inside(url, "--transport", transport)
        assert_refused(run, "make room", "another --output-dir")
        assert not list_names(disk.files)
    assert "Verified" in run.log
    assert "can't write" in run.reason
    disk.remount(f"size={pages * PAGE}")
    run = inside(url, "--transport", transport)
    assert run.code == 0, run.log
    assert list_names(disk.files) == {"catalog"}
    assert_same_tree(new, disk.files / "catalog" / new.stem / new.name)


@pytest.mark.slow
def test_no_inodes(stage_in: StageIn, mount: Callable[[str], Disk], new: Path) -> None:
    disk = mount("size=64m")
    inside = replace(stage_in, through=disk.through)
    url = stage_in.platform.item_url(new.name)
    _, inodes = measure(inside, disk, new, "nodes")
    for number in (1, 2, 3, 9, inodes // 2, inodes - 3, inodes - 1):
        disk.remount(f"nr_inodes={number}")
        run = inside(url)
        assert_refused(run, "No space left on device", "make room", "more files are free")
        assert not list_names(disk.files), number
    assert "Verified" in run.log
    disk.remount(f"nr_inodes={inodes}")
    assert inside(url).code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("transport", "fault", "why"),
    [
        ("nodes", "path=*manifest.safe*$value", "expected room"),
        ("nodes", "path=*_B03*$value at=0.5", "_B03.jp2: No space left on device"),
        ("zip", "path=*/$value at=0.5", ".part: No space left on device"),
    ],
)
def test_somebody_else_fills_the_disk(
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
    platform.faults.add(f"on=download {fault} stall=2 times=1")
    path = fault.split()[0].removeprefix("path=")
    # One connection: nothing else is written meanwhile.
    options = ("--transport", transport, "--connections", "1")
    with inside.start(platform.item_url(new.name), *options) as process:
        platform.log.wait(lambda exchange: fnmatchcase(unquote(exchange.path), path))
        filler = disk.fill()
        _, log = process.communicate(timeout=60)
    run = Run(process.returncode, log)
    assert_refused(run, why, "make room")
    assert re.search(r"\b0\b", run.reason), "so much was free"
    assert list_names(disk.files) == {"fill"}
    filler.unlink()
    run = inside(platform.item_url(new.name), "--transport", transport)
    assert run.code == 0, run.log


def test_a_read_only_disk(
    stage_in: StageIn, platform: Sandbox, mount: Callable[[str], Disk], new: Path
) -> None:
    disk = mount("size=8m")
    disk.remount("ro")
    run = replace(stage_in, through=disk.through)(platform.item_url(new.name))
    assert_refused(run, "Read-only file system", "another --output-dir")
    assert not platform.log.of("download")


def test_a_disk_at_the_output(
    stage_in: StageIn, platform: Sandbox, mount: Callable[[str], Disk], new: Path
) -> None:
    """What is mounted can't be renamed to."""
    disk = mount("size=8m")
    inside = replace(stage_in, through=disk.through)
    output = ("--output-dir", str(disk.folder))
    assert_refused(inside(platform.item_url(new.name), *output), "mounted folder", "inside of it")
    assert not platform.log.of("download")
    (disk.files / "lost+found").mkdir()
    assert_refused(inside(platform.item_url(new.name), *output), "found something else")
    assert list_names(disk.files) == {"lost+found"}
    assert f".{disk.folder.name}.staging" not in list_names(disk.folder.parent)


def test_nothing_is_written_elsewhere(
    stage_in: StageIn, platform: Sandbox, mount: Callable[[str], Disk], new: Path
) -> None:
    """Neither where temporary files go nor at home."""
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


# -- what the system does not grant


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["nodes", "zip"])
def test_files_may_not_grow(
    stage_in: StageIn, platform: Sandbox, new: Path, transport: str
) -> None:
    sizes = sorted(path.stat().st_size for path in new.rglob("*") if path.is_file())
    for size in (1, sizes[len(sizes) // 2], sizes[-1] - 1):
        limited = replace(stage_in, through=("prlimit", f"--fsize={size}"))
        run = limited(platform.item_url(new.name), "--transport", transport)
        assert_refused(run, "File too large", "ulimit -f")
        assert not list_names(stage_in.folder)


@pytest.mark.slow
def test_few_open_files(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    """As few as any: it goes well, or says why not, and the next run goes well."""
    codes = set()
    for number in (6, 8, 10, 12, 16, 32):
        limited = replace(stage_in, through=("prlimit", f"--nofile={number}"))
        run = limited(platform.item_url(new.name), "--patience", "1")
        codes.add(run.code)
        assert run.code in (0, 73, 75), run.log
        assert run.code == 0 or "Too many open files" in run.reason
        assert run.code != 73 or "ulimit -n" in run.reason
        assert "Traceback" not in run.log
        assert (stage_in.folder / "catalog").exists() == (run.code == 0)
    assert codes > {0}
    assert stage_in(platform.item_url(new.name)).code == 0
    assert list_names(stage_in.folder) == {"catalog"}


def test_few_threads(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    """One is enough; with none it says so."""
    stage_in.folder.chmod(0o777)
    none = replace(stage_in, through=("prlimit", "--nproc=1", *ORDINARY))
    run = none(platform.item_url(new.name))
    assert run.code == 75, run.log
    assert "grants 0 of 1" in run.reason
    assert "ulimit -u" in run.reason
    assert "Traceback" not in run.log
    if ORDINARY:  # whose threads nobody else counts among
        few = replace(stage_in, through=("prlimit", "--nproc=6", *ORDINARY))
        run = few(platform.item_url(new.name))
        assert run.code == 0, run.log
        assert "found that the system grants" in run.log


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ENOLCK])
def test_what_a_file_system_may_say(tmp_path: Path, number: int) -> None:
    """What no file system here says: no quota, no broken disk, no server far away."""
    why = f"{os.strerror(number)}: .*choose another --output-dir"
    with pytest.raises(OutputError, match=f"can't write {tmp_path}: {why}"), writing(tmp_path):
        raise OSError(number, os.strerror(number))
    with pytest.raises(OutputError, match=f"can't write there: {why}"), Output(tmp_path / "out"):
        raise OSError(number, os.strerror(number), "there")
    assert not list_names(tmp_path)


# -- who else is at it


def test_two_runs_at_once(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    stall = platform.faults.add("on=download path=*_B03* stall=3 at=0.5")
    with stage_in.start(platform.item_url(new.name)) as first:
        platform.log.wait(lambda exchange: "_B03" in exchange.path and exchange.sent > 0)
        second = stage_in(platform.item_url(new.name))
        platform.faults.remove(stall)
        first.communicate(timeout=20)
    assert second.code == 73
    assert "another run" in second.reason
    assert first.returncode == 0


@pytest.mark.slow
def test_two_runs_at_any_time(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree
) -> None:
    """At least one ends well; the other finds it at work, or what it has left."""
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
                assert_refused(run, "another run", "wait for it")
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
            output.keep_only(output.catalog, [])
            output.catalog.mkdir(exist_ok=True)
            (output.catalog / seed).write_text("")
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
        assert str(error) == "drawn" or "another run" in str(error), error
print(alone, published)
"""


@pytest.mark.slow
def test_contenders(tmp_path: Path) -> None:
    """Processes that take and leave the staging folder all the time: one of them at a time."""
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
