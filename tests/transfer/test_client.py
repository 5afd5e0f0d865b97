"""What the environment says of the way to the platform: certificates and proxies."""

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
from tests.conftest import SameTree, StageIn


class Forward(BaseHTTPRequestHandler):
    """Passes requests on, as a proxy without TLS does, and remembers their hosts."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.headers["Host"])
        request = urllib.request.Request(self.path, headers=dict(self.headers))
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            self.send_response(answer.status)
            for name in ("Content-Type", "Content-Length"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.end_headers()
            self.wfile.write(answer.read())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy() -> Iterator[ThreadingHTTPServer]:
    """A proxy on this machine."""
    Forward.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Forward) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_by_a_proxy(
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
    assert platform.download.removeprefix("http://") in Forward.asked
    assert len(Forward.asked) == len(platform.log)


def test_no_proxy_there(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    """The line names the proxy's variable, not what is in it."""
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
def test_no_url_of_a_proxy(
    stage_in: StageIn, platform: Sandbox, new: Path, name: str, url: str
) -> None:
    run = stage_in(platform.item_url(new.name), **{name: url})
    assert run.code == 2
    assert f"expected the URL of a proxy in {name}" in run.reason
    assert "hid" not in run.log
    assert len(platform.log) == 0


@pytest.mark.parametrize("content", [None, "no certificate\n"], ids=["missing", "junk"])
@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_no_certificates(
    stage_in: StageIn, platform: Sandbox, new: Path, content: str | None, name: str
) -> None:
    """A path of the host's is the usual slip where the tool runs in a container."""
    bundle = stage_in.folder.with_name("bundle.pem")
    if content is not None:
        bundle.write_text(content)
    run = stage_in(platform.item_url(new.name), **{name: str(bundle)})
    assert run.code == 2
    assert name in run.reason
    assert str(bundle) in run.reason
    assert len(platform.log) == 0


def test_certificates_that_are_not_used(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    """The second of the two variables has no say where the first is set."""
    good = certifi.where()
    run = stage_in(
        platform.item_url(new.name), REQUESTS_CA_BUNDLE=good, CURL_CA_BUNDLE="/no/such/file"
    )
    assert run.code == 0, run.log


def test_log_in_without_certificates(platform: Sandbox) -> None:
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
