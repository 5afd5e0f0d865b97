"""A stand-in for one Web address, for programs that fetch it by its real name."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import trustme

# The type of references that platforms pass to a stage-in. The real file also has descriptions.
SCHEMA = "https://raw.githubusercontent.com/eoap/schemas/main/string_format.yaml"
URI = "- {type: record, name: URI, fields: [{name: value, type: string}]}\n"


@contextmanager
def serve_schema(folder: Path) -> Iterator[dict[str, str]]:
    """Serve the schema at its real address, behind a proxy that serves nothing else.

    Yields:
        The variables with which programs use the proxy and trust its certificate.
    """
    address = urlsplit(SCHEMA)
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(str(address.hostname)).configure_cert(context)
    bundle = folder / "authority.pem"
    authority.cert_pem.write_to_path(bundle)

    class Quiet(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

    class Site(Quiet):
        def do_GET(self) -> None:
            if self.path != address.path:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(URI.encode() if self.command == "GET" else b"")

        do_HEAD = do_GET  # noqa: N815

    class Proxy(Quiet):
        def do_CONNECT(self) -> None:
            if self.path != f"{address.hostname}:443":
                self.send_error(502)
                return
            self.send_response(200)
            self.end_headers()
            with context.wrap_socket(self.connection, server_side=True) as connection:
                Site(connection, self.client_address, self.server)
            self.close_connection = True

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield {
                "HTTPS_PROXY": f"http://127.0.0.1:{server.server_port}",
                "REQUESTS_CA_BUNDLE": str(bundle),
            }
        finally:
            server.shutdown()
            thread.join()
