"""The files that a product may have although its manifest does not list them.

They have no digests, so only known kinds are accepted, in folders without images. A file beside
an image could change what readers see: GDAL takes `B04.jp2.aux.xml`, `B04.jp2.ovr` and `B04.j2w`
for parts of `B04.jp2`. No reader takes a file with one of the names below for a part of another.
"""

import re
import stat
from collections.abc import Collection
from pathlib import Path

from stage_in.disk import find_differing, walk, writing
from stage_in.safe.manifest import MANIFEST, get_folders

KEEPER = ".keep"  # the file that keeps a folder that would be empty

_PICTURE = r"\.(gif|jpe?g|png)"
# By the last part of the folder's path.
_NAMES = {
    "": re.compile(rf"S2[A-D]_\w+(-ql)?{_PICTURE}", re.ASCII),  # quicklook and browse pictures
    "HTML": re.compile(rf"[\w-]+({_PICTURE}|\.css)", re.ASCII),
    "rep_info": re.compile(r"[\w-]+\.xsd", re.ASCII),
    "AUX_DATA": re.compile(r"(S2[A-D_]_OPER_)?AUX_\w+", re.ASCII),  # listed only by newer manifests
}


def may_be_unlisted(path: str, entries: Collection[str]) -> bool:
    """Tell whether a product may have a file that its manifest does not list.

    Args:
        path: relative to the SAFE folder.
        entries: the paths that the manifest lists.
    """
    folder, _, name = path.rpartition("/")
    if folder not in {"", *get_folders(entries)}:
        return False
    return _NAMES[folder.rpartition("/")[2]].fullmatch(name) is not None


def find_foreign(safe: Path, entries: Collection[str]) -> list[str]:
    """Return the paths in a SAFE folder that do not belong to its product.

    They are files that the manifest does not list and that are of no known kind, folders without a
    listed file, and anything that is neither a file nor a folder. A file that keeps an otherwise
    empty folder, with the content that `make_keepers` gives it, is not foreign: an earlier run
    wrote it.

    Raises:
        OSError: a folder can't be read.
    """
    files = {MANIFEST, *entries}
    folders = get_folders(entries)
    kept = make_keepers(safe, entries)
    keepers = kept.keys() - find_differing(safe, kept).keys()
    for expected in [*files, *folders]:
        folders |= {str(parent) for parent in Path(expected).parents}
    foreign = []
    for path, status in walk(safe):
        if not (
            path in files
            or (stat.S_ISDIR(status.st_mode) and path in folders)
            or (
                stat.S_ISREG(status.st_mode) and (path in keepers or may_be_unlisted(path, entries))
            )
        ):
            foreign.append(path)
    return foreign


def make_keepers(safe: Path, entries: Collection[str]) -> dict[str, bytes]:
    """Return the files that keep the required folders of a product that have no other file.

    Some workflow runners lose empty folders, or take folders with the same content for one. So no
    two of these files have the same content.

    Returns:
        The content of the files, by path in the SAFE folder.

    Raises:
        OutputError: a folder can't be read.
    """
    with writing(safe):
        return {
            f"{folder}/{KEEPER}": f"{folder} has no file in this product.\n".encode()
            for folder in sorted(get_folders(entries))
            if not any(path.startswith(f"{folder}/") for path in entries)
            and (safe / folder).is_dir()
            and all(path.name == KEEPER for path in (safe / folder).iterdir())
        }
