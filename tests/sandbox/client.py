"""A client of the sandbox, for its tests."""

import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from sandbox.server import Sandbox

BAND = "GRANULE/L1C_T32TQM_A026889_20200815T100442/IMG_DATA/T32TQM_20200815T100031_B04.jp2"


@dataclass(frozen=True)
class Client:
    """Sends requests with a valid token and does not follow redirects."""

    sandbox: Sandbox

    @property
    def band(self) -> str:
        """URL of the content of a band."""
        return f"{self.node(BAND)}/$value"

    @property
    def zip(self) -> str:
        """URL of the zip."""
        return f"{self.node()}/$value"

    def node(self, path: str = "") -> str:
        """Return the URL of a file or folder of the product, or of the product itself."""
        product = self.sandbox.products[0]
        names = [product.name, *path.split("/")] if path else []
        steps = "".join(f"/Nodes({name})" for name in names)
        return f"{self.sandbox.download}/odata/v1/Products({product.uuid}){steps}"

    def get(self, url: str, token: str | None = None, **options: Any) -> requests.Response:
        """Send a request; the token may be replaced by another one, or left out if empty."""
        token = self.sandbox.mint() if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= options.pop("headers", {})
        options = {"timeout": 10, "allow_redirects": False} | options
        return requests.get(url, headers=headers, **options)

    def get_raw(self, url: str) -> tuple[bytes, bool]:
        """Return everything that arrives on a connection, and whether it was reset."""
        parts = urlsplit(url)
        request = (
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Authorization: Bearer {self.sandbox.mint()}\r\nConnection: close\r\n\r\n"
        )
        found = b""
        assert parts.hostname is not None
        with socket.create_connection((parts.hostname, parts.port or 80), timeout=10) as connection:
            connection.sendall(request.encode())
            try:
                while data := connection.recv(65536):
                    found += data
            except ConnectionResetError:
                return found, True
        return found, False

    def grant(self, **form: str) -> requests.Response:
        """Request tokens."""
        data = {"client_id": "cdse-public"} | form
        return requests.post(self.sandbox.token_url, data=data, timeout=10)
