"""The product that is staged: valid metadata and images, padded to the sizes of a real tile."""

import csv
import os
import re
import struct
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from sandbox.manifest import listed_files, write_manifest
from sandbox.product import NEW, make_product

MEGABYTE = 1_000_000
BANDS = ("B02", "B03", "B04")

# The files that the manifest of a full tile lists, and the sizes that it gives for them:
# S2A_MSIL1C_20230216T044851_N0509_R076_T46UEU_20230216T063628.
with Path(__file__).with_name("full_tile.csv").open() as _file:
    SIZES = {row["path"]: int(row["bytes"]) for row in csv.DictReader(_file)}
FULL_TILE = sum(SIZES.values())

_STEM = re.compile(r"T\d{2}[A-Z]{3}_\d{8}T\d{6}_")


def make_padded_product(folder: Path, size: int, number: int = 0) -> Path:
    """Write a product of about `size` bytes; return its SAFE folder.

    Products of different numbers are acquired on different days. Their files have the sizes of a
    full tile times one constant, except where they are larger anyway.
    Metadata can be read, and images can be decoded.
    """
    recipe = replace(NEW, pixels=192, sensing=NEW.sensing + timedelta(days=10 * number))
    safe = make_product(folder, recipe)
    for listed in listed_files(recipe):
        path = safe / listed.path
        content = path.read_bytes()
        missing = SIZES[get_kind(listed.path)] * size // FULL_TILE - len(content)
        if missing > 0 and path.suffix == ".jp2":
            path.write_bytes(pad_image(content, missing))
        elif missing > 0:
            path.write_bytes(content + b"\n" * missing)
    write_manifest(recipe, safe)
    return safe


def pad_image(content: bytes, missing: int) -> bytes:
    """Put random bytes behind the packets of the only tile-part of a JP2 file.

    A decoder has all packets by then and skips the rest of the tile-part. The lengths of the box
    `jp2c` (ISO 15444-1, I.4) and of the tile-part (Psot, A.4.2) grow by as much.
    """
    image = bytearray(content)
    box = image.index(b"jp2c") - 4
    psot = image.index(b"\xff\x90\x00\x0a", box) + 6
    for position in (box, psot):
        (length,) = struct.unpack_from(">I", image, position)
        struct.pack_into(">I", image, position, length + missing)
    image[-2:-2] = os.urandom(missing)  # in front of EOC
    return bytes(image)


def get_kind(path: str) -> str:
    """Return the key in `SIZES` of a file of any product, given by its path in the SAFE folder."""
    parts = path.split("/")
    if parts[0] in ("DATASTRIP", "GRANULE"):
        del parts[1]
    return "/".join([*parts[:-1], _STEM.sub("", parts[-1])])


def get_sizes(safe: Path) -> dict[str, int]:
    """Return the bytes of each file of a product, by its path in the SAFE folder."""
    return {
        path.relative_to(safe).as_posix(): path.stat().st_size
        for path in sorted(safe.rglob("*"))
        if path.is_file()
    }


def is_needed_for_bands(path: str) -> bool:
    """Tell whether `--assets B02,B03,B04` needs a file: an image of theirs, or metadata.

    Metadata are the manifest and all XML files. Masks and the preview are staged, too, but are
    not needed.
    """
    images = {f"GRANULE/IMG_DATA/{band}.jp2" for band in BANDS}
    return get_kind(path) in images or path.endswith(".xml") or path == "manifest.safe"
