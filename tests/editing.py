"""Products that say something else than they did, and verify all the same."""

import hashlib
from pathlib import Path

from lxml import etree

from stage_in.sources.product import Product

MANIFEST = "manifest.safe"
PRODUCT = "MTD_MSIL1C.xml"


def product_of(safe: Path) -> Product:
    """Which product a SAFE folder is, by its name."""
    return Product(safe.name, "5fd5fd6f-1c9f-4b5a-9a0e-0f3a4a1b2c3d", "https://zipper.example")


def find(safe: Path, name: str) -> str:
    """The path below the SAFE folder of the one file of a name, which may be a pattern."""
    (path,) = safe.rglob(name)
    return path.relative_to(safe).as_posix()


def edit(safe: Path, name: str, old: str, new: str) -> None:
    """Replace a text that is in a file, which the manifest goes on to vouch for."""
    path = safe / find(safe, name)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    if name != MANIFEST:
        reseal(safe)


def reseal(safe: Path) -> None:
    """Let the manifest list each file that is there as it is."""
    tree = etree.parse(safe / MANIFEST)
    for stream in tree.iter("byteStream"):
        path = safe / stream.find("fileLocation").get("href")
        if not path.is_file():
            continue
        checksum = stream.find("checksum")
        algorithm = {"MD5": "md5", "SHA3-256": "sha3_256"}[checksum.get("checksumName")]
        content = path.read_bytes()
        stream.set("size", str(len(content)))
        checksum.text = hashlib.new(algorithm, content).hexdigest()
    tree.write(safe / MANIFEST, xml_declaration=True, encoding="UTF-8")
