"""Connections for requests: to the address that answers, without interim responses, and kept."""

import base64
import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from http import HTTPStatus
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_auth_from_url
from urllib3.connection import HTTPConnection

ADDRESS_TIMEOUT = 2.0  # seconds for one address, while there are others to try
MAX_INTERIM = 20  # interim responses before the final one; servers send one or two
_reached: dict[str, str] = {}  # by host: the address that has answered last


class Adapter(HTTPAdapter):
    """Makes connections of the kinds in this module."""

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Return the headers with which a proxy is asked: user and password in its URL, in UTF-8.

        requests knows only Latin-1, and other clients send what the URL encodes.
        """
        user, password = get_auth_from_url(proxy)
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Proxy-Authorization": f"Basic {login}"} if user else {}

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        """Return the pool of connections to a host or its proxy."""
        pool: Any = super().get_connection_with_tls_context(*arguments, **options)
        pool.ConnectionCls = _adapt(pool.ConnectionCls)
        return pool


class _FinalResponse(http.client.HTTPResponse):
    """A response that comes after all interim ones, such as 103 (RFC 9110, section 15.2).

    http.client skips only status 100, any number of times. It takes another one for the whole
    response, and the final response for that to the next request on the connection.
    """

    def _read_status(self) -> tuple[str, int, str]:
        """Read the status line of the final response."""
        for _ in range(MAX_INTERIM + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status >= HTTPStatus.OK or status == HTTPStatus.SWITCHING_PROTOCOLS:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException(f"more than {MAX_INTERIM} interim responses")


class StaleConnectionError(ConnectionResetError):
    """A connection that was kept open has been closed before its next request was answered.

    A server may close it at any time, also while a request is on the way to it. A request that can
    be repeated then needs another connection and no pause (RFC 9112, section 9.3.1).
    """


class _KeptConnection(HTTPConnection):
    """A connection that tells the end of an old connection from the failure of a new one."""

    _has_answered = False

    def connect(self) -> None:
        """Connect."""
        self._has_answered = False
        super().connect()

    def request(self, *arguments: Any, **options: Any) -> None:
        """Send a request."""
        with self._noticing_end():
            super().request(*arguments, **options)

    def getresponse(self) -> Any:
        """Return the response.

        Raises:
            StaleConnectionError: there is none, but there was one to an earlier request.
        """
        with self._noticing_end():
            response = super().getresponse()
        self._has_answered = True
        return response

    @contextmanager
    def _noticing_end(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:  # there may be a response all the same
            raise
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            if not self._has_answered:
                raise
            raise StaleConnectionError(*error.args) from error


@cache
def _adapt(kind: Any) -> Any:
    """Return a kind of connection like this one, with what this module adds."""
    if issubclass(kind, _KeptConnection):
        return kind
    attributes: dict[str, Any] = {"response_class": _FinalResponse}
    if kind._new_conn is HTTPConnection._new_conn:  # not through SOCKS, which may resolve the name
        attributes["_new_conn"] = _connect
    return type(kind.__name__, (_KeptConnection, kind), attributes)


def _connect(connection: Any) -> socket.socket:
    """Connect to the first address of a host that answers soon.

    urllib3 waits for each address as long as for a single one. Where IPv6 leads nowhere, every
    connection would be late.
    """
    host, timeout = connection._dns_host, connection.timeout
    addresses = _resolve(host, connection.port)
    addresses.sort(key=lambda address: address != _reached.get(host))
    try:
        for address in addresses if len(addresses) > 1 else []:
            connection._dns_host, connection.timeout = address, min(timeout, ADDRESS_TIMEOUT)
            with suppress(urllib3.exceptions.HTTPError):
                found = HTTPConnection._new_conn(connection)
                found.settimeout(timeout)  # for TLS and the answer of a proxy
                _reached[host] = address
                return found
    finally:
        connection._dns_host, connection.timeout = host, timeout
    return HTTPConnection._new_conn(connection)  # which waits longer, or fails with the reason


def _resolve(host: str, port: int) -> list[str]:
    with suppress(OSError, UnicodeError):
        found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))
    return []
