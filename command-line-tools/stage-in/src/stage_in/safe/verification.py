"""The files of a product: written, and checked against what its manifest says of them."""

import hashlib
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from stage_in.disk import remove, writing
from stage_in.errors import OutputError, VerificationError
from stage_in.safe import manifest
from stage_in.safe.manifest import Entry

_PIECE = 256 * 1024  # bytes read at once


def receive(chunks: Iterable[bytes], destination: Path, entry: Entry, start: int = 0) -> None:
    """Write the chunks of one file, and check the whole of it against what was announced.

    Args:
        chunks: the file's bytes, in order.
        destination: where to write them.
        entry: what the file must be.
        start: how many bytes are at `destination` already, and stay.

    Raises:
        VerificationError: size or digest is another.
        OutputError: it can't be written.
    """
    digest = hashlib.new(entry.algorithm) if entry.algorithm else None
    size = start
    with writing(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        if not start:
            destination.unlink(missing_ok=True)
        with destination.open("r+b" if start else "xb") as file:
            while digest is not None and file.tell() < start:
                digest.update(file.read(min(_PIECE, start - file.tell())))
            file.seek(start)
            for chunk in chunks:
                size += len(chunk)
                if size > entry.size:
                    break
                file.write(chunk)
                if digest is not None:
                    digest.update(chunk)
            file.truncate()
    if size != entry.size:
        found = size if size < entry.size else "more"
        raise VerificationError(f"expected {entry.size} bytes of {entry.path}, found {found}")
    if digest is not None and digest.hexdigest() != entry.digest:
        raise VerificationError(
            f"expected {entry.algorithm} {entry.digest} of {entry.path}, found {digest.hexdigest()}"
        )


def check_files(safe: Path, bands: Collection[str] | None = None) -> None:
    """Check that a SAFE folder has each file that its manifest lists, as listed.

    Args:
        safe: the SAFE folder.
        bands: check what comes with these alone; None for the whole.

    Raises:
        OutputError: one is missing or differs.
    """
    try:
        entries = manifest.read((safe / manifest.NAME).read_bytes())
        if bands is not None:
            entries = manifest.select(entries, bands)
        wrong = [path for path, entry in entries.items() if not _is_right(safe / path, entry)]
    except (OSError, VerificationError) as error:
        raise OutputError(f"expected a whole product in {safe}: {error}") from error
    if wrong:
        raise OutputError(
            f"expected a whole product in {safe}, found {len(wrong)} files missing or changed, "
            f"{wrong[0]} first: move the folder away, or choose another --output-dir"
        )


def keep_verified(safe: Path, entries: dict[str, Entry]) -> set[str]:
    """Remove what an earlier run has left but the files that are right, and return these."""
    kept = set()
    with writing(safe):
        for path in sorted(safe.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                with suppress(OSError):  # there is something in it
                    path.rmdir()
                continue
            name = path.relative_to(safe).as_posix()
            if name in entries and _is_right(path, entries[name]):
                kept.add(name)
            else:
                remove(path)
    return kept


def _is_right(path: Path, entry: Entry) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != entry.size:
        return False
    if entry.algorithm is None:
        return True
    with path.open("rb") as file:
        return hashlib.file_digest(file, entry.algorithm).hexdigest() == entry.digest
