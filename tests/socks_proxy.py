"""A SOCKS5 proxy on the loopback interface (RFC 1928, RFC 1929)."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

NO_LOGIN, PASSWORD, REJECTED = 0, 2, 0xFF
ADDRESS, NAME = 1, 3


class SocksProxy(socketserver.ThreadingTCPServer):
    """Connects clients to this machine's ports, and records the hosts that they name."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, login: bytes) -> None:
        """Listen on any free port.

        Args:
            login: user, colon and password; empty if none is required.
        """
        super().__init__(("127.0.0.1", 0), _Handler)
        self.login = login
        self.hosts: list[str] = []


class _Handler(socketserver.BaseRequestHandler):
    request: socket.socket
    server: SocksProxy

    def handle(self) -> None:
        _, methods = self._read(2)
        offered = self._read(methods)
        method = PASSWORD if self.server.login else NO_LOGIN
        if method not in offered:
            self.request.sendall(bytes([5, REJECTED]))
            return
        self.request.sendall(bytes([5, method]))
        if method == PASSWORD:
            self._read(1)
            login = self._read_text() + b":" + self._read_text()
            self.request.sendall(bytes([1, login != self.server.login]))
            if login != self.server.login:
                return
        *_, kind = self._read(4)
        host = socket.inet_ntoa(self._read(4)) if kind == ADDRESS else self._read_text().decode()
        port = int.from_bytes(self._read(2))
        self.server.hosts.append(host)
        with socket.create_connection(("127.0.0.1", port)) as target:
            self.request.sendall(bytes([5, 0, 0, ADDRESS, 0, 0, 0, 0, 0, 0]))
            forward = threading.Thread(target=_copy, args=(self.request, target), daemon=True)
            forward.start()
            _copy(target, self.request)

    def _read(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            content += self.request.recv(size - len(content)) or b"\0"
        return content

    def _read_text(self) -> bytes:
        return self._read(*self._read(1))


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one side has gone away


@contextmanager
def run_socks_proxy(login: bytes = b"") -> Iterator[SocksProxy]:
    """Run a proxy in a thread."""
    with SocksProxy(login) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
