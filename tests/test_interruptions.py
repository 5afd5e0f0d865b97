"""The command as a process that is stopped before it is done, or that nobody listens to any more.

What is random is drawn from STAGE_IN_SEED, which pytest prints: set it to draw the same again.
"""

import fcntl
import filecmp
import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import pystac
import pytest

from sandbox.server import Sandbox
from stage_in.safe import manifest
from tests.conftest import SameTree, StageIn

CHUNKS = 4
KILLS = 18  # of each chunk, over the whole of a run
LATE_KILLS = 7  # of each chunk, after the line that says that all files are verified:
BETWEEN = 5  # as many of these, at least, must come before the rename
MOST_LATE_KILLS = 30
TRANSPORTS = ("nodes", "zip")
SELECTIONS = {"all": (), "some": ("--assets", "B04,B08")}


def takes_signals(process: subprocess.Popen[str]) -> bool:
    """Whether the interpreter has come to our code, which blocks signals to wait for them."""
    status = ""
    with suppress(OSError):
        status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"^SigBlk:\s*([0-9a-f]+)", status, re.MULTILINE)
    return bool(found) and bool(int(found[1], 16) & 1 << (signal.SIGTERM - 1))


def read_to(process: subprocess.Popen[str], word: str) -> str:
    """Read the log to a line that holds a word."""
    assert process.stderr is not None
    log = ""
    for line in process.stderr:
        log += line
        if word in line:
            return log
    raise AssertionError(log)


def diff(one: Path, other: Path) -> str:
    return subprocess.run(["diff", "-r", one, other], capture_output=True, text=True).stdout


@dataclass
class Staging:
    """Runs that stage a product into a folder, and what undisturbed ones leave and take.

    Attributes:
        stage_in: The command, in that folder.
        product: The SAFE folder of the product.
        wholes: The catalogs that undisturbed runs leave, by selection.
        durations: What undisturbed runs take in seconds, by transport.
        windows: The part of it that comes after the line "Verified".
    """

    stage_in: StageIn
    product: Path
    wholes: Path
    durations: dict[str, float] = field(default_factory=dict)
    windows: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        listed = manifest.parse((self.product / manifest.NAME).read_bytes())
        self.listed = {manifest.NAME, *listed}
        self.catalog = self.stage_in.folder / "catalog"
        self.staging = self.stage_in.folder / ".catalog.staging"
        for selection in SELECTIONS:
            for transport in TRANSPORTS:
                begin = time.monotonic()
                with self.start(transport, selection) as process:
                    read_to(process, "Verified")
                    verified = time.monotonic()
                    process.communicate(timeout=60)
                    self.durations[transport] = time.monotonic() - begin
                    self.windows[transport] = time.monotonic() - verified
                assert process.returncode == 0
                if (self.wholes / selection).exists():
                    self.assert_whole(selection)
                    shutil.rmtree(self.catalog)
                else:
                    self.catalog.rename(self.wholes / selection)
        assert diff(self.product, self.get_safe(self.wholes / "all")) == ""

    def get_safe(self, catalog: Path) -> Path:
        return catalog / self.product.stem / self.product.name

    def start(self, transport: str, selection: str) -> subprocess.Popen[str]:
        url = self.stage_in.platform.item_url(self.product.name)
        return self.stage_in.start(url, "--transport", transport, *SELECTIONS[selection])

    def kill(
        self, process: subprocess.Popen[str], number: signal.Signals, wait: float, log: str = ""
    ) -> None:
        """Wait, send a signal, and see that the process ends as it should, by it or before it."""
        with suppress(subprocess.TimeoutExpired):
            process.wait(wait)
        # Before it comes to our code, it ends as Python does.
        ours = number != signal.SIGKILL and takes_signals(process)
        process.send_signal(number)
        log += process.communicate(timeout=30)[1]
        if process.returncode == 0:
            assert self.catalog.exists()
        elif ours:
            assert process.returncode == 128 + number
            assert f"Stopped by {number.name}" in log.splitlines()[-1]
            assert "Traceback" not in log
        elif number == signal.SIGKILL:
            assert process.returncode == -number, log
        else:
            assert not self.staging.exists()
            assert not self.catalog.exists()

    def is_between(self, selection: str) -> bool:
        """Whether all files are there, verified, under a name that is not the final one."""
        safe = self.get_safe(self.staging / "catalog")
        return not self.catalog.exists() and not diff(safe, self.get_safe(self.wholes / selection))

    def assert_whole(self, selection: str) -> None:
        """The catalog is there, is that of an undisturbed run, and can be read."""
        assert diff(self.catalog, self.wholes / selection) == ""
        catalog = pystac.Catalog.from_file(str(self.catalog / "catalog.json"))
        (item,) = catalog.get_items(recursive=True)
        hrefs = [asset.get_absolute_href() for asset in item.assets.values()]
        assert len(hrefs) > 10
        assert all(href is not None and Path(href).is_file() for href in hrefs)

    def go_on(self, transport: str, selection: str) -> None:
        """Run it to the end: all is there then, nothing else, and nothing was fetched twice."""
        safe = self.get_safe(self.staging / "catalog")
        right = {
            path for path in self.listed if (safe / path).is_file() and self.is_right(safe, path)
        }
        kept_zip = (self.staging / f"{self.product.stem}.zip").exists()
        published = self.catalog.exists()
        if published:
            self.assert_whole(selection)

        self.stage_in.platform.log.clear()
        with self.start(transport, selection) as process:
            _, log = process.communicate(timeout=60)
        assert process.returncode == 0, log
        self.assert_whole(selection)
        assert [path.name for path in self.stage_in.folder.iterdir()] == ["catalog"]
        assert f"{len(right)} of" in log or not right or published

        fetched = [
            "/".join(re.findall(r"Nodes\(([^)]*)\)", unquote(exchange.path))[1:])
            for exchange in self.stage_in.platform.log.of("download", "*$value")
        ]
        assert not right & {*fetched} - {manifest.NAME}
        if kept_zip or published:
            assert fetched == []

    def is_right(self, safe: Path, path: str) -> bool:
        return filecmp.cmp(safe / path, self.product / path, shallow=False)


