"""The environment variables that name proxies and certificates."""

import base64
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import certifi
import pytest

from sandbox.server import Sandbox
from stage_in.errors import StageInError, TemporaryError, UsageError
from stage_in.transfer.auth import NoAuth
from stage_in.transfer.environment import check_certificates, check_proxy
from stage_in.transfer.session import Session
from tests.conftest import SameTree, StageIn, slow_after
from tests.socks_proxy import run_socks_proxy


class Forward(BaseHTTPRequestHandler):
    """Forwards requests, as a proxy without TLS does, and records their hosts."""

    hosts: list[str]

    def do_GET(self) -> None:
        self.hosts.append(self.headers["Host"])
        request = urllib.request.Request(self.path, headers=dict(self.headers))
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            self.send_response(answer.status)
            for name in ("Content-Type", "Content-Length"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.end_headers()
            self.wfile.write(answer.read())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def proxy() -> Iterator[ThreadingHTTPServer]:
    """A proxy on the loopback interface."""
    Forward.hosts = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Forward) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_requests_are_sent_to_the_proxy(
    stage_in: StageIn,
    platform: Sandbox,
    new: Path,
    proxy: ThreadingHTTPServer,
    assert_same_tree: SameTree,
) -> None:
    url = f"http://127.0.0.1:{proxy.server_port}"
    run = stage_in(platform.item_url(new.name), HTTP_PROXY=url)
    assert run.code == 0, run.log
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)
    assert platform.download.removeprefix("http://") in Forward.hosts
    assert len(Forward.hosts) == len(platform.log)


def test_a_proxy_that_cannot_be_reached(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    """The message names the proxy's variable, but does not quote its value."""
    run = stage_in(
        *(platform.item_url(new.name), "--patience", "1"),
        HTTP_PROXY="http://someone:hidden@127.0.0.1:1",
    )
    assert run.code == 75
    assert "proxy that HTTPS_PROXY or HTTP_PROXY names" in run.reason
    assert "hidden" not in run.log


class Refuse(BaseHTTPRequestHandler):
    """Requires a login of every request, as a proxy for registered users does."""

    requests: list[str]
    status = 407, "Proxy Authentication Required"

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline()
        self.close_connection = True
        if not self.raw_requestline or not self.parse_request():
            return
        self.requests.append(f"{self.command} {self.path}")
        self.send_response(*self.status)
        self.send_header("Proxy-Authenticate", "Basic")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def closed_proxy() -> Iterator[ThreadingHTTPServer]:
    """A proxy that answers 407."""
    Refuse.requests = []
    Refuse.status = 407, "Proxy Authentication Required"
    with ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_proxy_that_requires_a_login(
    stage_in: StageIn, platform: Sandbox, new: Path, closed_proxy: ThreadingHTTPServer
) -> None:
    """Retrying can't help, so the first answer ends the run, whatever the patience."""
    proxy = f"http://someone:hidden@127.0.0.1:{closed_proxy.server_port}"
    secure = "https://stac.dataspace.example/item.json"
    for url, expected in (
        (platform.item_url(new.name), f"GET {platform.item_url(new.name)}"),
        (secure, "CONNECT stac.dataspace.example:443"),
    ):
        Refuse.requests.clear()
        run = stage_in(url, "--patience", "60", HTTP_PROXY=proxy, HTTPS_PROXY=proxy)
        assert run.code == 2, run.log
        assert "407" in run.reason
        assert "HTTPS_PROXY" in run.reason
        assert "hidden" not in run.log
        assert Refuse.requests == [expected]
    assert len(platform.log) == 0


def refuse(proxy: str) -> StageInError:
    """Return the failure of a request through a proxy."""
    with Session(5) as session:
        session.proxies = {"https": proxy}
        with pytest.raises(StageInError) as caught:
            session.open("https://stac.dataspace.example/item.json", NoAuth())
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ((403, "Forbidden"), UsageError),
        ((405, "Not Allowed"), UsageError),
        ((404, "No Such Domain"), TemporaryError),
        ((429, "Too Many Requests"), TemporaryError),
        ((503, "Service Unavailable"), TemporaryError),
    ],
)
def test_a_proxy_that_does_not_allow_the_host(
    closed_proxy: ThreadingHTTPServer, status: tuple[int, str], kind: type[StageInError]
) -> None:
    Refuse.status = status
    failure = refuse(f"http://127.0.0.1:{closed_proxy.server_port}")
    assert isinstance(failure, kind)
    assert f"{status[0]} {status[1]}" in str(failure)
    assert "stac.dataspace.example" in str(failure)


