"""The product as single files, over as many connections as the platform grants."""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from stage_in.errors import (
    BusyError,
    SourceError,
    TemporaryError,
    UnauthorizedError,
    VerificationError,
)
from stage_in.safe.manifest import Entry
from stage_in.safe.parts import Range
from stage_in.safe.paths import check_path
from stage_in.secrets import excerpt
from stage_in.sources.product import Product
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.client import Client
from stage_in.transfer.quota import RATE
from stage_in.transfer.response import ResponseBody
from stage_in.urls import redact

EARLY = 2.0, 0.2  # seconds, and share of the zip's time, in which changing to the zip is cheap
LATE_FACTOR = 2.0  # after that, single files must take this many times as long as the zip
MIN_SHARE_FOR_ZIP = 0.25  # of the product's bytes, if no single file is granted
MIN_GAIN = 1.0  # seconds that changing to the zip must save after a refusal,
MIN_GAIN_BY_LATENCY = 5.0  # and without any, because one slow answer is no reason
_MAX_NODES = 10_000
_MAX_LIST_SIZE = 2 * 1024 * 1024  # bytes; lists of products have up to 30 KB
_MAX_DEPTH = 16  # folders; products have five


class NodesSource:
    """Delivers the files of a product one by one, as Nodes of its OData entity.

    `…/Products(<uuid>)/Nodes` and `…/Nodes(<name>)/Nodes` list, without a token;
    `…/Nodes(<name>)/…/$value` is a file. Names are not quoted (CDSE documentation, OData API).
    """

    may_list_less = True

    def __init__(
        self, product: Product, client: Client, arrivals: Arrivals, connections: int
    ) -> None:
        self._product = product
        self._client = client
        self._arrivals = arrivals
        self.connections = connections
        self._left: dict[str, int] = {}
        self._listed: dict[str, list[tuple[str, int, int]]] = {}
        self._product_size = 0
        self._started = 0.0
        self.name = "nodes"
        self.label = f"single files at {product.origin}"

    def expect(self, entries: Iterable[Entry], product_size: int) -> None:
        """Remember what will be opened, to estimate whether the zip would be faster."""
        self._left = {entry.path: entry.size for entry in entries}
        self._product_size = product_size
        self._started = time.monotonic()
        self._arrivals.expect(sum(self._left.values()))

    def list_files(self) -> dict[str, int]:
        """Return the size in bytes of each file, by its path below the SAFE folder.

        A node without content and children is an empty file if its name has a suffix. Otherwise it
        is an empty folder, which the zip does not contain either.

        Raises:
            SourceError: the list requires a token, which is not sent for it.
            VerificationError: it is not a list of a product's nodes.
            StageInError: the list can't be fetched.
        """
        files: dict[str, int] = {}
        folders = [""]
        listed, self._listed = self._listed, {}
        seen = 0
        while folders:
            folder = folders.pop()
            if folder not in listed:
                try:
                    listed[folder] = self._list_folder(folder)
                except TemporaryError:
                    self._listed = listed  # the next attempt requests the others only
                    raise
            for name, size, children in listed[folder]:
                seen += 1
                path = check_path(f"{folder}{name}", f"the nodes of {self._product.id}")
                if "/" in name:
                    raise VerificationError(
                        f"the files of {self._product.id} must have plain names, but one has the "
                        f"name {excerpt(name, 200)!r}"
                    )
                if path.count("/") > _MAX_DEPTH or seen > _MAX_NODES:
                    raise VerificationError(
                        f"the product must have at most {_MAX_NODES} files and folders, not deeper "
                        f"than {_MAX_DEPTH} levels, but has more at {excerpt(path, 200)!r}"
                    )
                if children:
                    folders.append(f"{path}/")
                elif size or "." in name:
                    files[path] = size
        return files

    def split(self, entry: Entry, missing: list[Range]) -> list[Range]:
        """Return one part, which starts where an earlier run has stopped."""
        return [(missing[0][0], entry.size)]

    @contextmanager
    def open(self, path: str, start: int = 0, end: int | None = None) -> Iterator[ResponseBody]:
        """Open one file of the product as chunks, up to its end.

        Raises:
            SourceError: the zip would be faster than the files that are left.
            StageInError: the kind depends on the failure.
        """
        self._check_pays_off("the platform grants too few downloads")
        try:
            with self._client.download(f"{self._url(path)}/$value", start, self._arrivals) as body:
                yield body
        except BusyError as error:
            self._check_pays_off(str(error))
            raise
        self._left.pop(path, None)

    def _check_pays_off(self, reason: str) -> None:
        """Check that the files that are left arrive sooner one by one than in one zip.

        Each file occupies a slot for as long as the platform counts it. With a lag of a second,
        sixty files take longer than a small product takes in one stream. The change comes early
        or, as it downloads everything again, only if it saves half of the time. If no single file
        is granted for long, the zip is tried, unless only a few bands are left.

        Raises:
            SourceError: the zip is faster.
        """
        pacing = self._client.pacing
        left = [*self._left.values()]
        if not left:
            return
        if pacing.is_starved and sum(left) >= MIN_SHARE_FOR_ZIP * self._product_size:
            raise SourceError(f"no download of a single file is granted: {reason}")
        files = pacing.estimate(len(left), sum(left) / RATE)
        zipped = self._product_size / RATE + pacing.latency
        is_early = time.monotonic() - self._started < EARLY[0] + EARLY[1] * zipped
        gain = MIN_GAIN if pacing.was_refused else MIN_GAIN_BY_LATENCY
        if files is not None and files > zipped * (1.0 if is_early else LATE_FACTOR) + gain:
            raise SourceError(f"the zip is faster than single files now: {reason}")

    def _list_folder(self, folder: str) -> list[tuple[str, int, int]]:
        """Return name, size in bytes and number of children of the nodes in a folder."""
        url = f"{self._url(folder.rstrip('/'))}/Nodes"
        try:
            with self._client.get_listing(url) as body:
                document = body.read(_MAX_LIST_SIZE)
        except UnauthorizedError as error:
            raise SourceError(f"the list of single files requires a token: {error}") from error
        try:
            nodes: list[Any] = json.loads(document)["result"]
            return [_parse_node(node) for node in nodes]
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
            raise VerificationError(
                f"the server must send a list of files at {redact(url)}, but sent "
                f"{excerpt(document, 40)!r}"
            ) from error

    def _url(self, path: str) -> str:
        """Build the URL of a node. URLs in listings are ignored."""
        names = [self._product.name.folder, *filter(None, path.split("/"))]
        nodes = "".join(f"/Nodes({quote(name, safe='')})" for name in names)
        return f"{self._product.origin}/odata/v1/Products({self._product.uuid}){nodes}"


def _parse_node(node: Any) -> tuple[str, int, int]:
    name, size, children = node["Name"], int(node["ContentLength"]), int(node["ChildrenNumber"])
    if min(size, children) < 0:
        raise ValueError("a size or a number of children is negative")
    return str(name), size, children
