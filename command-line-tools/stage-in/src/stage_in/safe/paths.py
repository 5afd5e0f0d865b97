"""Untrusted paths, accepted only if they stay inside the SAFE folder."""

import re
import unicodedata
from collections.abc import Collection
from pathlib import PurePosixPath

from stage_in.errors import VerificationError
from stage_in.secrets import excerpt

_MAX_PATH_LENGTH = 1000  # bytes; paths in products have about 150
# The printable ones of the characters that are not shown (Default_Ignorable_Code_Point).
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_MAX_NAME_LENGTH = 255  # bytes, the limit of common file systems


def check_path(path: str, source: str) -> str:
    """Return a path if it stays inside its folder on any system.

    Other paths are refused and not repaired: a rewritten name would be a file that nobody listed.

    Args:
        path: relative, with forward slashes.
        source: where the path comes from, for the message.

    Raises:
        VerificationError: the path is absolute or too long, or contains `..`, a backslash, a drive
            letter, a control character, or what some file systems ignore or add: a dot or space at
            the end of a name, and the `~` of short names.
    """
    parts = path.split("/")
    safe = path.isprintable() and not re.search(r'[\\:*?"<>|#%~]', path)
    safe = safe and len(path.encode()) <= _MAX_PATH_LENGTH
    if not safe or any(
        part != part.strip().rstrip(".") or not part or len(part.encode()) > _MAX_NAME_LENGTH
        for part in parts
    ):
        raise VerificationError(
            f"the paths in {source} must be plain and relative, but one is {excerpt(path, 200)!r}"
        )
    return str(PurePosixPath(path))


def _fold(path: str) -> str:
    """Return a path as the most tolerant file system compares it.

    This is a compatibility caseless match (Unicode Standard, section 3.13, D146), which includes
    the canonical one. It needs each step, because folding case can undo a normalisation. Some file
    systems also ignore characters that are not shown, or compare upper-case letters.
    """
    shown = _IGNORABLE.sub("", path)
    folded = unicodedata.normalize("NFD", shown).upper().casefold()
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
            raise VerificationError(
                f"the paths of files must be distinct, but {seen[key]!r} and {path!r} are not"
            )
        seen[key] = path
    for key, path in seen.items():
        for parent in PurePosixPath(key).parents:
            if str(parent) in seen:
                raise VerificationError(
                    f"{seen[str(parent)]!r} must be a file, but is also a folder of {path!r}"
                )
