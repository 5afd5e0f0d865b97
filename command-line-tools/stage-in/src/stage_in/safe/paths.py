"""Untrusted paths, accepted only if they stay inside the SAFE folder."""

import re
import unicodedata
from collections.abc import Collection
from pathlib import PurePosixPath

from stage_in.errors import VerificationError
from stage_in.secrets import excerpt

_MAX_PATH_LENGTH = 1000  # bytes; paths in products have about 150
_MAX_NAME_LENGTH = 255  # bytes, the limit of common file systems


def check_path(path: str, source: str) -> str:
    """Return a path if it stays inside its folder on any system.

    Other paths are refused and not repaired: a rewritten name would be a file that nobody listed.

    Args:
        path: relative, with forward slashes.
        source: where the path comes from, for the message.

    Raises:
        VerificationError: the path is absolute or too long, or contains `..`, a backslash, a drive
            letter or a control character.
    """
    parts = path.split("/")
    safe = path.isprintable() and not re.search(r'[\\:*?"<>|#%]', path)
    safe = safe and len(path.encode()) <= _MAX_PATH_LENGTH
    if not safe or any(
        part in {"", ".", ".."} or part != part.strip() or len(part.encode()) > _MAX_NAME_LENGTH
        for part in parts
    ):
        raise VerificationError(
            f"expected a plain relative path in {source}, found {excerpt(path, 200)!r}"
        )
    return str(PurePosixPath(path))


def _fold(path: str) -> str:
    """Return a path as the most tolerant file system compares it.

    This is a compatibility caseless match (Unicode Standard, section 3.13, D146). It also covers
    the canonical one, D145, in which no step may be left out: folding case can undo a
    normalisation.
    """
    folded = unicodedata.normalize("NFD", path).casefold()
    folded = unicodedata.normalize("NFKD", folded).casefold()
    return unicodedata.normalize("NFKD", folded)


def check_distinct(paths: Collection[str]) -> None:
    """Check that paths stay distinct on file systems that ignore case or Unicode forms.

    Raises:
        VerificationError: two paths differ in that only, or a file is also a folder of another.
    """
    seen: dict[str, str] = {}
    for path in paths:
        key = _fold(path)
        if key in seen:
            raise VerificationError(f"expected distinct paths, found {seen[key]!r} and {path!r}")
        seen[key] = path
    for key, path in seen.items():
        for parent in PurePosixPath(key).parents:
            if str(parent) in seen:
                raise VerificationError(
                    f"expected files, found {seen[str(parent)]!r} also as a folder of {path!r}"
                )