@pytest.fixture(scope="module")
def staging(new: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staging]:
    folder = tmp_path_factory.mktemp("interrupted")
    for name in ("work", "wholes"):
        (folder / name).mkdir()
    with Sandbox([new]) as platform:
        yield Staging(StageIn(platform, folder / "work"), new, folder / "wholes")


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_kills(staging: Staging, chunk: int) -> None:
    """Whenever it comes, what is there is whole or not there, and the next run ends well."""
    print(f"STAGE_IN_SEED={os.environ['STAGE_IN_SEED']}")  # noqa: T201
    draw = random.Random(f"{os.environ['STAGE_IN_SEED']} {chunk}")
    shutil.rmtree(staging.catalog, ignore_errors=True)
    shutil.rmtree(staging.staging, ignore_errors=True)

    def draw_run() -> tuple[signal.Signals, str, str]:
        numbers = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
        (number,) = draw.choices(numbers, [3, 1, 1])
        return number, draw.choice(TRANSPORTS), draw.choice([*SELECTIONS])

    for _ in range(KILLS):
        number, transport, selection = draw_run()
        wait = draw.uniform(0, staging.durations[transport])
        print(f"{number.name} after {wait:.3f} s, {transport}, {selection}")  # noqa: T201
        with staging.start(transport, selection) as process:
            staging.kill(process, number, wait)
        staging.go_on(transport, selection)
        shutil.rmtree(staging.catalog)

    kills = between = 0
    while kills < LATE_KILLS or between < BETWEEN:
        assert kills < MOST_LATE_KILLS, "no kill came between verification and rename"
        kills += 1
        number, transport, selection = draw_run()
        wait = draw.uniform(0, staging.windows[transport])
        print(f"{number.name} {wait:.3f} s after Verified, {transport}, {selection}")  # noqa: T201
        with staging.start(transport, selection) as process:
            staging.kill(process, number, wait, read_to(process, "Verified"))
        between += staging.is_between(selection)
        staging.go_on(transport, selection)
        shutil.rmtree(staging.catalog)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals(
    stage_in: StageIn,
    platform: Sandbox,
    new: Path,
    assert_same_tree: SameTree,
    number: signal.Signals,
) -> None:
    stall = platform.faults.add("on=download path=*_B0* stall=60 at=0.5")
    with stage_in.start(platform.item_url(new.name)) as process:
        platform.log.wait(lambda exchange: "_B0" in exchange.path and exchange.sent > 0)
        time.sleep(0.2)
        process.send_signal(number)
        sent = time.monotonic()
        _, log = process.communicate(timeout=10)
    assert time.monotonic() - sent < 1
    assert process.returncode == 128 + number
    assert number.name in log.rstrip().rpartition("\n")[2]
    assert {path.name for path in stage_in.folder.iterdir()} == {".catalog.staging"}

    platform.faults.remove(stall)
    run = stage_in(platform.item_url(new.name))
    assert run.code == 0, run.log
    assert {path.name for path in stage_in.folder.iterdir()} == {"catalog"}
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)


