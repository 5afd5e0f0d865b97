"""The product that is staged: real metadata, and files as large as a real tile's in proportion."""

import os
import struct
from dataclasses import replace
from pathlib import Path

from benchmarks.sizes import FULL_TILE, SIZES, get_kind
from sandbox.manifest import listed_files, write_manifest
from sandbox.product import NEW, make_product

MEGABYTE = 1_000_000
BANDS = ("B02", "B03", "B04")

_RECIPE = replace(NEW, pixels=192)
_CHUNK = 4 * 1024 * 1024
_LINE = b" " * 99 + b"\n"


def make_padded_product(folder: Path, size: int) -> Path:
    """Write a product whose files have the sizes of a full tile times one constant.

    Each file keeps its content, so that metadata can be read and images be opened, and is padded
    by what its format lets readers pass over: a `free` box behind a JP2's codestream, blank lines
    behind an XML document's end. Files whose content is longer than that are left as they are.

    Args:
        folder: where the SAFE folder goes.
        size: bytes that the product is to have, about.

    Returns:
        The SAFE folder.
    """
    safe = make_product(folder, _RECIPE)
    for listed in listed_files(_RECIPE):
        path = safe / listed.path
        _pad(path, SIZES[get_kind(listed.path)] * size // FULL_TILE)
    write_manifest(_RECIPE, safe)
    return safe


def get_sizes(safe: Path) -> dict[str, int]:
    """Return the bytes of each file of a product, by its path below the SAFE folder."""
    return {
        path.relative_to(safe).as_posix(): path.stat().st_size
        for path in sorted(safe.rglob("*"))
        if path.is_file()
    }


def select_bands(sizes: dict[str, int]) -> dict[str, int]:
    """Return what three bands of a product need: their images, and the metadata.

    Metadata are the manifest and all XML documents; masks, previews, and weather are not.

    Args:
        sizes: of all files, by path.
    """
    images = {f"GRANULE/IMG_DATA/{band}.jp2" for band in BANDS}
    return {
        path: size
        for path, size in sizes.items()
        if get_kind(path) in images or path.endswith(".xml") or path == "manifest.safe"
    }


def _pad(path: Path, size: int) -> None:
    missing = size - path.stat().st_size
    with path.open("ab") as file:
        if path.suffix == ".jp2":
            # A box of ISO/IEC 15444-1, annex I: its length, itself included, its type, its bytes.
            if missing >= 8:
                file.write(struct.pack(">I4s", missing, b"free"))
            missing -= 8
        if path.suffix in (".xml", ".xsl", ".html"):
            lines, rest = divmod(max(missing, 0), len(_LINE))
            file.write(_LINE * lines + b"\n" * rest)
            return
        while missing > 0:
            missing -= file.write(os.urandom(min(missing, _CHUNK)))
