"""The product file by file, over as many connections as the platform grants."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from stage_in.errors import BusyError, SourceError, UnauthorizedError, VerificationError
from stage_in.progress import Progress
from stage_in.safe.manifest import Entry, check_path
from stage_in.sources.product import Product
from stage_in.transfer.client import Body, Client
from stage_in.transfer.quota import RATE
from stage_in.urls import redact

MIN_SHARE_FOR_ZIP = 0.25  # of a product's bytes: for fewer the zip is not worth fetching
CHANGE = 5.0  # seconds to be gained at least by changing to the zip,
MARGIN = 1.1  # and in proportion: neither estimate is exact
_MAX_NODES = 10_000
_MAX_LIST_SIZE = 2 * 1024 * 1024  # bytes; those of products have up to 30 KB
_MAX_DEPTH = 16  # folders; products have five


class NodesSource:
    """Reads the files of a product one by one, by the Nodes of its OData entity.

    `…/Products(<uuid>)/Nodes` and `…/Nodes(<name>)/Nodes` list, without a token;
    `…/Nodes(<name>)/…/$value` is a file. Names are not quoted (CDSE documentation, OData API).
    """

    def __init__(
        self, product: Product, client: Client, progress: Progress, connections: int
    ) -> None:
        self._product = product
        self._client = client
        self._progress = progress
        self.connections = connections
        self._left: dict[str, int] = {}
        self._whole = 0

    def expect(self, entries: Iterable[Entry], whole: int) -> None:
        """Be told which files will be opened, and how many bytes the whole product has."""
        self._left = {entry.path: entry.size for entry in entries}
        self._whole = whole
        self._progress.expect(sum(self._left.values()))

    def list_files(self) -> dict[str, int]:
        """Return the size in bytes of each file, by its path below the SAFE folder.

        A node without content and children is an empty file if its name has a suffix, and an empty
        folder otherwise, which the zip wouldn't have either.

        Raises:
            SourceError: the list wants a token, which it is not shown.
            VerificationError: it is no list of a product's nodes.
            StageInError: of the kind that a failure to fetch it is.
        """
        files: dict[str, int] = {}
        folders = [""]
        seen = 0
        while folders:
            folder = folders.pop()
            for name, size, children in self._list_folder(folder):
                seen += 1
                path = check_path(f"{folder}{name}", f"the nodes of {self._product.id}")
                if "/" in name:
                    raise VerificationError(
                        f"expected a plain relative path in the nodes of {self._product.id}, "
                        f"found {name[:200]!r} as one name"
                    )
                if path.count("/") > _MAX_DEPTH or seen > _MAX_NODES:
                    raise VerificationError(
                        f"expected the nodes of a Level-1C product, found more than {_MAX_NODES} "
                        f"or deeper than {_MAX_DEPTH}, at {path[:200]!r}"
                    )
                if children:
                    folders.append(f"{path}/")
                elif size or "." in name:
                    files[path] = size
        return files

    @contextmanager
    def open(self, path: str, start: int = 0) -> Iterator[Body]:
        """Open one file of the product as chunks.

        Raises:
            SourceError: no place is worth waiting for: the zip comes sooner.
            StageInError: of the kind that the failure is.
        """
        url = f"{self._url(path)}/$value"
        try:
            with self._client.download(url, start) as body:
                yield body
        except BusyError as error:
            if not self._is_worth():
                raise SourceError(f"no use in single files now: {error}") from error
            raise
        self._left.pop(path, None)

    def _is_worth(self) -> bool:
        """Tell whether the files that are left come sooner one by one than all in one zip.

        Each file costs a place for as long as the platform goes on counting it: with a lag of a
        second and sixty files that is more than a small product takes in one stream. And where no
        place is to be had, one for the zip is found sooner than many, if it is not for a few bands.
        """
        pacing = self._client.pacing
        left = [*self._left.values()]
        if pacing.starved and sum(left) >= MIN_SHARE_FOR_ZIP * self._whole:
            return False
        nodes = (sum(left) / RATE + len(left) * pacing.lag) / pacing.prospect
        return nodes <= MARGIN * self._whole / RATE + CHANGE

    def _list_folder(self, folder: str) -> list[tuple[str, int, int]]:
        """Return name, size in bytes and number of children of the nodes in a folder."""
        url = f"{self._url(folder.rstrip('/'))}/Nodes"
        try:
            with self._client.get_listing(url) as body:
                document = body.read(_MAX_LIST_SIZE)
        except UnauthorizedError as error:
            raise SourceError(f"no list of single files without a token: {error}") from error
        try:
            nodes: list[Any] = json.loads(document)["result"]
            return [_read_node(node) for node in nodes]
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
            raise VerificationError(
                f"expected a list of nodes at {redact(url)}, found {document[:40]!r}"
            ) from error

    def _url(self, path: str) -> str:
        """Build the URL of a node; what a listing says of URLs is not obeyed."""
        names = [self._product.name, *filter(None, path.split("/"))]
        nodes = "".join(f"/Nodes({quote(name, safe='')})" for name in names)
        return f"{self._product.origin}/odata/v1/Products({self._product.uuid}){nodes}"


def _read_node(node: Any) -> tuple[str, int, int]:
    name, size, children = node["Name"], int(node["ContentLength"]), int(node["ChildrenNumber"])
    if min(size, children) < 0:
        raise ValueError("a size or a number of children below 0")
    return str(name), size, children
