"""Whether what was staged is the product."""

import hashlib
import re
from pathlib import Path

import pystac

from benchmarks.product import BANDS, get_sizes, select_bands

_IMAGE = re.compile(r"GRANULE/[^/]+/IMG_DATA/[^/]+_(?P<band>\w+)\.jp2")


def find_fault(folder: Path, safe: Path, *, part: bool) -> str:
    """Find out what is wrong with the catalog of a product.

    Args:
        folder: where the command ran, which holds the catalog and nothing else.
        safe: the product that was served.
        part: whether three of its bands were wanted, not all of it.

    Returns:
        What is wrong; empty if nothing is.
    """
    found = sorted(path.name for path in folder.iterdir())
    if found != ["catalog"]:
        return f"expected catalog and nothing else, found {found}"
    name = safe.name.removesuffix(".SAFE")
    staged = folder / "catalog" / name / safe.name
    return _compare(safe, staged, part=part) or _open(folder / "catalog/catalog.json", name)


def _compare(safe: Path, staged: Path, *, part: bool) -> str:
    wanted, found = _read(safe), _read(staged)
    if not part:
        missing = wanted.keys() - found.keys()
    else:
        sizes = select_bands(get_sizes(safe))
        missing = {path for path in sizes if path not in found}
    others = {
        path
        for path, digest in found.items()
        if wanted.get(path) != digest
        or (part and (match := _IMAGE.fullmatch(path)) and match["band"] not in BANDS)
    }
    if not (missing or others):
        return ""
    return f"{len(missing)} missing, {len(others)} others: {sorted(missing | others)[0]} first"


def _read(safe: Path) -> dict[str, str]:
    """Return the digest of each file, and an empty one of each folder, by path."""
    return {
        path.relative_to(safe).as_posix(): ""
        if path.is_dir()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in safe.rglob("*")
    }


def _open(catalog: Path, name: str) -> str:
    items = list(pystac.Catalog.from_file(str(catalog)).get_items(recursive=True))
    if [item.id for item in items] != [name]:
        return f"expected one item {name}, found {[item.id for item in items]}"
    hrefs = [asset.get_absolute_href() or "" for asset in items[0].assets.values()]
    gone = [href for href in hrefs if not Path(href).is_file()]
    if not hrefs or gone:
        return f"expected {len(hrefs)} assets as files, found none at {gone[:1]}"
    return ""
