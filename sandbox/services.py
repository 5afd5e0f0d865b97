"""The services of the platform: what each answers when nothing goes wrong."""

from __future__ import annotations

import asyncio
import mimetypes
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from sandbox.answer import Answer
from sandbox.body import Body, Slice, part, size
from sandbox.items import LEGACY_PATH, NEW_PATH, legacy_item, new_item
from sandbox.nodes import (
    MalformedIdentifierError,
    MalformedPathError,
    NodePath,
    find,
    listing,
)
from sandbox.store import Store
from sandbox.tokens import DISCOVERY_PATH, TOKEN_PATH, Issuer, TokenError

ROLES = ("catalogue", "stac", "download", "identity", "stranger")

Page = bytes | str | Path | dict[str, Any] | list[Any]


class Services:
    """Answers requests.

    Attributes:
        store: The products.
        issuer: The identity service's tokens.
        origins: Origins of the services by role.
        pages: What is answered at a path, on any service, before anything else is looked at:
            bytes, text, the file at a Path, or anything else as JSON.
        ranges: Whether the download service honours Range.
    """

    def __init__(self, store: Store, issuer: Issuer, origins: Mapping[str, str]) -> None:
        self.store = store
        self.issuer = issuer
        self.origins = origins
        self.pages: dict[str, Page] = {}
        self.ranges = False

    async def answer(self, role: str, request: web.BaseRequest, body: bytes) -> Answer:
        """The answer of a service to a request."""
        path = decoded_path(request)
        if path in self.pages:
            return page(path, self.pages[path])
        if role == "identity":
            return self._identity(path, request, body)
        if role == "stranger":
            return Answer(200, {"Content-Type": "text/html; charset=utf-8"}, (_STRANGER,))
        if request.method not in ("GET", "HEAD"):
            return Answer.json({"detail": "Method Not Allowed"}, 405, Allow="GET, HEAD")
        if role == "stac":
            return await self._stac(path)
        if role == "catalogue":
            return await self._catalogue(path, request)
        return await self._download(path, request)

    async def _stac(self, path: str) -> Answer:
        folder, _, name = path.rpartition("/")
        holding = self.store.named(name) if folder == NEW_PATH else None
        if holding is None or name != holding.id:
            message = f"Item {name} in Collection sentinel-2-l1c does not exist."
            return Answer.json({"code": "NotFoundError", "description": message}, 404)
        item = await asyncio.to_thread(new_item, holding, self.origins)
        return Answer.json(item, kind="application/geo+json")

    async def _catalogue(self, path: str, request: web.BaseRequest) -> Answer:
        if path.startswith("/odata/v1/Products("):
            return Answer(301, {"Location": f"{self.origins['download']}{request.raw_path}"})
        folder, _, name = path.rpartition("/")
        holding = self.store.named(name) if folder == LEGACY_PATH else None
        if holding is None or name != holding.name:
            return Answer.json({"detail": "Not Found"}, 404)
        item = await asyncio.to_thread(legacy_item, holding, self.origins)
        return Answer.json(item, kind="application/geo+json")

    async def _download(self, path: str, request: web.BaseRequest) -> Answer:
        try:
            node = NodePath.parse(path)
        except MalformedIdentifierError as error:
            return Answer.json(_unprocessable(str(error)), 422)
        except MalformedPathError:
            return _refusal(400, 104, "Malformed OData request path")
        user = None
        if node.value:
            try:
                user = self.issuer.check(token(request))
            except TokenError as error:
                return Answer.json(error.body, 401)
        holding = self.store.identified(node.identifier)
        if holding is None:
            return _refusal(404, 101, "Product not found")
        if not node.value:
            found = listing(self.origins["download"], holding, node.names)
            return _NO_NODE if found is None else Answer.json(found)
        if not node.names:
            archive = await asyncio.to_thread(holding.archive)
            return self._value(request, user, f"{holding.name}.zip", archive.md5, archive.body)
        file = find(holding, node.names)
        if file is None or not file.is_file():
            return _NO_NODE
        stat = file.stat()
        tag = f"{stat.st_mtime_ns:x}-{stat.st_size:x}"
        body = (Slice(file, 0, stat.st_size),) if stat.st_size else ()
        return self._value(request, user, file.name, tag, body)

    def _value(
        self, request: web.BaseRequest, user: str | None, name: str, tag: str, body: Body
    ) -> Answer:
        """The bytes of a product or a file, or those of them that Range asks for."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{name}"',
        }
        if not self.ranges:
            return Answer(200, headers, body, counted=user)
        total = size(body)
        headers |= {"ETag": f'"{tag}"', "Accept-Ranges": "bytes"}
        match = _RANGE.fullmatch(request.headers.get("Range", ""))
        condition = request.headers.get("If-Range")
        if match is None or (condition is not None and condition != headers["ETag"]):
            return Answer(200, headers, body, counted=user)
        first, last = match[1], match[2]
        start = int(first) if first else max(0, total - int(last))
        end = min(total, int(last) + 1) if first and last else total
        if start >= end:
            return Answer(416, {"Content-Range": f"bytes */{total}"})
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{total}"
        return Answer(206, headers, part(body, start, end - start), counted=user)

    def _identity(self, path: str, request: web.BaseRequest, body: bytes) -> Answer:
        if path == DISCOVERY_PATH:
            return Answer.json(
                {
                    "issuer": self.issuer.url,
                    "token_endpoint": f"{self.origins['identity']}{TOKEN_PATH}",
                    "grant_types_supported": ["password", "refresh_token"],
                }
            )
        if path != TOKEN_PATH:
            return Answer.json({"error": "RESTEASY003210: Could not find resource"}, 404)
        if request.method != "POST":
            return Answer.json({"error": "HTTP 405 Method Not Allowed"}, 405, Allow="POST")
        form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        status, content = self.issuer.grant(form)
        return Answer.json(content, status, Cache_Control="no-store")


def decoded_path(request: web.BaseRequest) -> str:
    """The path of a request without its query, percent-decoded."""
    return unquote(request.raw_path.partition("?")[0])


def token(request: web.BaseRequest) -> str | None:
    """The token that came with a request: in a header, or, as CDSE allows, in the query."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and text:
        return text.strip()
    return request.query.get("token")


