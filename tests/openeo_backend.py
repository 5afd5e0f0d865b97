"""The part of an openEO backend that its client needs to log in and to run a batch job."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Backend:
    """A backend that accepts jobs, and finishes each as soon as it is started.

    Attributes:
        url: Where the client finds it.
        jobs: What the client has posted, by job.
        started: The jobs that the client has started.
    """

    url: str = ""
    jobs: dict[str, Any] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, body: bytes) -> tuple[HTTPStatus, Any]:
        """Return the status and the content of the answer to a request."""
        match [method, *path.strip("/").split("/")]:
            case ["GET", ""]:
                endpoints = [{"path": "/credentials/oidc", "methods": ["GET"]}]
                return HTTPStatus.OK, {"api_version": "1.2.0", "endpoints": endpoints}
            case ["GET", "file_formats"]:
                return HTTPStatus.OK, {"input": {}, "output": {"GTiff": {}}}
            case ["GET", "credentials", "oidc"]:
                provider = {"id": "own", "issuer": self.url, "title": "", "scopes": ["openid"]}
                return HTTPStatus.OK, {"providers": [provider]}
            case ["GET", ".well-known", "openid-configuration"]:
                return HTTPStatus.OK, {"issuer": self.url, "token_endpoint": f"{self.url}/token"}
            case ["POST", "token"]:
                return HTTPStatus.OK, {"access_token": "own", "token_type": "Bearer"}
            case ["POST", "jobs"]:
                name = f"job-{len(self.jobs)}"
                self.jobs[name] = json.loads(body)
                return HTTPStatus.CREATED, name
            case ["POST", "jobs", name, "results"]:
                self.started.append(name)
                return HTTPStatus.ACCEPTED, None
            case ["GET", "jobs", name]:
                status = "finished" if name in self.started else "created"
                return HTTPStatus.OK, {"id": name, "status": status}
            case ["GET", "jobs", name, "results"]:
                return HTTPStatus.OK, {"type": "Collection", "id": name, "assets": {}, "links": []}
        return HTTPStatus.NOT_FOUND, {"code": "NotFound", "message": path}


@contextmanager
def serve_openeo() -> Iterator[Backend]:
    """Serve a backend on 127.0.0.1."""
    backend = Backend()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, answer = backend.answer(self.command, self.path, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            if status == HTTPStatus.CREATED:
                self.send_header("OpenEO-Identifier", answer)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        backend.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield backend
        finally:
            server.shutdown()
            thread.join()
