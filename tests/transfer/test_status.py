"""What each HTTP status means to the client: the kind of failure, and with it the exit code.

tests/test_faults.py runs the whole command with one status of each kind.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest

from stage_in.errors import BusyError, StageInError, TemporaryError, UsageError
from stage_in.transfer.token_endpoint import request_token
from tests.clients import make_client

# A part that nobody asked for and a 3xx that is no redirect are refusals, too.
REFUSALS = [206, 300, 304, 400, 402, 405, 406, 409, 411, 412, 413, 414, 415, 416, 422, 423]
REFUSALS += [431, 451]
MISSING = [404, 410]
UNAUTHORIZED = [401, 403]
# With another 2xx, the content comes later.
TEMPORARY = [
    201,
    202,
    203,
    204,
    205,
    207,
    226,
    408,
    425,
    429,
    500,
    501,
    502,
    503,
    504,
    507,
    511,
    520,
    599,
]
STATUSES = [
    *((status, 65) for status in REFUSALS),
    *((status, 66) for status in MISSING),
    *((status, 77) for status in UNAUTHORIZED),
    *((status, 75) for status in TEMPORARY),
]


class Server(ThreadingHTTPServer):
    """Answers every request with the same status, headers and body.

    Attributes:
        has_date: Whether it adds a Date header by itself.
        requests: The paths that were requested.
        tokens: The Authorization headers that came with them.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.has_date = True
        self.headers: dict[str, str] = {}
        self.body = b""
        self.requests: list[str] = []
        self.tokens: list[str | None] = []

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, status: int, body: Any = None, **headers: str) -> None:
        """Set the answer; underscores in names of headers stand for hyphens."""
        self.status = status
        self.body = json.dumps(body).encode() if body is not None else b""
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = cast(Server, self.server)
        server.requests.append(self.path)
        server.tokens.append(self.headers["Authorization"])
        if server.has_date:
            self.send_response(server.status)
        else:
            self.send_response_only(server.status)
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(server.body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@dataclass
class Tokens:
    """A source of one token, which records its refusals and the service's time."""

    refusals: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def access_token(self) -> str:
        return "token"

    def refused(self, token: str, now: float) -> None:
        self.refusals.append(token)
        self.times.append(now)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


Request = Callable[[], bytes]


@pytest.fixture(params=["get", "get_listing", "download"])
def request_once(request: pytest.FixtureRequest, server: Server, tokens: Tokens) -> Request:
    """Each of the client's ways to request a URL."""
    client = make_client(server.origin, tokens=tokens)
    open_url: Callable[[str], AbstractContextManager[Any]] = getattr(client, request.param)

    def request_once() -> bytes:
        with open_url(f"{server.origin}/file") as body:
            return bytes(body.read(1000))

    return request_once


@pytest.fixture
def download(server: Server, tokens: Tokens) -> Request:
    """A request with a token."""
    client = make_client(server.origin, tokens=tokens)

    def download() -> bytes:
        with client.download(f"{server.origin}/file") as body:
            return bytes(body.read(1000))

    return download


def test_200_is_success(server: Server, request_once: Request) -> None:
    server.answer(200, "content")
    assert request_once() == b'"content"'


@pytest.mark.parametrize(("status", "code"), STATUSES)
def test_status_ends_with_its_exit_code(
    server: Server, request_once: Request, status: int, code: int
) -> None:
    server.answer(status)
    with pytest.raises(StageInError, match=rf"\b{status}\b") as caught:
        request_once()
    assert caught.value.exit_code == code
    assert caught.value.retryable
    assert server.requests == ["/file"]  # retrying is up to the caller


def test_401_makes_the_token_source_renew_the_token(
    server: Server, download: Request, tokens: Tokens
) -> None:
    server.answer(401)
    with pytest.raises(StageInError):
        download()
    assert server.tokens == ["Bearer token"]
    assert tokens.refusals == ["token"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_has_a_remedy(server: Server, download: Request, status: int) -> None:
    server.answer(status)
    with pytest.raises(StageInError) as caught:
        download()
    assert "cdse-token prints a new one" in caught.value.__notes__[0]


@pytest.mark.parametrize("date", ["Thu, 01 Jan 2026 00:00:00 GMT", "soon", "", None])
def test_the_time_of_a_refusal_is_that_of_the_service(
    server: Server, download: Request, tokens: Tokens, date: str | None
) -> None:
    """Without a valid Date header it is that of this machine."""
    server.answer(401, **({} if date is None else {"Date": date}))
    server.has_date = False
    before = time.time()
    with pytest.raises(StageInError):
        download()
    (found,) = tokens.times
    if date is not None and date.startswith("Thu"):
        assert found == 1767225600
    else:
        assert before <= found <= time.time()


def test_407_cannot_be_overcome_by_retrying(server: Server, request_once: Request) -> None:
    """It comes from a proxy, not from the platform."""
    server.answer(407, Proxy_Authenticate="Basic")
    with pytest.raises(UsageError, match="407"):
        request_once()
    assert server.requests == ["/file"]


@pytest.mark.parametrize("status", [403, 404, 429, 500])
def test_other_statuses_leave_the_token_as_it_is(
    server: Server, download: Request, tokens: Tokens, status: int
) -> None:
    server.answer(status)
    with pytest.raises(StageInError):
        download()
    assert tokens.refusals == []


def test_only_downloads_wait_for_a_download_slot(server: Server) -> None:
    """The platform counts sessions of users, whom it knows by their tokens."""
    client = make_client(server.origin, tokens=Tokens())
    server.answer(429)
    for open_url in (client.get, client.get_listing):
        with pytest.raises(TemporaryError) as caught, open_url(server.origin):
            pass
        assert not isinstance(caught.value, BusyError)
    with pytest.raises(BusyError), client.download(server.origin):
        pass


@pytest.mark.parametrize("status", [400, 403, 500, 503])
@pytest.mark.parametrize(
    "body",
    [
        {"code": "DAT-ZIP-100", "message": "Max number of sessions exceeded"},
        {"code": "", "message": "Max session number 4 exceeded"},
    ],
)
def test_exceeded_quota_is_recognised_with_any_status(
    server: Server, download: Request, status: int, body: dict[str, str]
) -> None:
    server.answer(status, body)
    with pytest.raises(BusyError):
        download()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("7", 7.0), ("0", 0.0), ("", None), ("soon", None), ("-1", None), ("1.5", None)],
)
def test_retry_after_in_seconds(
    server: Server, request_once: Request, status: int, retry_after: str, seconds: float | None
) -> None:
    server.answer(status, Retry_After=retry_after)
    with pytest.raises(TemporaryError) as caught:
        request_once()
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(("ahead", "lowest", "highest"), [(1000, 900, 1000), (-1000, 0, 0)])
def test_retry_after_as_a_date(
    server: Server, download: Request, ahead: int, lowest: float, highest: float
) -> None:
    server.answer(503, Retry_After=formatdate(time.time() + ahead, usegmt=True))
    with pytest.raises(TemporaryError) as caught:
        download()
    assert caught.value.retry_after is not None
    assert lowest <= caught.value.retry_after <= highest


