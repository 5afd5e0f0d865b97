"""A SAFE folder on disk, with the content of its manifest and how far it was checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stage_in.errors import ProductError
from stage_in.safe.manifest import (
    GRANULE_METADATA,
    MANIFEST,
    PRODUCT_METADATA,
    Entry,
)
from stage_in.safe.name import ProductName
from stage_in.safe.xml import check_prolog, is_xml


@dataclass(frozen=True)
class SafeFolder:
    """A product on disk.

    Attributes:
        path: the SAFE folder.
        name: the product's name, which the folder has.
        entries: what manifest.safe lists, by path.
        partial: whether files that manifest.safe lists may be missing, as others were selected.
        verified: whether the digests of its files were checked.
    """

    path: Path
    name: ProductName
    entries: Mapping[str, Entry]
    partial: bool = False
    verified: bool = True

    def list_present(self) -> list[str]:
        """Return the paths of manifest.safe and of the listed files that are there, in that order.

        Raises:
            ProductError: a file is missing although the product is not partial, has another size,
                or is XML with a document type declaration.
        """
        present = [MANIFEST]
        for path, entry in self.entries.items():
            file = self.path / path
            if not file.is_file():
                if not self.partial:
                    raise ProductError(
                        f"the file {path} is missing in {self.path.name}, although {MANIFEST} "
                        "lists it"
                    )
                continue
            if (size := file.stat().st_size) != entry.size:
                raise ProductError(
                    f"the file {path} in {self.path.name} must have {entry.size} bytes, but has "
                    f"{size}"
                )
            if is_xml(path):
                check_prolog(file, path)
            present.append(path)
        return present

    def list_metadata(self) -> list[str]:
        """Return the paths of MTD_MSIL1C.xml and MTD_TL.xml, in that order.

        Raises:
            ProductError: there is more than one granule.
        """
        granules = [path for path in self.entries if path.endswith(f"/{GRANULE_METADATA}")]
        if len(granules) != 1:
            raise ProductError(
                f"the product must have one granule, but {MANIFEST} lists {len(granules)}"
            )
        return [PRODUCT_METADATA, *granules]

    def read_metadata(self) -> dict[str, bytes]:
        """Return manifest.safe, MTD_MSIL1C.xml and MTD_TL.xml, by path and in that order.

        Raises:
            ProductError: one can't be read, or there is more than one granule.
        """
        return {path: self.read(path) for path in (MANIFEST, *self.list_metadata())}

    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Raises:
            ProductError: it can't be read.
        """
        try:
            return (self.path / path).read_bytes()
        except OSError as error:
            raise ProductError(
                f"the file {path} in {self.path.name} can't be read: {error.strerror}"
            ) from error
