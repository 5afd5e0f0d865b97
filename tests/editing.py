"""Changes to a product on disk after which its manifest still matches its files."""

import hashlib
from collections.abc import Collection
from pathlib import Path

from lxml import etree

from stage_in.safe.folder import SafeFolder
from stage_in.safe.manifest import read_manifest
from stage_in.safe.name import ProductName

MANIFEST = "manifest.safe"
PRODUCT = "MTD_MSIL1C.xml"


def open_folder(safe: Path, *, partial: bool = False, verified: bool = True) -> SafeFolder:
    """Return a SAFE folder on disk with the entries of its manifest."""
    entries = read_manifest((safe / MANIFEST).read_bytes())
    return SafeFolder(safe, ProductName.parse(safe.name), entries, partial, verified)


def find(safe: Path, name: str) -> str:
    """Return the path below the SAFE folder of the only file whose name matches a pattern."""
    (path,) = safe.rglob(name)
    return path.relative_to(safe).as_posix()


def edit(safe: Path, name: str, old: str, new: str) -> None:
    """Replace a text in a file, and update the manifest unless that is the edited file."""
    path = safe / find(safe, name)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    if name != MANIFEST:
        reseal(safe)


def reseal(safe: Path) -> None:
    """Set the sizes and digests in the manifest to those of the files that exist."""
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


def unlist(safe: Path, paths: Collection[str]) -> None:
    """Remove files from the manifest, but not from the folder."""
    tree = etree.parse(safe / MANIFEST)
    for entry in [*tree.iter("dataObject")]:
        if entry.find("byteStream/fileLocation").get("href").removeprefix("./") in paths:
            entry.getparent().remove(entry)
    tree.write(safe / MANIFEST, xml_declaration=True, encoding="UTF-8")