def test_a_date_of_retry_after_is_read_by_the_clock_of_the_server(
    server: Server, download: Request
) -> None:
    server.has_date = False
    later = {"Retry_After": "Thu, 01 Jan 2026 00:02:00 GMT"}
    server.answer(503, Date="Thu, 01 Jan 2026 00:00:00 GMT", **later)
    with pytest.raises(TemporaryError) as caught:
        download()
    assert caught.value.retry_after == 120


def test_message_has_the_explanation_of_the_service(server: Server, download: Request) -> None:
    server.answer(401, {"code": "DAT-ZIP-604", "message": "Token\nis\x1b[2J expired"})
    with pytest.raises(StageInError, match=r"DAT-ZIP-604 Token is \[2J expired") as caught:
        download()
    assert f"{server.origin}/file" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *((status, 77) for status in (400, 401, 403)),
        *((status, 75) for status in (204, 302, 404, 408, 413, 422, 429, 500, 502, 503, 504)),
    ],
)
def test_status_of_the_token_endpoint(server: Server, status: int, code: int) -> None:
    server.answer(status, {"error": "invalid_grant"}, Location="/elsewhere")
    with pytest.raises(StageInError) as caught:
        request_token(f"{server.origin}/token", {"password": "hidden"}, "Log in")
    assert caught.value.exit_code == code
    assert "hidden" not in str(caught.value)
    assert server.requests == ["/token"]  # the form goes to no other URL
