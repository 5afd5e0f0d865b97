"""The services of the platform: how each responds when no fault applies."""

from __future__ import annotations

import asyncio
import mimetypes
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from sandbox import odata
from sandbox.body import Body, Slice
from sandbox.items import LEGACY_PATH, NEW_PATH, legacy_item, new_item
from sandbox.key_manager import KeyManager
from sandbox.nodes import (
    MalformedIdentifierError,
    MalformedPathError,
    NodePath,
    check_identifier,
    find,
    listing,
)
from sandbox.response import Response
from sandbox.s3 import ObjectStore, error
from sandbox.store import Store
from sandbox.tokens import DISCOVERY_PATH, TOKEN_PATH, Issuer, TokenError

ROLES = ("catalogue", "stac", "download", "identity", "stranger", "s3", "keys")

Page = bytes | str | Path | dict[str, Any] | list[Any]


class Services:
    """Responds to requests.

    Attributes:
        store: The products.
        issuer: The issuer of the identity service.
        origins: Origins of the services by role.
        pages: Content to serve at a path, on every service, in place of the usual response.
        ranges: Whether the download service honours Range.
        s3: The object store.
        key_manager: The key manager of the object store.
    """

    def __init__(
        self, store: Store, issuer: Issuer, s3: ObjectStore, origins: Mapping[str, str]
    ) -> None:
        self.store = store
        self.issuer = issuer
        self.s3 = s3
        self.key_manager = KeyManager(issuer, s3.keys)
        self.origins = origins
        self.pages: dict[str, Page] = {}
        self.ranges = False

    async def respond(self, role: str, request: web.BaseRequest, body: bytes) -> Response:
        """Return the response of a service to a request."""
        path = unquote(request.raw_path.partition("?")[0])
        if path in self.pages:
            return page(path, self.pages[path])
        if role == "identity":
            return self._identity(path, request, body)
        if role == "stranger":
            return Response(200, {"Content-Type": "text/html; charset=utf-8"}, (_STRANGER_PAGE,))
        if role == "s3":
            return await self.s3.respond(request, body)
        if role == "keys":
            return self.key_manager.respond(path, request, body, token(request))
        if request.method not in ("GET", "HEAD"):
            return Response.json({"detail": "Method Not Allowed"}, 405, Allow="GET, HEAD")
        if role == "stac":
            return await self._stac(path)
        if role == "catalogue":
            return await self._catalogue(path, request)
        return await self._download(path, request)

    async def _stac(self, path: str) -> Response:
        folder, _, name = path.rpartition("/")
        product = self.store.by_name(name) if folder == NEW_PATH else None
        if product is None or name != product.id:
            message = f"Item {name} in Collection sentinel-2-l1c does not exist."
            return Response.json({"code": "NotFoundError", "description": message}, 404)
        item = await asyncio.to_thread(new_item, product, self.origins)
        return Response.json(item, kind="application/geo+json")

    async def _catalogue(self, path: str, request: web.BaseRequest) -> Response:
        origin = self.origins["catalogue"]
        query = list(request.query.items())
        entities, _, key = path.partition("(")
        if entities in odata.ENTITIES:
            identifier, _, rest = key.partition(")")
            if rest:
                location = f"{self.origins['download']}{request.raw_path}"
                return Response(301, {"Location": location})
            products = list(self.store) if entities == odata.PRODUCTS_PATH else self.store.deleted
            if not key:
                return await asyncio.to_thread(odata.search, products, query, origin)
            try:
                check_identifier(identifier)
            except MalformedIdentifierError:
                return Response.json(_malformed_uuid(identifier), 422)
            found = next((x for x in products if x.uuid == identifier.lower()), None)
            if found is None:
                return Response.json({"detail": "Product not found"}, 404)
            return await asyncio.to_thread(odata.single, found, query, origin)
        folder, _, name = path.rpartition("/")
        product = self.store.by_name(name) if folder == LEGACY_PATH else None
        if product is None or name != product.name:
            return Response.json({"detail": "Not Found"}, 404)
        item = await asyncio.to_thread(legacy_item, product, self.origins)
        return Response.json(item, kind="application/geo+json")

    async def _download(self, path: str, request: web.BaseRequest) -> Response:
        try:
            node = NodePath.parse(path)
        except MalformedIdentifierError as error:
            return Response.json(_malformed_uuid(str(error)), 422)
        except MalformedPathError:
            return _refusal(400, 104, "Malformed OData request path")
        user = None
        if node.value:
            try:
                user = self.issuer.check(token(request))
            except TokenError as error:
                return Response.json(error.body, 401)
        product = self.store.by_uuid(node.identifier)
        if product is None or not product.online:  # what it answers in the second case is a guess
            return _refusal(404, 101, "Product not found")
        if not node.value:
            found = listing(self.origins["download"], product, node.names)
            return _NO_NODE if found is None else Response.json(found)
        if not node.names:
            archive = await asyncio.to_thread(product.archive)
            return self._value(request, user, f"{product.name}.zip", archive.md5, archive.body)
        file = find(product, node.names)
        if file is None or not file.is_file():
            return _NO_NODE
        stat = file.stat()
        tag = f"{stat.st_mtime_ns:x}-{stat.st_size:x}"
        body = (Slice(file, 0, stat.st_size),) if stat.st_size else ()
        return self._value(request, user, file.name, tag, body)

    def _value(
        self, request: web.BaseRequest, user: str | None, name: str, tag: str, body: Body
    ) -> Response:
        """Return the content of a product or a file, or the part that Range selects."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{name}"',
        }
        if not self.ranges:
            return Response(200, headers, body, user)
        headers |= {"ETag": f'"{tag}"', "Accept-Ranges": "bytes"}
        response = Response(200, headers, body, user)
        if request.headers.get("If-Range", headers["ETag"]) != headers["ETag"]:
            return response
        return response.select(request.headers.get("Range"))

    def _identity(self, path: str, request: web.BaseRequest, body: bytes) -> Response:
        if path == DISCOVERY_PATH:
            return Response.json(self.issuer.discovery())
        if path != TOKEN_PATH:
            return Response.json({"error": "RESTEASY003210: Could not find resource"}, 404)
        if request.method != "POST":
            return Response.json({"error": "HTTP 405 Method Not Allowed"}, 405, Allow="POST")
        form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        status, content = self.issuer.grant(form)
        return Response.json(content, status, Cache_Control="no-store")


def token(request: web.BaseRequest) -> str | None:
    """Return the token of a request, from its header or, as CDSE allows, from its query."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and text:
        return text.strip()
    return request.query.get("token")


