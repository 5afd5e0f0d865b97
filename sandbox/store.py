"""The products that the sandbox holds, by name and by identifier."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

from sandbox.archive import Archive, files, pack


class Holding:
    """One product on disk.

    Attributes:
        name: Name of the product with ``.SAFE``.
        uuid: Its identifier in the download service, the same for the same name.
        folder: Its SAFE folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.name = f"{self.folder.name.removesuffix('.SAFE')}.SAFE"
        self.uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.dataspace.copernicus.eu"))
        self._lock = threading.Lock()
        self._state: tuple[tuple[Path, int, int], ...] = ()
        self._archive: Archive | None = None

    @property
    def id(self) -> str:
        """The name without ``.SAFE``: the item's id in the new STAC API."""
        return self.name.removesuffix(".SAFE")

    def archive(self) -> Archive:
        """The product's zip, laid out anew only after a file has changed."""
        with self._lock:
            found = ((path, path.stat()) for path in files(self.folder))
            state = tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in found)
            if self._archive is None or state != self._state:
                self._archive = pack(self.folder, self.name)
                self._state = state
            return self._archive


class Store:
    """All products held."""

    def __init__(self) -> None:
        self._holdings: dict[str, Holding] = {}

    def add(self, folder: Path) -> Holding:
        """Hold the product of a SAFE folder.

        Raises:
            NotADirectoryError: There is no such folder.
        """
        if not folder.is_dir():
            raise NotADirectoryError(f"expected a SAFE folder, found none at {folder}")
        holding = Holding(folder)
        self._holdings[holding.name] = holding
        return holding

    def named(self, name: str) -> Holding | None:
        """The product of this name, with or without ``.SAFE``."""
        return self._holdings.get(f"{name.removesuffix('.SAFE')}.SAFE")

    def identified(self, identifier: str) -> Holding | None:
        """The product of this identifier."""
        return next((held for held in self if held.uuid == identifier.lower()), None)

    def __iter__(self) -> Iterator[Holding]:
        return iter(list(self._holdings.values()))
