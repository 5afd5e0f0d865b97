"""Who gets to see the token, the refresh token and the password: services, logs, files, processes.

Every run in tests/test_faults.py is checked for this, too. The last part is about what cwltool
writes down of its inputs, and workflows/stage-in-secret.cwl, which keeps the token out of it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.server import Sandbox
from sandbox.tokens import Account
from tests.conftest import StageIn
from tests.cwl_runs import (
    CWL,
    PRESERVE_TRUST,
    SECRET,
    CompletedProcess,
    assert_valid,
    cwltool,
    find_files_with,
)

ACCOUNT = Account("someone", "pass-word:0815/4711")


@pytest.fixture
def platform(new: Path) -> Iterator[Sandbox]:
    """A sandbox whose password has special characters."""
    with Sandbox([new], accounts=[ACCOUNT]) as sandbox:
        yield sandbox


@pytest.fixture
def secrets(platform: Sandbox) -> dict[str, str]:
    """Every kind of secret, by the variable that holds it."""
    return {
        "CDSE_ACCESS_TOKEN": platform.mint(user=ACCOUNT.name),
        "CDSE_REFRESH_TOKEN": platform.mint_refresh(user=ACCOUNT.name),
        "CDSE_PASSWORD": ACCOUNT.password,
    }


@pytest.mark.parametrize("level", ["--verbose", "--quiet", ""])
def test_no_secret_is_in_a_file_a_log_or_a_url(
    stage_in: StageIn, platform: Sandbox, new: Path, secrets: dict[str, str], level: str
) -> None:
    platform.faults.add("on=download cut=0.5 times=1")
    platform.faults.add("on=download html times=1")
    platform.faults.add("on=download status=401 times=1")
    options = [level] if level else []
    run = stage_in(platform.item_url(new.name), *options, **secrets, CDSE_USERNAME=ACCOUNT.name)
    assert run.code == 0, run.log
    headers = [exchange.header("Authorization") for exchange in platform.log.of("download")]
    tokens = {header.removeprefix("Bearer ") for header in headers if header}
    assert len(tokens) == 2  # the given one and a renewed one
    assert list(stage_in.folder.iterdir())
    for secret in {*secrets.values(), *tokens}:
        assert secret not in run.log
        assert not find_files_with(secret, stage_in.folder)
        assert not [exchange for exchange in platform.log if secret in exchange.path]


def test_each_secret_goes_to_its_service_only(
    stage_in: StageIn, platform: Sandbox, new: Path, secrets: dict[str, str]
) -> None:
    expired = {**secrets, "CDSE_ACCESS_TOKEN": platform.mint(-1, user=ACCOUNT.name)}
    platform.faults.add("on=identity status=401 times=1")
    run = stage_in(platform.item_url(new.name), **expired, CDSE_USERNAME=ACCOUNT.name)
    assert run.code == 0, run.log
    for name in ("CDSE_REFRESH_TOKEN", "CDSE_PASSWORD"):
        receivers = [exchange.role for exchange in platform.log if exchange.holds(expired[name])]
        assert receivers == ["identity"]
    bearers = {exchange.role for exchange in platform.log if exchange.header("Authorization")}
    assert bearers == {"download"}


def list_commands(process: int) -> list[str]:
    """Return the argument lists of a process and its descendants."""
    folder = Path(f"/proc/{process}")
    children = (folder / "task" / str(process) / "children").read_text().split()
    own = (folder / "cmdline").read_text()
    return [own, *(line for child in children for line in list_commands(int(child)))]


def test_no_secret_is_in_an_argument_list(
    stage_in: StageIn, platform: Sandbox, new: Path, secrets: dict[str, str]
) -> None:
    platform.faults.add("on=download path=*_B0* stall=60 at=0.5")
    with stage_in.start(platform.item_url(new.name), **secrets) as process:
        platform.log.wait(lambda exchange: "_B0" in exchange.path and exchange.sent > 0, timeout=60)
        commands = list_commands(process.pid)
        process.kill()
        process.communicate(timeout=10)
    assert "app.app" in commands[0]
    assert not [line for line in commands for secret in secrets.values() if secret in line]


def test_password_that_is_a_common_word_is_replaced_as_a_whole_word_only(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    item = platform.item_url(new.name)
    run = stage_in("p", CDSE_PASSWORD="p", CDSE_ACCESS_TOKEN=platform.mint(user=ACCOUNT.name))
    assert run.code in {2, 66}
    assert "[secret]" in run.reason
    assert "xpected" in run.reason  # the p in a word stays
    run = stage_in(item, CDSE_ACCESS_TOKEN="", CDSE_PASSWORD="token", CDSE_TOTP="found")
    assert run.code == 77
    assert "[secret]" in run.reason
    assert "token" not in run.reason.split()
    assert "CDSE_ACCESS_TOKEN" in run.reason


# A bug in a method that has the token at hand, such as the one that sets the header.
BUG = """
import requests

def fail(self, request, **options):
    raise ZeroDivisionError(f"a bug beside {len(request.headers)} headers")

requests.Session.send = fail
from app.app import run
run()
"""


def test_traceback_of_a_bug_has_no_secret(
    stage_in: StageIn, platform: Sandbox, new: Path, secrets: dict[str, str]
) -> None:
    """A traceback shows lines of code, and no values."""
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


@pytest.mark.parametrize("fault", ["status=500", "status=401", "html"])
def test_failed_log_in_does_not_show_the_password(platform: Sandbox, fault: str) -> None:
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


# -- What cwltool writes down


def run_with_provenance(
    platform: Sandbox, folder: Path, document: Path, **inputs: Any
) -> CompletedProcess:
    """Run a CWL file without a container, with `provenance` and `out` below the folder."""
    params = folder / "params.yml"
    params.write_text(json.dumps(inputs))
    return cwltool(
        *("--no-container", *PRESERVE_TRUST, "--provenance", folder / "provenance"),
        *("--outdir", folder / "out", document, params),
        cwd=folder,
        **platform.environment,
    )


def read_ports(document: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the types, defaults and labels of the inputs and outputs of a CWL process."""
    process = yaml.safe_load(document.read_text())
    return {
        kind: {
            name: {key: value for key, value in port.items() if key in {"type", "default", "label"}}
            for name, port in process[kind].items()
        }
        for kind in ("inputs", "outputs")
    }


def test_secret_workflow_is_valid() -> None:
    assert_valid(SECRET)


def test_secret_workflow_has_the_ports_of_the_tool() -> None:
    assert read_ports(SECRET) == read_ports(CWL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("document", "files"), [(SECRET, 0), (CWL, 8)], ids=["secret workflow", "tool alone"]
)
def test_secret_workflow_keeps_the_token_out_of_the_provenance(
    platform: Sandbox, tmp_path: Path, new: Path, document: Path, files: int
) -> None:
    """The tool alone keeps it out of the log only."""
    token = platform.mint(user=ACCOUNT.name)
    item = platform.item_url(new.name)
    run = run_with_provenance(platform, tmp_path, document, item=item, access_token=token)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "out/catalog/catalog.json").is_file()
    assert (tmp_path / "provenance/workflow/primary-job.json").is_file()
    assert token not in run.stdout + run.stderr
    assert len(find_files_with(token, tmp_path / "provenance")) == files
    assert not find_files_with(token, tmp_path / "out")