def page(path: str, content: Page) -> Response:
    """Return a response with the given content: bytes, text, the file at a Path, or JSON."""
    if isinstance(content, dict | list):
        return Response.json(content)
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    body: Body
    if isinstance(content, Path):
        body = (Slice(content, 0, content.stat().st_size),)
    else:
        body = (content.encode() if isinstance(content, str) else content,)
    return Response(200, {"Content-Type": kind}, body)


def too_many_sessions(role: str, retry_after: int | None) -> Response:
    """Return the response to a user who has too many downloads open."""
    headers = {} if retry_after is None else {"Retry_After": str(retry_after)}
    if role == "s3":  # What the platform answers there is not known.
        return error(429, **headers)
    body = {
        "trace-id": uuid.uuid4().hex,
        "code": "DAT-ZIP-100",
        "message": "Max session number exceeded",
    }
    return Response.json(body, 429, **headers)


_STRANGER_PAGE = (
    b"<!DOCTYPE html>\n<title>Hello</title>\n<p>Do not send secrets to this host.</p>\n"
)


def _refusal(status: int, code: int, message: str) -> Response:
    return Response.json({"code": f"DAT-ZIP-{code}", "message": message}, status)


_NO_NODE = _refusal(404, 101, "Node not found")


def _malformed_uuid(identifier: str) -> dict[str, Any]:
    detail = {
        "type": "uuid_parsing",
        "loc": ["path", "product_id"],
        "msg": "Input should be a valid UUID",
        "input": identifier,
        "ctx": {"error": "malformed"},
    }
    return {"detail": [detail]}