@pytest.mark.slow
def test_a_signal_while_nobody_reads_the_log(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    """Such as of `stage-in --verbose 2>&1 | less`: it waits to be read, and ends all the same."""
    with stage_in.start(platform.item_url(new.name), "--verbose") as process:
        assert process.stderr is not None
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, os.sysconf("SC_PAGESIZE"))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
    assert (stage_in.folder / ".catalog.staging").is_dir()


def test_the_terminal_goes_away(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    """By SIGHUP it ends, as it is; after nohup it goes on."""
    stall = platform.faults.add("on=download path=*_B0* stall=60 at=0.5")
    with stage_in.start(platform.item_url(new.name)) as process:
        platform.log.wait(lambda exchange: "_B0" in exchange.path and exchange.sent > 0)
        process.send_signal(signal.SIGHUP)
        assert process.wait(10) == -signal.SIGHUP
    assert {path.name for path in stage_in.folder.iterdir()} == {".catalog.staging"}

    platform.faults.remove(stall)
    platform.log.clear()
    platform.faults.add("on=download path=*_B03* stall=2 times=1")
    nohup = StageIn(platform, stage_in.folder, ("nohup",))
    with nohup.start(platform.item_url(new.name)) as process:
        platform.log.wait(lambda exchange: "_B03" in exchange.path)
        process.send_signal(signal.SIGHUP)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log
    assert {path.name for path in stage_in.folder.iterdir()} == {"catalog"}


@dataclass
class Terminal:
    """A terminal that a run has as its standard error."""

    process: subprocess.Popen[bytes]
    screen: io.FileIO


@pytest.fixture
def terminal(stage_in: StageIn, platform: Sandbox, new: Path) -> Iterator[Terminal]:
    """A run that shows its bar, and waits for a second or two in the midst of a band."""
    platform.faults.add("on=download path=*_B0* stall=2 at=0.5 times=4")
    master, terminal = os.openpty()
    with (
        io.FileIO(master) as screen,
        subprocess.Popen(
            [sys.executable, "-m", "app.app", "--input-item", platform.item_url(new.name)],
            cwd=stage_in.folder,
            env=stage_in.environment(TERM="xterm"),
            stdin=subprocess.DEVNULL,
            stderr=terminal,
            start_new_session=True,
        ) as process,
    ):
        os.close(terminal)
        platform.log.wait(lambda exchange: "_B0" in exchange.path and exchange.sent > 0)
        yield Terminal(process, screen)
        process.kill()


def test_the_cursor_comes_back(terminal: Terminal) -> None:
    """The bar hides it."""
    terminal.process.send_signal(signal.SIGTERM)
    shown = b""
    with suppress(OSError):  # which is how a terminal ends
        while chunk := terminal.screen.read(4096):
            shown += chunk
    assert terminal.process.wait(10) == 128 + signal.SIGTERM
    assert b"Stopped by SIGTERM" in shown
    assert 0 <= shown.rindex(b"\x1b[?25l") < shown.rindex(b"\x1b[?25h")


def test_the_terminal_ends_alone(stage_in: StageIn, terminal: Terminal) -> None:
    """It belongs to another session, as with `setsid`: no signal comes, nothing can be shown."""
    terminal.screen.close()
    assert terminal.process.wait(60) == 0
    assert {path.name for path in stage_in.folder.iterdir()} == {"catalog"}


def test_standard_error_closed(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    command = f"{sys.executable} -m app.app --input-item {platform.item_url(new.name)} 2>&-"
    ended = subprocess.run(
        command, shell=True, cwd=stage_in.folder, env=stage_in.environment(), timeout=60
    )
    assert ended.returncode == 0
    assert (stage_in.folder / "catalog" / "catalog.json").is_file()


@pytest.mark.parametrize(
    ("fault", "code", "left"),
    [("status=503 times=1", 0, {"catalog"}), ("status=403", 77, set[str]())],
)
def test_the_reader_of_the_log_goes_away(
    stage_in: StageIn, platform: Sandbox, new: Path, fault: str, code: int, left: set[str]
) -> None:
    """Such as of `stage-in 2>&1 | head -1`: nobody reads what it logs, but it does its work."""
    platform.faults.add(f"on=download path=*_B03* {fault}")
    with stage_in.start(platform.item_url(new.name), "--verbose") as process:
        read_to(process, "Staging")
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait(60) == code
    assert {path.name for path in stage_in.folder.iterdir()} == left
