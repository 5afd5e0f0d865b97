"""Hosts with an address that does not answer, interim responses, and connections that end."""

import socket
import struct
import threading
import time
from contextlib import ExitStack, closing, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from sandbox.server import Sandbox
from stage_in.errors import TemporaryError
from stage_in.transfer import connections
from stage_in.transfer.auth import NoAuth
from stage_in.transfer.session import Session


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints"])
def test_interim_responses_are_skipped(status: str) -> None:
    """Otherwise the final response would be taken for that to the next request."""
    interim = f"HTTP/1.1 {status}\r\nLink: </x>\r\n\r\n"

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            for number in range(2):
                while lines.readline() != b"\r\n":
                    pass
                final = f"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}"
                connection.sendall(f"{interim}{interim}".encode())
                connection.sendall(final.encode())

    with socket.create_server(("127.0.0.1", 0)) as listener, Session(5) as session:
        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        for number in range(2):
            with closing(session.open(url, NoAuth())) as response:
                assert (response.status_code, response.text) == (200, str(number))


@pytest.mark.parametrize("status", [100, 103])
def test_interim_responses_without_end(status: int) -> None:
    """They are a failed attempt; each of them would restart the time-out of the connection."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            for _ in range(100_000):
                connection.sendall(f"HTTP/1.1 {status} Interim\r\n\r\n".encode())

    with socket.create_server(("127.0.0.1", 0)) as listener, Session(5) as session:
        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(TemporaryError, match=f"more than 20 interim responses at {url}"):
            session.open(url, NoAuth())


def add_host(monkeypatch: pytest.MonkeyPatch, name: str, *addresses: str) -> list[str]:
    """Let a name have these addresses, in this order; returns what is resolved from now on."""
    resolve = socket.getaddrinfo
    resolved = []

    def find(host: str, *arguments: Any, **options: Any) -> list[Any]:
        resolved.append(host)
        names = addresses if host == name else [host]
        return [found for one in names for found in resolve(one, *arguments, **options)]

    monkeypatch.setattr(connections, "_reached", {})
    monkeypatch.setattr(socket, "getaddrinfo", find)
    return resolved


def make_silent(stack: ExitStack, address: str, port: int) -> None:
    """Let a port of an address answer no connection: its queue is full."""
    listener = stack.enter_context(socket.create_server((address, port), backlog=0))
    for _ in range(3):
        waiting = stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(listener.getsockname())


def test_an_address_that_does_not_answer_costs_little(
    platform: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where IPv6 leads nowhere. Further connections start with the address that has answered."""
    monkeypatch.setattr(connections, "ADDRESS_TIMEOUT", 0.3)
    resolved = add_host(monkeypatch, "dual.example", "127.0.0.2", "127.0.0.1")
    port = urlsplit(platform.stac).port
    assert port is not None
    with ExitStack() as stack:
        make_silent(stack, "127.0.0.2", port)
        session = stack.enter_context(Session(60))
        for tried in (["127.0.0.2", "127.0.0.1"], ["127.0.0.1"]):
            resolved.clear()
            session.open(f"http://dual.example:{port}/", NoAuth()).close()
            session.close()
            assert resolved == ["dual.example", *tried]
    (host,) = {exchange.header("Host") for exchange in platform.log}
    assert host == f"dual.example:{port}"


def test_the_answer_of_a_proxy_may_take_longer_than_an_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "ADDRESS_TIMEOUT", 0.2)
    add_host(monkeypatch, "dual.example", "127.0.0.1", "127.0.0.2")

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            time.sleep(0.5)
            connection.sendall(b"HTTP/1.1 503 Busy\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener, Session(5) as session:
        threading.Thread(target=serve, daemon=True).start()
        session.proxies = {"https": f"http://dual.example:{listener.getsockname()[1]}"}
        with pytest.raises(TemporaryError, match="503 Busy at the proxy"):
            session.open("https://stac.example/", NoAuth())


def test_a_host_none_of_whose_addresses_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    add_host(monkeypatch, "dual.example", "127.0.0.2", "127.0.0.3")
    with Session(5) as session, pytest.raises(TemporaryError, match="refused at http://dual"):
        session.open("http://dual.example:1/", NoAuth())


@pytest.mark.parametrize("reset", [False, True])
def test_kept_connections_may_end_at_any_time(reset: bool) -> None:
    """A request on an old connection is made again on another one, without a failed attempt.

    A server or a gateway may close a connection that it has promised to keep, while the next
    request is on its way.
    """

    def serve() -> None:
        for number in range(1, 5):
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as lines:
                while lines.readline() != b"\r\n":
                    pass
                if number == 4:
                    return
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)
                lines.readline()
                if reset:
                    option = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)

    with socket.create_server(("127.0.0.1", 0)) as listener, Session(5) as session:
        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        for number in ("1", "2", "3"):
            with closing(session.open(url, NoAuth())) as response:
                assert response.text == number
        with pytest.raises(TemporaryError, match="closed connection without response"):
            session.open(url, NoAuth())  # the new connection fails as well


def test_only_requests_that_change_nothing_are_made_again() -> None:
    requests = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n0", b""):
                requests.append(lines.readline())
                while lines.readline() != b"\r\n":
                    pass
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener, Session(5) as session:
        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with closing(session.open(url, NoAuth())) as response:
            assert response.text == "0"
        with pytest.raises(TemporaryError):
            session.open(url, NoAuth(), method="DELETE")
    assert requests == [b"GET / HTTP/1.1\r\n", b"DELETE / HTTP/1.1\r\n"]
