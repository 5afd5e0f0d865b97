"""The products that the sandbox serves, by name and by UUID."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

from sandbox.archive import Archive, files, pack


class ServedProduct:
    """A product on disk that the sandbox serves.

    Attributes:
        name: Name of the product, with ``.SAFE``.
        uuid: Its identifier in the download service, derived from the name.
        folder: Its SAFE folder.
        online: Whether it can be downloaded without being ordered first.
        deletion: Cause and date of its deletion; None while the platform has it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.name = f"{self.folder.name.removesuffix('.SAFE')}.SAFE"
        self.uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.dataspace.copernicus.eu"))
        self.online = True
        self.deletion: tuple[str, str] | None = None
        self._lock = threading.Lock()
        self._archive: Archive | None = None
        self._archived_files: tuple[tuple[Path, int, int], ...] = ()

    @property
    def id(self) -> str:
        """The name without ``.SAFE``, which is the item's id in the new STAC API."""
        return self.name.removesuffix(".SAFE")

    @property
    def s3_key(self) -> str:
        """Its folder in the bucket eodata, without a slash at the end.

        Products of baseline 05.00 have a collection of their own.
        """
        collection = "L1C_N0500" if "_N0500_" in self.name else "L1C"
        start = re.search(r"_(\d{4})(\d\d)(\d\d)T\d{6}_", self.name)
        day = "/".join(start.groups()) if start else "0000/00/00"
        return f"Sentinel-2/MSI/{collection}/{day}/{self.name}"

    def archive(self) -> Archive:
        """Return the product's zip. It is laid out again only if a file has changed."""
        with self._lock:
            stats = ((path, path.stat()) for path in files(self.folder))
            found = tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
            if self._archive is None or found != self._archived_files:
                self._archive = pack(self.folder, self.name)
                self._archived_files = found
            return self._archive


class Store:
    """All products that the sandbox serves, in the order in which they were added."""

    def __init__(self) -> None:
        self._products: dict[str, ServedProduct] = {}

    def add(self, folder: Path) -> ServedProduct:
        """Add the product of a SAFE folder.

        Raises:
            NotADirectoryError: The folder does not exist.
        """
        if not folder.is_dir():
            raise NotADirectoryError(f"expected a SAFE folder, found none at {folder}")
        product = ServedProduct(folder)
        self._products[product.name] = product
        return product

    def by_name(self, name: str) -> ServedProduct | None:
        """Find a product by its name, with or without ``.SAFE``."""
        return next((x for x in self if x.id == name.removesuffix(".SAFE")), None)

    def by_uuid(self, identifier: str) -> ServedProduct | None:
        """Find a product by its UUID."""
        return next((product for product in self if product.uuid == identifier.lower()), None)

    @property
    def deleted(self) -> list[ServedProduct]:
        """The products that the platform has deleted."""
        return [product for product in list(self._products.values()) if product.deletion]

    def __iter__(self) -> Iterator[ServedProduct]:
        return iter([x for x in list(self._products.values()) if x.deletion is None])
