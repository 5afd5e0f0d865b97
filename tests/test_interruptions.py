"""Runs that are killed or interrupted, and runs whose terminal or reader goes away.

Random choices depend on STAGE_IN_SEED, which pytest prints: set it to repeat a run's choices.
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
from stage_in.safe.manifest import MANIFEST, read_manifest
from tests.conftest import SameTree, StageIn, slow_after

GROUPS = 2  # of kills, so that two workers share them
KILLS = 8  # in each group, spread evenly over the whole of a run
MIN_BETWEEN = 2  # kills in each group that hit the time between verification and rename
MAX_LATE_KILLS = 30  # tries in each group to hit that time
TRANSPORTS = ("nodes", "zip")
SELECTIONS = {"all": (), "some": ("--assets", "B04,B08")}


def takes_signals(process: subprocess.Popen[str]) -> bool:
    """Tell whether the command has installed its signal handling, which blocks signals."""
    status = ""
    with suppress(OSError):
        status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"^SigBlk:\s*([0-9a-f]+)", status, re.MULTILINE)
    return bool(found) and bool(int(found[1], 16) & 1 << (signal.SIGTERM - 1))


def read_until(process: subprocess.Popen[str], word: str) -> str:
    """Read the log up to a line that contains a word."""
    assert process.stderr is not None
    log = ""
    for line in process.stderr:
        log += line
        if word in line:
            return log
    raise AssertionError(log)


def wait_for_a_band(platform: Sandbox) -> None:
    """Wait until a part of a band has been sent."""
    platform.log.wait(lambda exchange: "_B0" in exchange.path and exchange.sent > 0, timeout=60)


def diff(one: Path, other: Path) -> str:
    return subprocess.run(["diff", "-r", one, other], capture_output=True, text=True).stdout


@dataclass
class Staging:
    """Runs that stage one product into one folder, compared with undisturbed runs.

    Attributes:
        stage_in: The command, in that folder.
        product: The SAFE folder of the product.
        complete: A folder with the catalogs of undisturbed runs, by selection.
        durations: Seconds that undisturbed runs take, by transport.
        windows: Seconds of these that come after the line "Verified".
    """

    stage_in: StageIn
    product: Path
    complete: Path
    durations: dict[str, float] = field(default_factory=dict)
    windows: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.listed = [*read_manifest((self.product / MANIFEST).read_bytes())]
        self.catalog = self.stage_in.folder / "catalog"
        self.staging = self.stage_in.folder / ".catalog.staging"
        for selection in SELECTIONS:
            for transport in TRANSPORTS:
                begin = time.monotonic()
                with self.start(transport, selection) as process:
                    read_until(process, "Verified")
                    verified = time.monotonic()
                    process.communicate(timeout=60)
                    self.durations[transport] = time.monotonic() - begin
                    self.windows[transport] = time.monotonic() - verified
                assert process.returncode == 0
                if (self.complete / selection).exists():
                    self.assert_complete(selection)
                    shutil.rmtree(self.catalog)
                else:
                    self.catalog.rename(self.complete / selection)
        assert diff(self.product, self.get_safe(self.complete / "all")) == ""

    def get_safe(self, catalog: Path) -> Path:
        return catalog / self.product.stem / self.product.name

    def start(self, transport: str, selection: str) -> subprocess.Popen[str]:
        url = self.stage_in.platform.item_url(self.product.name)
        return self.stage_in.start(url, "--transport", transport, *SELECTIONS[selection])

    def kill(
        self, process: subprocess.Popen[str], number: signal.Signals, wait: float, log: str = ""
    ) -> None:
        """Wait, send a signal, and check how the process ends, by the signal or before it."""
        with suppress(subprocess.TimeoutExpired):
            process.wait(wait)
        # Before the command has installed its signal handling, Python's applies.
        handled = number != signal.SIGKILL and takes_signals(process)
        process.send_signal(number)
        log += process.communicate(timeout=60)[1]
        if process.returncode == 0:
            assert self.catalog.exists()
        elif handled:
            assert process.returncode == 128 + number
            assert number.name in log.splitlines()[-1]
            assert "Traceback" not in log
        elif number == signal.SIGKILL:
            assert process.returncode == -number, log
        else:
            assert not self.staging.exists()
            assert not self.catalog.exists()

    def is_between(self, selection: str) -> bool:
        """Tell whether all files are verified but the output does not exist yet."""
        safe = self.get_safe(self.staging / "catalog")
        return not self.catalog.exists() and not diff(
            safe, self.get_safe(self.complete / selection)
        )

    def assert_complete(self, selection: str) -> None:
        """Check that the catalog equals that of an undisturbed run and can be read."""
        assert diff(self.catalog, self.complete / selection) == ""
        catalog = pystac.Catalog.from_file(str(self.catalog / "catalog.json"))
        (item,) = catalog.get_items(recursive=True)
        hrefs = [asset.get_absolute_href() for asset in item.assets.values()]
        assert len(hrefs) > 10
        assert all(href is not None and Path(href).is_file() for href in hrefs)

    def resume(self, transport: str, selection: str) -> None:
        """Run the command to its end, and check that it downloads nothing again."""
        safe = self.get_safe(self.staging / "catalog")
        there = [path for path in self.listed if (safe / path).is_file()]
        verified, _, _ = filecmp.cmpfiles(safe, self.product, there, shallow=False)
        kept_zip = (self.staging / f"{self.product.stem}.zip").exists()
        published = self.catalog.exists()
        if published:
            self.assert_complete(selection)

        self.stage_in.platform.log.clear()
        with self.start(transport, selection) as process:
            _, log = process.communicate(timeout=60)
        assert process.returncode == 0, log
        self.assert_complete(selection)
        assert [path.name for path in self.stage_in.folder.iterdir()] == ["catalog"]
        assert f"{len(verified)} of" in log or not verified or published

        fetched = [
            "/".join(re.findall(r"Nodes\(([^)]*)\)", unquote(exchange.path))[1:])
            for exchange in self.stage_in.platform.log.of("download", "*$value")
        ]
        assert not {*verified} & {*fetched}
        if kept_zip or published:
            assert fetched == []


@pytest.fixture(scope="module")
def staging(new: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staging]:
    folder = tmp_path_factory.mktemp("interrupted")
    for name in ("work", "complete"):
        (folder / name).mkdir()
    with Sandbox([new]) as platform:
        yield Staging(StageIn(platform, folder / "work"), new, folder / "complete")


@pytest.mark.slow
@pytest.mark.parametrize("group", range(GROUPS))
def test_killed_run_leaves_the_whole_catalog_or_none_and_can_be_resumed(
    staging: Staging, group: int
) -> None:
    print(f"STAGE_IN_SEED={os.environ['STAGE_IN_SEED']}")  # noqa: T201
    draw = random.Random(f"{os.environ['STAGE_IN_SEED']} {group}")
    shutil.rmtree(staging.catalog, ignore_errors=True)
    shutil.rmtree(staging.staging, ignore_errors=True)

    def draw_run() -> tuple[signal.Signals, str, str]:
        numbers = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
        (number,) = draw.choices(numbers, [3, 1, 1])
        return number, draw.choice(TRANSPORTS), draw.choice([*SELECTIONS])

    for kill in range(KILLS):
        number, transport, selection = draw_run()
        # Each kill has its own part of the run, so that together they cover all of it.
        wait = (kill + draw.random()) / KILLS * staging.durations[transport]
        print(f"{number.name} after {wait:.3f} s, {transport}, {selection}")  # noqa: T201
        with staging.start(transport, selection) as process:
            staging.kill(process, number, wait)
        staging.resume(transport, selection)
        shutil.rmtree(staging.catalog)

    between = 0
    for _ in range(MAX_LATE_KILLS):
        number, transport, selection = draw_run()
        wait = draw.uniform(0, staging.windows[transport])
        print(f"{number.name} {wait:.3f} s after Verified, {transport}, {selection}")  # noqa: T201
        with staging.start(transport, selection) as process:
            staging.kill(process, number, wait, read_until(process, "Verified"))
        between += staging.is_between(selection)
        staging.resume(transport, selection)
        shutil.rmtree(staging.catalog)
        if between == MIN_BETWEEN:
            return
    pytest.fail("no kill came between verification and rename")


@pytest.mark.parametrize("number", slow_after(1, [signal.SIGTERM, signal.SIGINT]))
def test_signal_stops_the_run_and_keeps_what_has_arrived(
    stage_in: StageIn,
    platform: Sandbox,
    new: Path,
    assert_same_tree: SameTree,
    number: signal.Signals,
) -> None:
    stall = platform.faults.add("on=download path=*_B0* stall=30 at=0.5")
    with stage_in.start(platform.item_url(new.name)) as process:
        wait_for_a_band(platform)
        process.send_signal(number)
        _, log = process.communicate()
    # The process did not wait for the downloads that had begun.
    assert not [x for x in platform.log.of("download", "*_B0*$value") if x.complete]
    assert process.returncode == 128 + number
    assert number.name in log.rstrip().rpartition("\n")[2]
    assert {path.name for path in stage_in.folder.iterdir()} == {".catalog.staging"}

    platform.faults.remove(stall)
    run = stage_in(platform.item_url(new.name))
    assert run.code == 0, run.log
    assert {path.name for path in stage_in.folder.iterdir()} == {"catalog"}
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)


@pytest.mark.slow
def test_signal_stops_a_run_whose_log_nobody_reads(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    """For example `stage-in --verbose 2>&1 | less`, which blocks when the pipe is full."""
    with stage_in.start(platform.item_url(new.name), "--verbose") as process:
        assert process.stderr is not None
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, os.sysconf("SC_PAGESIZE"))
        platform.log.wait(lambda exchange: "$value" in exchange.path, timeout=60)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    assert (stage_in.folder / ".catalog.staging").is_dir()


def test_sighup_ends_the_run_except_under_nohup(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    stall = platform.faults.add("on=download path=*_B0* stall=60 at=0.5")
    with stage_in.start(platform.item_url(new.name)) as process:
        wait_for_a_band(platform)
        process.send_signal(signal.SIGHUP)
        assert process.wait(50) == -signal.SIGHUP
    assert {path.name for path in stage_in.folder.iterdir()} == {".catalog.staging"}

    platform.faults.remove(stall)
    platform.log.clear()
    stall = platform.faults.add("on=download path=*_B03* stall=60")
    nohup = StageIn(platform, stage_in.folder, ("nohup",))
    with nohup.start(platform.item_url(new.name)) as process:
        platform.log.wait(lambda exchange: "_B03" in exchange.path, timeout=60)
        process.send_signal(signal.SIGHUP)
        platform.faults.remove(stall)
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert {path.name for path in stage_in.folder.iterdir()} == {"catalog"}


@dataclass
class Terminal:
    """A run whose standard error is a terminal."""

    process: subprocess.Popen[bytes]
    screen: io.FileIO


@pytest.fixture
def terminal(stage_in: StageIn, platform: Sandbox, new: Path) -> Iterator[Terminal]:
    """A run that shows its progress bar, and waits in the middle of some bands."""
    platform.faults.add("on=download path=*_B0* stall=60 at=0.5")
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
        wait_for_a_band(platform)
        yield Terminal(process, screen)
        process.kill()


def test_stopped_run_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    """It hides no cursor, and nothing is left of the progress bar."""
    terminal.process.send_signal(signal.SIGTERM)
    shown = b""
    with suppress(OSError):  # a closed terminal raises it
        while chunk := terminal.screen.read(4096):
            shown += chunk
    assert terminal.process.wait(60) == 128 + signal.SIGTERM
    assert b"SIGTERM" in shown
    assert b"\x1b[?25l" not in shown
    assert b"%" in shown
    assert b"%" not in shown.rpartition(b"\r\x1b[K")[2]


def test_run_continues_when_its_terminal_closes_without_a_signal(
    stage_in: StageIn, platform: Sandbox, terminal: Terminal
) -> None:
    """After `setsid` the terminal belongs to another session, so that no SIGHUP is sent."""
    terminal.screen.close()
    platform.faults.clear()
    assert terminal.process.wait(60) == 0
    assert {path.name for path in stage_in.folder.iterdir()} == {"catalog"}


def test_run_continues_without_standard_error(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    command = f"{sys.executable} -m app.app --input-item {platform.item_url(new.name)} 2>&-"
    ended = subprocess.run(
        command, shell=True, cwd=stage_in.folder, env=stage_in.environment(), timeout=60
    )
    assert ended.returncode == 0
    assert (stage_in.folder / "catalog" / "catalog.json").is_file()


@pytest.mark.parametrize(("fault", "code"), [("status=503 times=1", 0), ("status=403", 77)])
def test_run_continues_when_the_reader_of_its_log_goes_away(
    stage_in: StageIn, platform: Sandbox, new: Path, fault: str, code: int
) -> None:
    """For example `stage-in 2>&1 | head -1`."""
    platform.faults.add(f"on=download path=*_B03* {fault}")
    with stage_in.start(platform.item_url(new.name), "--verbose") as process:
        read_until(process, "Staging")
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait(60) == code
    assert (stage_in.folder / "catalog").exists() is (code == 0)
