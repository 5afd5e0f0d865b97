"""Who gets to see token, refresh token and password.

tests/test_faults.py asks so of each of its runs, too.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.server import Sandbox
from sandbox.tokens import Account
from tests.conftest import StageIn

ACCOUNT = Account("someone", "pass-word:0815/4711")


@pytest.fixture
def platform(new: Path) -> Iterator[Sandbox]:
    """A platform whose password is not a word."""
    with Sandbox([new], accounts=[ACCOUNT]) as sandbox:
        yield sandbox


@pytest.fixture
def secrets(platform: Sandbox) -> dict[str, str]:
    """All that there can be, by the variables that hold them."""
    return {
        "CDSE_ACCESS_TOKEN": platform.mint(user=ACCOUNT.name),
        "CDSE_REFRESH_TOKEN": platform.mint_refresh(user=ACCOUNT.name),
        "CDSE_PASSWORD": ACCOUNT.password,
    }


def list_commands(process: int) -> list[str]:
    """The argument lists of a process and its descendants."""
    folder = Path(f"/proc/{process}")
    children = (folder / "task" / str(process) / "children").read_text().split()
    own = (folder / "cmdline").read_text()
    return [own, *(line for child in children for line in list_commands(int(child)))]


@pytest.mark.parametrize("level", ["--verbose", "--quiet", ""])
def test_files_and_logs(
    stage_in: StageIn, platform: Sandbox, new: Path, secrets: dict[str, str], level: str
) -> None:
    platform.faults.add("on=download cut=0.5 times=1")
    platform.faults.add("on=download html times=1")
    platform.faults.add("on=download status=401 times=1")
    options = [level] if level else []
    run = stage_in(platform.item_url(new.name), *options, **secrets, CDSE_USERNAME=ACCOUNT.name)
    assert run.code == 0, run.log
    shown = [exchange.header("Authorization") for exchange in platform.log.of("download")]
    renewed = {token.removeprefix("Bearer ") for token in shown if token}
    assert len(renewed) == 2
    files = [path for path in stage_in.folder.rglob("*") if path.is_file()]
    assert files
    for secret in {*secrets.values(), *renewed}:
        assert secret not in run.log
        assert not [path for path in files if secret.encode() in path.read_bytes()]
        assert not [exchange for exchange in platform.log if secret in exchange.path]


def test_each_goes_where_it_belongs(
    stage_in: StageIn, platform: Sandbox, new: Path, secrets: dict[str, str]
) -> None:
    aged = {**secrets, "CDSE_ACCESS_TOKEN": platform.mint(-1, user=ACCOUNT.name)}
    platform.faults.add("on=identity status=401 times=1")
    run = stage_in(platform.item_url(new.name), **aged, CDSE_USERNAME=ACCOUNT.name)
    assert run.code == 0, run.log
    for name in ("CDSE_REFRESH_TOKEN", "CDSE_PASSWORD"):
        told = [exchange.role for exchange in platform.log if exchange.holds(aged[name])]
        assert told == ["identity"]
    bearers = {exchange.role for exchange in platform.log if exchange.header("Authorization")}
    assert bearers == {"download"}


def test_argument_lists(
    stage_in: StageIn, platform: Sandbox, new: Path, secrets: dict[str, str]
) -> None:
    platform.faults.add("on=download path=*_B0* stall=60 at=0.5")
    with stage_in.start(platform.item_url(new.name), **secrets) as process:
        platform.log.wait(lambda exchange: "_B0" in exchange.path and exchange.sent > 0)
        commands = list_commands(process.pid)
        process.kill()
        process.communicate(timeout=10)
    assert "app.app" in commands[0]
    assert not [line for line in commands for secret in secrets.values() if secret in line]


def test_a_short_password(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    """It is struck out where it stands alone; in our own words it would show where it is."""
    item = platform.item_url(new.name)
    run = stage_in("p", CDSE_PASSWORD="p", CDSE_ACCESS_TOKEN=platform.mint(user=ACCOUNT.name))
    assert run.reason.endswith("expected a STAC item at [secret], found no such file")
    run = stage_in(item, CDSE_ACCESS_TOKEN="", CDSE_PASSWORD="token", CDSE_TOTP="found")
    assert run.code == 77
    assert "expected a [secret], [secret] none: set CDSE_ACCESS_TOKEN" in run.reason


BUG = """
import stage_in.transfer.client

def fail(self, request):
    raise ZeroDivisionError(f"a bug beside {len(request.headers)} headers")

app.transfer.TrustedAuth.__call__ = fail
from app.app import run
run()
"""


def test_the_traceback_of_a_bug(
    stage_in: StageIn, platform: Sandbox, new: Path, secrets: dict[str, str]
) -> None:
    """Where a token is at hand: the traceback tells places, and no values."""
    run = subprocess.run(
        [sys.executable, "-c", BUG, "--input-item", platform.item_url(new.name), "--verbose"],
        cwd=stage_in.folder,
        env=stage_in.environment(**secrets),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 1
    assert "ZeroDivisionError: a bug beside" in run.stderr
    assert not [secret for secret in secrets.values() if secret in run.stdout + run.stderr]


@pytest.mark.parametrize("fault", ["status=500", "status=401", "html", "cut=0.5", "reset=start"])
def test_logging_in(platform: Sandbox, fault: str) -> None:
    platform.faults.add(f"on=identity {fault}")
    run = subprocess.run(
        [Path(sys.executable).with_name("cdse-token"), "--username", ACCOUNT.name],
        env={**platform.environment, "CDSE_PASSWORD": ACCOUNT.password},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode in {75, 77}
    assert run.stdout == ""
    assert run.stderr.startswith("cdse-token: ")
    assert ACCOUNT.password not in run.stderr