def page(path: str, content: Page) -> Answer:
    """An answer with given content."""
    if isinstance(content, dict | list):
        return Answer.json(content)
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    body: Body
    if isinstance(content, Path):
        body = (Slice(content, 0, content.stat().st_size),)
    else:
        body = (content.encode() if isinstance(content, str) else content,)
    return Answer(200, {"Content-Type": kind}, body)


def too_many(retry_after: int | None) -> Answer:
    """The answer to a user who has too many downloads open."""
    headers = {} if retry_after is None else {"Retry_After": str(retry_after)}
    body = {
        "trace-id": uuid.uuid4().hex,
        "code": "DAT-ZIP-100",
        "message": "Max session number exceeded",
    }
    return Answer.json(body, 429, **headers)


_RANGE = re.compile(r"bytes=(?=.*\d)(\d*)-(\d*)")
_STRANGER = b"<!DOCTYPE html>\n<title>Hello</title>\n<p>Nobody should send a secret here.</p>\n"


def _refusal(status: int, code: int, message: str) -> Answer:
    return Answer.json({"code": f"DAT-ZIP-{code}", "message": message}, status)


_NO_NODE = _refusal(404, 101, "Node not found")


def _unprocessable(identifier: str) -> dict[str, Any]:
    detail = {
        "type": "uuid_parsing",
        "loc": ["path", "product_id"],
        "msg": "Input should be a valid UUID",
        "input": identifier,
    }
    return {"detail": [detail]}
