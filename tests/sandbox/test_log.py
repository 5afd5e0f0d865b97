import pytest

from sandbox.limits import Limits
from sandbox.log import Log
from sandbox.server import Sandbox
from tests.sandbox.client import Client

REQUEST = {"method": "GET", "path": "/", "headers": (), "body": b"", "port": 0, "user": None}


def test_exchange(sandbox: Sandbox, client: Client) -> None:
    response = client.get(f"{client.band}?x=1", headers={"X-Secret": "hush"})
    (exchange,) = sandbox.log
    assert (exchange.role, exchange.method, exchange.status) == ("download", "GET", 200)
    assert exchange.path.endswith("/$value?x=1")
    assert exchange.header("x-secret") == "hush"
    assert exchange.holds("hush")
    assert not exchange.holds("other")
    assert exchange.user == "user"
    assert exchange.sent == len(response.content)
    assert exchange.complete
    assert exchange.first is not None
    assert exchange.closed is not None
    assert exchange.opened <= exchange.first <= exchange.closed


def test_body_of_a_request(sandbox: Sandbox, client: Client) -> None:
    client.grant(grant_type="password", password="p w&d")
    (exchange,) = sandbox.log.of("identity", method="POST")
    assert exchange.holds("p w&d")


def test_request_to_the_stranger(sandbox: Sandbox, client: Client) -> None:
    token = sandbox.mint()
    response = client.get(client.band.replace(sandbox.download, sandbox.stranger), token=token)
    assert response.headers["Content-Type"].startswith("text/html")
    assert sandbox.log.of("stranger")[0].holds(token)
    assert not sandbox.log.of("download")


def test_client_that_disconnects(sandbox: Sandbox, client: Client) -> None:
    sandbox.limits = Limits(rate=1000)
    response = client.get(client.band, stream=True)
    assert sandbox.log.now()[0].closed is None
    response.close()
    exchange = sandbox.log.wait(lambda x: x.closed is not None)
    assert not exchange.complete
    assert exchange.sent < int(response.headers["Content-Length"])


def test_most_open() -> None:
    log = Log()
    for opened, closed in ((0, 2), (1, 4), (3, 5)):
        log.update(log.open(role="download", **REQUEST), opened=opened, closed=closed)
    log.update(log.open(role="stac", **REQUEST), opened=1, closed=2)
    assert log.most_open() == 2


def test_clear() -> None:
    log = Log()
    exchange = log.open(role="stac", **REQUEST)
    log.clear()
    log.update(exchange, status=200)
    assert log.now() == []


def test_waiting_in_vain(sandbox: Sandbox) -> None:
    with pytest.raises(TimeoutError, match="found none"):
        sandbox.log.wait(lambda x: True, timeout=0.05)
