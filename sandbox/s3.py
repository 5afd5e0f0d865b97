"""The object store: the products as objects of the bucket ``eodata``, in path style.

Statuses, error codes and headers are those of Ceph's gateway, which the platform runs.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import formatdate
from hashlib import md5
from pathlib import Path
from urllib.parse import quote, unquote

import aiohttp
from aiohttp import web
from lxml import etree
from lxml.builder import E, ElementMaker
from yarl import URL

from sandbox.body import Body, Slice
from sandbox.nodes import find
from sandbox.response import Response
from sandbox.sigv4 import Key, SignatureError, check
from sandbox.store import Store

BUCKET = "eodata"
MAX_KEYS = 1000

_CODES = {
    400: "InvalidArgument",
    403: "AccessDenied",
    404: "NoSuchKey",
    405: "MethodNotAllowed",
    416: "InvalidRange",
    429: "TooManyRequests",
    500: "InternalError",
    501: "NotImplemented",
    503: "SlowDown",
}
_HOP_BY_HOP = {"connection", "content-length", "date", "keep-alive", "transfer-encoding"}
_LISTING = ElementMaker(
    namespace="http://s3.amazonaws.com/doc/2006-03-01/",
    nsmap={None: "http://s3.amazonaws.com/doc/2006-03-01/"},
)


@dataclass(frozen=True)
class Object:
    """An object in the bucket.

    Attributes:
        body: Its content.
        size: Its length in bytes.
        modified: Time of its last modification, in seconds since 1970.
    """

    body: Body
    size: int
    modified: float = 0.0

    @classmethod
    def of_file(cls, path: Path) -> Object:
        """Make the object of a file."""
        stat = path.stat()
        body = (Slice(path, 0, stat.st_size),) if stat.st_size else ()
        return cls(body, stat.st_size, stat.st_mtime)

    def tag(self, key: str) -> str:
        """Return an ETag in the form of a multipart upload, which is no digest of the content."""
        text = f"{key} {self.size} {self.modified}".encode()
        return f'"{md5(text, usedforsecurity=False).hexdigest()}-1"'


class ObjectStore:
    """Responds to S3 requests.

    Attributes:
        keys: The pairs of keys that requests may be signed with, by access key.
        objects: Content to serve at keys besides the products' files or in place of them; None
            removes a key.
        markers: Whether an empty folder has an object whose key ends in a slash.
        upstream: Origin of another S3 server. Requests are forwarded to it unchanged, so that
            faults can be injected into its responses. Limits do not apply to them.
    """

    def __init__(self, store: Store, keys: Iterable[Key]) -> None:
        self.keys = {key.access: key for key in keys}
        self.objects: dict[str, bytes | None] = {}
        self.markers = True
        self.upstream: str | None = None
        self._store = store

    async def respond(self, request: web.BaseRequest, body: bytes) -> Response:
        """Return the response to a request."""
        if self.upstream is not None:
            return await _forward(self.upstream, request, body)
        try:
            key = check(request, self.keys)
        except SignatureError as refusal:
            return error(refusal.status, refusal.code)
        response = self._answer(request)
        return replace(response, user=key.user)

    def _answer(self, request: web.BaseRequest) -> Response:
        bucket, _, key = unquote(request.raw_path.partition("?")[0])[1:].partition("/")
        if bucket != BUCKET:
            return error(404, "NoSuchBucket")
        if request.method not in ("GET", "HEAD"):
            return error(405)
        if key:
            return self._get(request, key)
        if request.method == "HEAD":
            return Response(200, {"Content-Type": "application/xml"} | _headers())
        if request.query.get("list-type") != "2" or "delimiter" in request.query:
            return error(501)
        return self._list(request)

    def _get(self, request: web.BaseRequest, key: str) -> Response:
        found = self._find(key)
        if found is None:
            return error(404)
        headers = _headers() | {
            "Content-Type": "binary/octet-stream",
            "Last-Modified": formatdate(found.modified, usegmt=True),
            "ETag": found.tag(key),
        }
        # Ceph ignores If-Range.
        response = Response(200, headers, found.body).select(request.headers.get("Range"))
        return error(416) if response.status == 416 else response

    def _list(self, request: web.BaseRequest) -> Response:
        query = request.query
        prefix, token = query.get("prefix", ""), query.get("continuation-token")
        try:
            most = max(0, min(int(query.get("max-keys", MAX_KEYS)), MAX_KEYS))
        except ValueError:
            return error(400)
        # Ceph's continuation token is the last key of the page before.
        after = query.get("start-after", "") if token is None else token
        encode = quote if query.get("encoding-type") == "url" else str
        keys = sorted(key for key in self._keys() if key.startswith(prefix) and key > after)
        shown, is_truncated = keys[:most], 0 < most < len(keys)
        listing = _LISTING.ListBucketResult(_LISTING.Name(BUCKET), _LISTING.Prefix(encode(prefix)))
        if token is not None:
            listing.append(_LISTING.ContinuationToken(token))
        if is_truncated:
            listing.append(_LISTING.NextContinuationToken(shown[-1]))
        listing.extend(
            [
                _LISTING.KeyCount(str(len(shown))),
                _LISTING.MaxKeys(str(most)),
                _LISTING.IsTruncated("true" if is_truncated else "false"),
            ]
        )
        for key in shown:
            found = self._find(key)
            if found is not None:
                time = datetime.fromtimestamp(found.modified, UTC)
                listing.append(
                    _LISTING.Contents(
                        _LISTING.Key(encode(key)),
                        _LISTING.LastModified(f"{time:%Y-%m-%dT%H:%M:%S}.000Z"),
                        _LISTING.ETag(found.tag(key)),
                        _LISTING.Size(str(found.size)),
                        _LISTING.StorageClass("STANDARD"),
                    )
                )
        return _xml(200, listing)

    def _find(self, key: str) -> Object | None:
        """Find an object; None if there is none."""
        if key in self.objects:
            content = self.objects[key]
            return None if content is None else Object((content,), len(content))
        for product in self._store:
            if key.startswith(f"{product.s3_key}/"):
                inside = key.removeprefix(f"{product.s3_key}/").removesuffix("/")
                path = find(product, (product.name, *inside.split("/")))
                if path is not None and path.is_file() and not key.endswith("/"):
                    return Object.of_file(path)
                if path is not None and key.endswith("/") and self._is_marker(path):
                    return Object((), 0, path.stat().st_mtime)
        return None

    def _keys(self) -> Iterator[str]:
        for product in self._store:
            for path in product.folder.rglob("*"):
                key = f"{product.s3_key}/{path.relative_to(product.folder).as_posix()}"
                key = f"{key}/" if self._is_marker(path) else key
                if key not in self.objects and (path.is_file() or key.endswith("/")):
                    yield key
        yield from [key for key, content in self.objects.items() if content is not None]

    def _is_marker(self, path: Path) -> bool:
        return self.markers and path.is_dir() and not any(path.iterdir())


def error(status: int, code: str | None = None, **headers: str) -> Response:
    """Return an error in XML, with the usual code of its status unless another one is given.

    Underscores in header names become hyphens.
    """
    document = E.Error(
        E.Code(code or _CODES.get(status, "UnknownError")),
        E.Message(),
        E.RequestId(f"tx{uuid.uuid4().hex}"),
        E.HostId("sandbox"),
    )
    response = _xml(status, document)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return replace(response, headers={**response.headers, **named})


def _xml(status: int, document: etree._Element) -> Response:
    body = etree.tostring(document, xml_declaration=True, encoding="UTF-8")
    return Response(status, {"Content-Type": "application/xml"} | _headers(), (body,))


def _headers() -> dict[str, str]:
    return {"x-amz-request-id": f"tx{uuid.uuid4().hex}", "Accept-Ranges": "bytes"}


async def _forward(upstream: str, request: web.BaseRequest, body: bytes) -> Response:
    """Return another server's response. The Host header is kept because it is signed."""
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.request(
            request.method,
            URL(f"{upstream}{request.raw_path}", encoded=True),
            headers=request.headers,
            data=body,
            allow_redirects=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        ) as response,
    ):
        headers = {k: v for k, v in response.headers.items() if k.lower() not in _HOP_BY_HOP}
        content = await response.read()
        if request.method == "HEAD":
            # Only its length is sent.
            content = bytes(int(response.headers.get("Content-Length", 0)))
        return Response(response.status, headers, (content,))
