"""Who gets to see the token, the refresh token and the password: services, logs, files, processes.

Every run in tests/test_faults.py is checked for this, too. The last part is about what cwltool
writes down of its inputs, and workflows/stage-in-secret.cwl, which keeps the token out of it.
"""

import base64
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from sandbox.server import Sandbox
from sandbox.tokens import Account
from tests.conftest import StageIn, slow_after
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


@pytest.mark.parametrize("level", slow_after(1, ["--verbose", "--quiet", ""]))
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
    assert "--input-item" in run.reason  # the p in a word stays
    run = stage_in(item, CDSE_ACCESS_TOKEN="", CDSE_PASSWORD="token", CDSE_TOTP="found")
    assert run.code == 77
    assert "[secret]" in run.reason
    assert "token" not in run.reason.split()
    assert "CDSE_ACCESS_TOKEN" in run.reason


def echo(secret: str) -> str:
    """Return an error message that quotes a secret in several forms, and is cut in the last."""
    login = base64.b64encode(f"{ACCOUNT.name}:{secret}".encode()).decode()
    forms = [secret, quote(secret, safe=""), json.dumps(secret), login, secret.encode().hex()]
    return " | ".join([*forms, " wait " * 20, secret[: len(secret) * 2 // 3]])


def assert_no_part(text: str, secrets: Iterable[str], length: int = 12) -> None:
    """Check that no part of a secret, of its base64 or of its percent-encoded form is in a text."""
    for secret in secrets:
        login = base64.b64encode(f"{ACCOUNT.name}:{secret}".encode()).decode()
        for form in (secret, quote(secret, safe=""), login[16:], secret.encode().hex()):
            parts = [form[n : n + length] for n in range(max(len(form) - length, 0) + 1)]
            assert not [part for part in parts if part in text], text


ECHOES = {
    "status": "on=download status=500 body={body}",
    "refusal": "on=download status=403 body={body}",
    "other host": "on=download redirect={{stranger}}/x/{quoted}",
    "another scheme": "on=download redirect=ftp://x/{quoted}?{quoted}",
    "range": "on=download cut=0.5 body={body}",
    "listing": "on=download path=*/Nodes body={body}",
    "item": "on=stac status=500 body={body}",
    "page": "on=stac body={item}",
    "log-in": "on=identity status=400 body={login}",
    "answer": "on=identity body={body}",
}


@pytest.mark.parametrize("level", slow_after(1, ["--verbose", "--quiet"]))
@pytest.mark.parametrize("place", ECHOES)
def test_echoed_secrets_are_struck(
    stage_in: StageIn, platform: Sandbox, new: Path, secrets: dict[str, str], place: str, level: str
) -> None:
    expired = {**secrets, "CDSE_ACCESS_TOKEN": platform.mint(-1, user=ACCOUNT.name)}
    variables = {**(expired if "identity" in ECHOES[place] else secrets), "CDSE_TOTP": "081547"}
    token = variables["CDSE_ACCESS_TOKEN"]
    quoted = f"{echo(ACCOUNT.password)} code 081547 {echo(token)}"[:3500]
    platform.faults.add(
        ECHOES[place].format(
            body=shlex.quote(json.dumps({"code": "X", "message": quoted})),
            item=shlex.quote(json.dumps({"type": quoted})),
            login=shlex.quote(json.dumps({"error_description": quoted})),
            quoted=quote(quoted),
        )
    )
    run = stage_in(
        platform.item_url(new.name), level, "--patience", "4", **variables, CDSE_USERNAME="someone"
    )
    assert_no_part(run.log, variables.values(), 6)
    assert ("[secret]" in run.log) == (place not in {"range", "answer"})


@pytest.mark.parametrize("kind", slow_after(1, ["tunnel", "status line", "body"]))
def test_echoes_of_a_proxy_are_struck(stage_in: StageIn, new: Path, kind: str) -> None:
    """It sees its own login, which is in the URL, and for http:// the token as well."""
    password = "p@ss/word:4711"
    with Proxy(kind) as proxy:
        url = f"http://me:{quote(password, safe='')}@127.0.0.1:{proxy.port}"
        item = "https" if kind == "tunnel" else "http"
        run = stage_in(
            f"{item}://stac.example/{new.stem}", "--verbose", "--patience", "4",
            HTTP_PROXY=url, HTTPS_PROXY=url,
        )  # fmt: skip
    assert run.code in {65, 75, 77}
    login = base64.b64encode(f"me:{password}".encode()).decode()
    assert login in proxy.received
    for form in (password, quote(password, safe=""), login):
        assert form[:8] not in run.log
    assert "[secret]" in run.log


class Proxy(Thread):
    """A proxy that answers every request with a failure that quotes the request."""

    def __init__(self, kind: str) -> None:
        super().__init__(daemon=True)
        self._kind = kind
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.received = ""

    def __enter__(self) -> "Proxy":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection:
                    self.received = connection.recv(65536).decode()
                    quoted = re.search("Proxy-Authorization: (.*)\r", self.received, re.IGNORECASE)
                    assert quoted
                    body = json.dumps({"code": "X", "message": quoted[1] * 3})
                    reason = quoted[1] if self._kind != "body" else "Sorry"
                    start = f"HTTP/1.1 502 {reason}" if self._kind != "status line" else reason
                    connection.sendall(
                        f"{start}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
                    )


API = """
import os, sys, pystac, requests
from loguru import logger
logger.remove()
logger.add(sys.stderr, level="TRACE", diagnose=True, backtrace=True)
from app.app import download_and_extract_file
from stage_in import stage
token = os.environ.pop("CDSE_ACCESS_TOKEN")
def call():
    if sys.argv[2] == "stage":
        stage(sys.argv[1], patience=4, access_token=token)
    else:
        item = pystac.Item.from_dict(requests.get(sys.argv[1]).json())
        download_and_extract_file(item, token)
call_quietly = lambda: call()
try:
    call_quietly()
except Exception as error:
    chain = error
    while chain is not None:
        print(repr(chain), vars(chain))
        chain = chain.__cause__ or chain.__context__
    for frame in __import__("traceback").walk_tb(error.__traceback__):
        assert "stage_in/transfer" not in frame[0].f_code.co_filename
    print(*__import__("traceback").format_exception(error))
    raise SystemExit(3)
"""


@pytest.mark.parametrize("function", ["stage", "download_and_extract_file"])
@pytest.mark.parametrize("token", slow_after(1, ["opaque-token-0123456789-SECRET", "minted"]))
def test_exceptions_of_the_api_have_no_secret(
    stage_in: StageIn, platform: Sandbox, new: Path, function: str, token: str
) -> None:
    if token == "minted":
        token = platform.mint()
    message = json.dumps({"code": "X", "message": echo(token)[:3500]})
    platform.faults.add(f"on=download status=401 body={shlex.quote(message)}")
    run = stage_in.run_python(
        *(API, platform.item_url(new.name), function), CDSE_ACCESS_TOKEN=token
    )
    assert run.returncode == 3, run.stderr
    assert "[secret]" in run.stdout
    assert "[secret]" in run.stderr
    assert_no_part(run.stdout + run.stderr, [token])


def test_no_content_of_a_local_file_is_quoted(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    item = platform.item(new.name)
    for content in (
        "CDSE=hunter2-hunter2",
        '"hunter2-hunter2"',
        '{"type": "hunter2-hunter2"}',
        json.dumps({**item, "id": "hunter2-hunter2"}),
        json.dumps({**item, "assets": {"hunter2-hunter2": {"href": "x"}}}),
        json.dumps({**item, "assets": {"Product": {"href": "https://hunter2-hunter2/x"}}}),
        json.dumps({**item, "properties": {"datetime": "hunter2-hunter2"}}),
    ):
        (stage_in.folder / "item.json").write_text(content)
        run = stage_in("item.json")
        assert run.code == 65, run.log
        assert "hunter2" not in run.log


def test_misuse_and_bugs_show_no_secret(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    variables = {"CDSE_PASSWORD": "hunter2-hunter2", "CDSE_USERNAME": "someone"}
    url = platform.item_url(new.name)
    for options in (
        ("--assets", "hunter2-hunter2"),
        ("--hunter2-hunter2\x1b[2J",),
        ("--output-dir", "x", "hunter2%2Dhunter2"),
        ("--transport", "aHVudGVyMi1odW50ZXIy"),
    ):
        run = stage_in(url, *options, **variables)
        assert run.code == 2
        assert "[secret]" in run.log
        assert not {"hunter2", "aHVud", "\x1b"} & {*re.findall("hunter2|aHVud|\x1b", run.log)}
    ended = run_with_bug(stage_in, "'hunter2-hunter2 \\x1b[2J'", url, **variables)
    assert "ZeroDivisionError: [secret]  [2J" in ended.stderr


# A bug in a method that has the token at hand, such as the one that sets the header.
BUG = """
import requests

def fail(self, request, **options):
    raise ZeroDivisionError({message})

requests.Session.send = fail
from app.app import run
run()
"""


def run_with_bug(
    stage_in: StageIn, message: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command with a bug whose message is an expression in Python."""
    run = subprocess.run(
        [sys.executable, "-c", BUG.format(message=message), "--input-item", *arguments],
        cwd=stage_in.folder,
        env=stage_in.environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 1
    return run


def test_traceback_of_a_bug_has_no_secret(
    stage_in: StageIn, platform: Sandbox, new: Path, secrets: dict[str, str]
) -> None:
    """A traceback shows lines of code, and no values."""
    message = 'f"a bug beside {len(request.headers)} headers"'
    run = run_with_bug(stage_in, message, platform.item_url(new.name), "--verbose", **secrets)
    assert "ZeroDivisionError: a bug beside" in run.stderr
    assert not [secret for secret in secrets.values() if secret in run.stdout + run.stderr]


@pytest.mark.parametrize("fault", slow_after(1, ["status=401", "status=500", "html"]))
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


@pytest.mark.parametrize("name", slow_after(1, ["CDSE_PASSWORD", "CDSE_USERNAME", "CDSE_TOTP"]))
def test_secrets_that_are_not_utf8_are_refused_on_entry(
    stage_in: StageIn, platform: Sandbox, new: Path, name: str
) -> None:
    secret = os.fsdecode(b"hunter2-caf\xe9")
    variables = {"CDSE_USERNAME": "someone", "CDSE_PASSWORD": "x", "CDSE_ACCESS_TOKEN": ""}
    run = stage_in(platform.item_url(new.name), **{**variables, name: secret})
    assert run.code == 77, run.log
    assert "in UTF-8, but contains other bytes" in run.reason
    assert "hunter2" not in run.log
    assert len(platform.log) == 0


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
