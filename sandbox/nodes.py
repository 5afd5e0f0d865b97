"""The files and folders of a product in the download service: their paths and listings.

A path is ``/odata/v1/Products(<uuid>)``, then ``/Nodes(<name>)`` for each level, and ``/Nodes`` for
a listing or ``/$value`` for the content. Names are not quoted (CDSE documentation, OData).
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.store import ServedProduct

_PATH = re.compile(
    r"/odata/v1/Products\((?P<id>[^()/]*)\)(?P<nodes>(?:/Nodes\([^()'\"/]+\))*)/(?P<end>Nodes|\$value)"
)
_NODE = re.compile(r"/Nodes\(([^)]*)\)")


class MalformedPathError(ValueError):
    """The path is not one of the download service."""


class MalformedIdentifierError(ValueError):
    """The product's identifier is not a UUID."""


@dataclass(frozen=True)
class NodePath:
    """A parsed path of the download service.

    Attributes:
        identifier: The product's UUID.
        names: Names from the product's root folder down; empty for the product itself.
        value: Whether the path is that of the content, not of the listing.
    """

    identifier: str
    names: tuple[str, ...]
    value: bool

    @classmethod
    def parse(cls, path: str) -> NodePath:
        """Parse a decoded path.

        Raises:
            MalformedPathError: The path does not have the form that is described above.
            MalformedIdentifierError: The path has this form, but the UUID is malformed.
        """
        match = _PATH.fullmatch(path)
        if match is None:
            raise MalformedPathError(path)
        check_identifier(match["id"])
        return cls(match["id"], tuple(_NODE.findall(match["nodes"])), match["end"] == "$value")


def check_identifier(text: str) -> None:
    """Check that a product's identifier is a UUID.

    Raises:
        MalformedIdentifierError: It is not.
    """
    try:
        uuid.UUID(text)
    except ValueError as error:
        raise MalformedIdentifierError(text) from error


def node_path(identifier: str, *names: str) -> str:
    """Return the path of a node, without ``/Nodes`` or ``/$value`` at the end."""
    return f"/odata/v1/Products({identifier})" + "".join(f"/Nodes({name})" for name in names)


def find(product: ServedProduct, names: tuple[str, ...]) -> Path | None:
    """Find the file or folder of a node; None if there is none.

    Names are looked up among a folder's children and never joined to a path, so that no name
    leads out of the product.
    """
    if names[0] != product.name:
        return None
    found = product.folder
    for name in names[1:]:
        children = {child.name: child for child in found.iterdir()} if found.is_dir() else {}
        if name not in children:
            return None
        found = children[name]
    return found


def listing(origin: str, product: ServedProduct, names: tuple[str, ...]) -> dict[str, Any] | None:
    """List the children of a node; None if there is no such node.

    A folder has ContentLength 0 and a number of children; a file has its size and no children. An
    empty folder thus looks like an empty file, and both have an empty listing. Only ``$value``
    distinguishes them: a file has one, a folder does not. Whether the platform's listings contain
    more is not known.
    """
    if names:
        folder = find(product, names)
        if folder is None:
            return None
        children = sorted(folder.iterdir()) if folder.is_dir() else []
        pairs = [(child.name, child) for child in children]
    else:
        pairs = [(product.name, product.folder)]
    return {
        "result": [_node(origin, product, (*names, name), path) for name, path in pairs],
    }


def _node(
    origin: str, product: ServedProduct, names: tuple[str, ...], path: Path
) -> dict[str, Any]:
    folder = path.is_dir()
    return {
        "Id": names[-1],
        "Name": names[-1],
        "ContentLength": 0 if folder else path.stat().st_size,
        "ChildrenNumber": sum(1 for _ in path.iterdir()) if folder else 0,
        "Nodes": {"uri": f"{origin}{node_path(product.uuid, *names)}/Nodes"},
    }
