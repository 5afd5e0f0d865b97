"""The environment variables that name proxies and certificates."""

import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import certifi
import pytest

from sandbox.server import Sandbox
from stage_in.errors import UsageError
from stage_in.transfer.environment import check_environment
from tests.conftest import SameTree, StageIn


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


@pytest.mark.parametrize(
    "url",
    ["http:///hidden", "http://user:hid/den@127.0.0.1:1", "socks5://hidden:1", "http://[hidden"],
)
@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_variable_that_names_no_proxy(name: str, url: str) -> None:
    """The message does not quote the value, which may hold a password."""
    with pytest.raises(UsageError, match=f"expected the URL of a proxy in {name}") as caught:
        check_environment({name: url})
    assert "hid" not in str(caught.value)


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
        check_environment({name: str(bundle)})
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
    assert run.stderr.startswith("cdse-token: expected certificates")
    assert run.stderr.count("\n") == 1
