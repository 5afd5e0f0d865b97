"""The check that the files of a product match its manifest."""

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from stage_in.disk import check_plain, make_folder, read_file, remove, share, writing
from stage_in.errors import OutputError, ProductError, VerificationError
from stage_in.safe.folder import SafeFolder
from stage_in.safe.manifest import MANIFEST, Entry, get_folders, read_manifest, select
from stage_in.safe.name import ProductName
from stage_in.safe.parts import find_missing
from stage_in.safe.unlisted import find_foreign
from stage_in.safe.xml import MAX_XML_SIZE

_READ_SIZE = 256 * 1024  # bytes


def write_verified(
    chunks: Iterable[bytes], destination: Path, entry: Entry, start: int = 0
) -> None:
    """Write the chunks of one file, and compare the whole file with its entry in the manifest.

    Args:
        chunks: the bytes of the file, in order.
        destination: the file.
        entry: what the file must be.
        start: how many bytes `destination` already has, which are kept.

    Raises:
        VerificationError: the size or the digest differs.
        OutputError: the file can't be written.
    """
    digest = hashlib.new(entry.algorithm) if entry.algorithm else None
    size = start
    with writing(destination):
        make_folder(destination.parent)
        if not start:
            destination.unlink(missing_ok=True)
        with destination.open("r+b" if start else "xb") as file:
            if not start:
                share(destination)
            while digest is not None and file.tell() < start:
                digest.update(file.read(min(_READ_SIZE, start - file.tell())))
            file.seek(start)
            for chunk in chunks:
                size += len(chunk)
                if size > entry.size:
                    break
                file.write(chunk)
                file.flush()  # nothing is written once a run has stopped this
                if digest is not None:
                    digest.update(chunk)
            file.truncate()
    if size != entry.size:
        found = size if size < entry.size else f"more than {entry.size}"
        raise VerificationError(
            f"{found} bytes of {entry.path} arrived, but its size is {entry.size}"
        )
    if digest is not None and digest.hexdigest() != entry.digest:
        raise VerificationError(
            f"the {entry.algorithm} of {entry.path} must begin with {entry.digest:.16}, as in "
            f"{MANIFEST}, but begins with {digest.hexdigest():.16}"
        )


def check_safe_folder(
    safe: Path, name: ProductName, bands: Collection[str] | None = None
) -> SafeFolder:
    """Check that a SAFE folder has the files that its manifest lists, with the right content.

    A file that does not belong to the product is refused because it may change how readers see the
    images; it may also be the user's own, so it is not removed.

    Args:
        safe: the SAFE folder.
        name: the product's name.
        bands: files of other bands may be missing; None if all files must be there.

    Returns:
        The folder, verified; partial if a file is missing.

    Raises:
        OutputError: a file is missing, differs, is no file, or does not belong to the product.
    """
    try:
        check_plain(safe)
        entries = read_manifest(read_file(safe / MANIFEST, MAX_XML_SIZE))
        wanted = entries if bands is None else select(entries, bands)
        wrong = [
            path
            for path, entry in entries.items()
            if (path in wanted or os.path.lexists(safe / path)) and not _matches(safe / path, entry)
        ]
        partial = any(not (safe / path).exists() for path in entries)
        foreign = find_foreign(safe, entries)
    except (OSError, ProductError) as error:
        # The message of a ProductError quotes the file, which may be a stranger's.
        found = error.strerror if isinstance(error, OSError) else f"it has no valid {MANIFEST}"
        raise OutputError(
            f"the product in {safe} is not complete: {found}. Move the folder away, or choose "
            "another --output-dir"
        ) from error
    if wrong:
        raise OutputError(
            f"the product in {safe} is not complete: {len(wrong)} of its files are missing or "
            f"changed, the first of them {wrong[0]}. Move the folder away, or choose another "
            "--output-dir"
        )
    if foreign:
        raise OutputError(
            f"{len(foreign)} files or folders in {safe} do not belong to the product, the first of "
            f"them {foreign[0]}. Software may read them as a part of the product. Move them away, "
            "or choose another --output-dir"
        )
    return SafeFolder(safe, name, entries, partial=partial)


def restore_folders(folder: SafeFolder) -> None:
    """Create the empty folders that readers of SAFE products require, where they are missing.

    Raises:
        OutputError: they can't be created.
    """
    with writing(folder.path):
        for path in get_folders(folder.entries):
            make_folder(folder.path / path)


def keep_verified(safe: Path, entries: Mapping[str, Entry]) -> set[str]:
    """Remove what an earlier run has left, except the files that pass verification.

    An unfinished file is kept as well: a server that supports ranges sends the rest, and the digest
    shows whether all parts match.

    Returns:
        The paths of the files that are complete.
    """
    kept = set()
    with writing(safe):
        for path in sorted(safe.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                with suppress(OSError):  # the folder is not empty
                    path.rmdir()
                continue
            name = path.relative_to(safe).as_posix()
            if name in entries and _matches(path, entries[name]):
                kept.add(name)
            elif name not in entries or not _is_unfinished(path, entries[name]):
                remove(path)
    return kept


def _is_unfinished(path: Path, entry: Entry) -> bool:
    return (
        not path.is_symlink()
        and path.is_file()
        and path.stat().st_size <= entry.size
        and bool(find_missing(path, entry.size))
    )


def _matches(path: Path, entry: Entry) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != entry.size:
        return False
    if entry.algorithm is None:
        return True
    with path.open("rb") as file:
        return hashlib.file_digest(file, entry.algorithm).hexdigest() == entry.digest