def test_a_proxy_without_tls_whose_url_starts_with_https(
    closed_proxy: ThreadingHTTPServer,
) -> None:
    failure = refuse(f"https://127.0.0.1:{closed_proxy.server_port}")
    assert isinstance(failure, UsageError)
    assert "correct the variable" in str(failure)


def test_a_proxy_requires_a_login_on_the_way_to_the_token_endpoint(
    stage_in: StageIn, platform: Sandbox, new: Path, closed_proxy: ThreadingHTTPServer
) -> None:
    """The item comes from a file, so the token is the first thing that is requested."""
    (stage_in.folder / "item.json").write_text(json.dumps(platform.item(new.name)))
    run = stage_in(
        *("item.json", "--patience", "60"),
        HTTPS_PROXY=f"http://127.0.0.1:{closed_proxy.server_port}",
        CDSE_IDENTITY_URL="https://identity.dataspace.example/token",
        CDSE_ACCESS_TOKEN="",
        CDSE_USERNAME="user",
        CDSE_PASSWORD="secret",
    )
    assert run.code == 2, run.log
    assert "407" in run.reason
    assert Refuse.requests == ["CONNECT identity.dataspace.example:443"]


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies, for a test to set some."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    "url",
    [
        *("http:///hidden", "http://user:hid/den@127.0.0.1:1", "http://[hidden"),
        *("socks://hidden:1", "ftp://hidden:1"),
    ],
)
@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_variable_that_names_no_proxy(
    no_proxies: pytest.MonkeyPatch, name: str, url: str
) -> None:
    """The message does not quote the value, which may hold a password."""
    no_proxies.setenv(name, url)
    scheme = "https" if name == "https_proxy" else "http"
    with pytest.raises(UsageError, match=f"{name} must contain the URL of a proxy") as caught:
        check_proxy(f"{scheme}://stac.example/item")
    assert "hid" not in str(caught.value)


@pytest.mark.parametrize(
    "variables",
    slow_after(
        2,
        [
            {"all_proxy": "socks://127.0.0.1:1/", "no_proxy": "localhost,127.0.0.0/8"},
            {"ALL_PROXY": "socks5://127.0.0.1:1", "HTTP_PROXY": "{proxy}"},
            {"ALL_PROXY": "socks5://127.0.0.1:1", "NO_PROXY": "127.0.0.1"},
            {"all_proxy": "socks://127.0.0.1:1/", "HTTPS_PROXY": "http:///x", "NO_PROXY": "*"},
            {"HTTPS_PROXY": "socks5://127.0.0.1:1"},
        ],
    ),
    ids=lambda variables: " ".join(variables),
)
def test_variables_that_do_not_concern_the_host_are_ignored(
    stage_in: StageIn,
    platform: Sandbox,
    new: Path,
    proxy: ThreadingHTTPServer,
    variables: dict[str, str],
) -> None:
    url = f"http://127.0.0.1:{proxy.server_port}"
    found = {name: value.format(proxy=url) for name, value in variables.items()}
    run = stage_in(platform.item_url(new.name), **found)
    assert run.code == 0, run.log
    assert bool(Forward.hosts) == ("HTTP_PROXY" in variables)


