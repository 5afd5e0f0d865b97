"""The tree of a product in the download service: its paths, its listings.

A path is ``/odata/v1/Products(<uuid>)``, then ``/Nodes(<name>)`` for each step down, and ``/Nodes``
for a listing or ``/$value`` for the bytes; names are not quoted (CDSE documentation, OData).
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.store import Holding

_PATH = re.compile(
    r"/odata/v1/Products\((?P<id>[^()/]*)\)(?P<nodes>(?:/Nodes\([^()'\"/]+\))*)/(?P<end>Nodes|\$value)"
)
_NODE = re.compile(r"/Nodes\(([^)]*)\)")


class MalformedPathError(ValueError):
    """A path that the download service does not understand."""


class MalformedIdentifierError(ValueError):
    """An identifier that is no UUID."""


@dataclass(frozen=True)
class NodePath:
    """A path in the download service, taken apart.

    Attributes:
        identifier: The product's UUID.
        names: Names from the product's root folder down; empty for the product itself.
        value: Whether the bytes are asked for, not the listing.
    """

    identifier: str
    names: tuple[str, ...]
    value: bool

    @classmethod
    def parse(cls, path: str) -> NodePath:
        """Take apart a decoded path.

        Raises:
            MalformedPathError: It is not of the form above.
            MalformedIdentifierError: It is, but for the UUID.
        """
        match = _PATH.fullmatch(path)
        if match is None:
            raise MalformedPathError(path)
        try:
            uuid.UUID(match["id"])
        except ValueError as error:
            raise MalformedIdentifierError(match["id"]) from error
        return cls(match["id"], tuple(_NODE.findall(match["nodes"])), match["end"] == "$value")


def node_path(identifier: str, *names: str) -> str:
    """The path of a node, without ``/Nodes`` or ``/$value``."""
    return f"/odata/v1/Products({identifier})" + "".join(f"/Nodes({name})" for name in names)


def find(holding: Holding, names: tuple[str, ...]) -> Path | None:
    """The file or folder at a node; None if there is none.

    Names are looked up among a folder's children, never joined to a path, so none leads out of
    the product.
    """
    if names[0] != holding.name:
        return None
    found = holding.folder
    for name in names[1:]:
        children = {child.name: child for child in found.iterdir()} if found.is_dir() else {}
        if name not in children:
            return None
        found = children[name]
    return found


def listing(origin: str, holding: Holding, names: tuple[str, ...]) -> dict[str, Any] | None:
    """What is below a node; None if there is no such node.

    A folder has ContentLength 0 and counts its children; a file has its size and no children. An
    empty folder thus looks like an empty file, and both list nothing: only asking for the
    ``$value`` tells them apart, which a file has and a folder has not. Whether the platform is as
    terse is not known; this is the least that a client can count on.
    """
    if names:
        folder = find(holding, names)
        if folder is None:
            return None
        children = sorted(folder.iterdir()) if folder.is_dir() else []
        pairs = [(child.name, child) for child in children]
    else:
        pairs = [(holding.name, holding.folder)]
    return {
        "result": [_node(origin, holding, (*names, name), path) for name, path in pairs],
    }


def _node(origin: str, holding: Holding, names: tuple[str, ...], path: Path) -> dict[str, Any]:
    folder = path.is_dir()
    return {
        "Id": names[-1],
        "Name": names[-1],
        "ContentLength": 0 if folder else path.stat().st_size,
        "ChildrenNumber": sum(1 for _ in path.iterdir()) if folder else 0,
        "Nodes": {"uri": f"{origin}{node_path(holding.uuid, *names)}/Nodes"},
    }
