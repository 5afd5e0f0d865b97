"""The body of a response: how it arrives, breaks and stalls."""

import zlib
from types import SimpleNamespace

import pytest

from sandbox.faults import Fault
from sandbox.server import Sandbox
from stage_in.errors import TemporaryError, VerificationError
from stage_in.transfer import response
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.client import Client
from tests.clients import make_client

CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def client() -> Client:
    return make_client()


@pytest.fixture
def url(platform: Sandbox) -> str:
    platform.pages["/file"] = CONTENT
    return f"{platform.stac}/file"


@pytest.mark.parametrize("framing", ["length", "close", "chunked"])
def test_chunks(platform: Sandbox, url: str, framing: str) -> None:
    platform.faults.add(f"framing={framing}")
    arrivals = Arrivals()
    with make_client(arrivals=arrivals).get(url) as body:
        assert body.length == (len(CONTENT) if framing == "length" else None)
        chunks = [*body]
    assert b"".join(chunks) == CONTENT
    assert 0 < max(map(len, chunks)) <= response.CHUNK_SIZE
    assert arrivals.received == len(CONTENT)


def test_a_compressed_body_is_decoded(platform: Sandbox, client: Client, url: str) -> None:
    """Some proxies compress although the client asks for identity."""
    platform.faults.add("gzip")
    with client.get(url) as body:
        assert body.length is None
        assert body.read(len(CONTENT)) == CONTENT


def test_a_body_that_cannot_be_decoded(platform: Sandbox, client: Client, url: str) -> None:
    body = zlib.compress(CONTENT)[:-100] + bytes(100)
    platform.faults.add(Fault(body=body, headers={"Content-Encoding": "gzip"}))
    with client.get(url) as opened, pytest.raises(VerificationError, match="can't be decoded"):
        opened.read(len(CONTENT))


def test_a_body_that_is_too_long(client: Client, url: str) -> None:
    with (
        client.get(url) as body,
        pytest.raises(VerificationError, match=f"at most {len(CONTENT) - 1} bytes"),
    ):
        body.read(len(CONTENT) - 1)


@pytest.mark.parametrize("length", ["-1", "x", "1_0", "\u0661", "9" * 19])
def test_an_invalid_content_length_is_no_length(length: str) -> None:
    answer = response.requests.Response()
    answer.headers["Content-Length"] = length
    assert response.ResponseBody(answer, "https://host/").length is None


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("cut=0.5", "closed 512000 bytes too early at http"),
        ("reset=0.5", "Connection reset"),
        ("reset=start", "at http"),
        ("stall=30 at=0.5", "timed out"),
        ("stall=30", "timed out"),
    ],
)
def test_a_connection_that_breaks_is_a_temporary_failure(
    platform: Sandbox, url: str, fault: str, reason: str
) -> None:
    platform.faults.add(fault)
    client = make_client(stall_timeout=1.0 if "stall" in fault else 60.0)
    with pytest.raises(TemporaryError, match=reason) as caught, client.get(f"{url}?x=secret") as b:
        b.read(len(CONTENT))
    assert url in str(caught.value)
    assert "secret" not in str(caught.value)


def make_slow_client(monkeypatch: pytest.MonkeyPatch, rate: int) -> Client:
    """Return a client whose clock tells that the bytes come at this rate, in small chunks."""
    arrivals = Arrivals()
    clock = SimpleNamespace(monotonic=lambda: arrivals.received / rate)
    monkeypatch.setattr(response, "time", clock)
    monkeypatch.setattr(response, "CHUNK_SIZE", 500)
    return make_client(stall_timeout=60.0, arrivals=arrivals)


def test_a_body_that_trickles_is_a_temporary_failure(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte restarts the time-out of the socket, so the rate is measured as well."""
    with (
        pytest.raises(TemporaryError, match=r"only 12\d\d\d bytes came from .* in 6\d s"),
        make_slow_client(monkeypatch, 200).get(url) as body,
    ):
        body.read(len(CONTENT))


def test_a_slow_body_is_read_to_its_end(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with make_slow_client(monkeypatch, 2500).get(url) as body:
        assert body.read(len(CONTENT)) == CONTENT