def test_the_login_of_a_proxy_is_sent_in_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any character of a password can be sent, as the bytes that the URL encodes."""
    headers = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            headers.append(connection.recv(10_000))
            connection.sendall(b"HTTP/1.1 407 Login\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        proxy = f"http://us%20er:%E2%82%AC%40%C3%B6@127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        with Session(5) as session, pytest.raises(UsageError, match="or another one"):
            session.open("https://stac.example/x", NoAuth())
        thread.join()
    login = base64.b64encode("us er:€@ö".encode())
    assert b"Proxy-Authorization: Basic " + login + b"\r\n" in headers[0]


@pytest.mark.parametrize(
    ("scheme", "login"),
    slow_after(
        1,
        [("socks5", ""), ("socks5h", "user:p%40ss@"), ("socks5", "user:p%40ss@"), ("socks5h", "")],
    ),
)
def test_a_socks_proxy(
    stage_in: StageIn,
    platform: Sandbox,
    new: Path,
    assert_same_tree: SameTree,
    scheme: str,
    login: str,
) -> None:
    """It is used for all requests; by socks5h, it resolves the names of the hosts."""
    with run_socks_proxy(unquote(login.removesuffix("@")).encode()) as proxy:
        url = f"{scheme}://{login}127.0.0.1:{proxy.server_address[1]}"
        item = platform.item_url(new.name).replace("127.0.0.1", "localhost")
        run = stage_in(item, ALL_PROXY=url)
    assert run.code == 0, run.log
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)
    assert set(proxy.hosts) == {"localhost" if scheme == "socks5h" else "127.0.0.1", "127.0.0.1"}
    assert len(proxy.hosts) >= 3


@pytest.mark.parametrize("login", slow_after(1, ["user:hidden@", ""]))
def test_a_socks_proxy_that_requires_another_login(
    stage_in: StageIn, platform: Sandbox, new: Path, login: str
) -> None:
    with run_socks_proxy(b"user:another") as proxy:
        url = f"socks5://{login}127.0.0.1:{proxy.server_address[1]}"
        run = stage_in(platform.item_url(new.name), ALL_PROXY=url)
    assert run.code == 2, run.log
    assert "The proxy requires a login, or another one (SOCKS5)" in run.reason
    assert run.log.count("\n") == 1
    assert "hidden" not in run.log


@pytest.mark.parametrize("scheme", slow_after(2, ["socks4", "socks5h", "socks4a", "socks5"]))
def test_a_socks_proxy_that_cannot_be_reached(
    stage_in: StageIn, platform: Sandbox, new: Path, scheme: str
) -> None:
    run = stage_in(
        *(platform.item_url(new.name), "--patience", "1"), ALL_PROXY=f"{scheme}://127.0.0.1:1"
    )
    assert run.code == 75, run.log
    assert "Connection refused" in run.reason
    assert len(platform.log) == 0
    assert not list(stage_in.folder.iterdir())


def test_a_log_of_keys_that_cannot_be_written(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    """OpenSSL would fail at the first connection, which is not the platform's fault."""
    variables = {"SSLKEYLOGFILE": "/no/such/folder/keys", "REQUESTS_CA_BUNDLE": certifi.where()}
    run = stage_in(platform.item_url(new.name), **variables)
    assert run.code == 2
    assert "SSLKEYLOGFILE" in run.reason
    assert "/no/such/folder/keys" in run.reason
    assert len(platform.log) == 0
    keys = stage_in.folder.parent / "keys"
    assert stage_in(platform.item_url(new.name), SSLKEYLOGFILE=str(keys)).code == 0
    assert keys.exists()


@pytest.mark.parametrize("content", [None, "no certificate\n"], ids=["missing", "junk"])
@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_variable_that_names_no_certificates(
    tmp_path: Path, content: str | None, name: str
) -> None:
    """Often the file exists on the host, but not in the tool's container."""
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(UsageError, match=name) as caught:
        check_certificates({name: str(bundle)})
    assert str(bundle) in str(caught.value)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "REQUESTS_CA_BUNDLE"])
def test_the_command_checks_before_it_requests_anything(
    stage_in: StageIn, platform: Sandbox, new: Path, name: str
) -> None:
    run = stage_in(platform.item_url(new.name), **{name: "http:///no/such/file"})
    assert run.code == 2
    assert name in run.reason
    assert len(platform.log) == 0


def test_the_second_variable_is_ignored_if_the_first_is_set(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    good = certifi.where()
    run = stage_in(
        platform.item_url(new.name), REQUESTS_CA_BUNDLE=good, CURL_CA_BUNDLE="/no/such/file"
    )
    assert run.code == 0, run.log


def test_cdse_token_checks_the_environment_too(platform: Sandbox) -> None:
    run = subprocess.run(
        [Path(sys.executable).with_name("cdse-token")],
        env={**platform.environment, "REQUESTS_CA_BUNDLE": "/no/such/file"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2
    assert run.stderr.startswith("cdse-token: the certificates that")
    assert run.stderr.count("\n") == 1


def test_another_thread_may_change_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a guard, one of a few hundred reads fails."""
    monkeypatch.setenv("STAGE_IN_TEST", "")
    interval = sys.getswitchinterval()
    ended = threading.Event()

    def change() -> None:
        while not ended.is_set():
            os.environ["STAGE_IN_TEST"] = "1"
            del os.environ["STAGE_IN_TEST"]

    thread = threading.Thread(target=change)
    sys.setswitchinterval(1e-6)
    try:
        thread.start()
        with Session() as session:
            for _ in range(1000):
                check_proxy("https://stac.example")
                session.merge_environment_settings("https://stac.example", {}, False, True, None)
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(interval)
        os.environ["STAGE_IN_TEST"] = ""
