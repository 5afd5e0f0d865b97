"""The way of the data, in order: item, product, source, files, catalog, rename."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from loguru import logger

from app import manifest
from app.catalog import write_catalog
from app.credentials import Credentials
from app.errors import OutputError, VerificationError
from app.item import fetch_item, load_item
from app.manifest import Entry
from app.output import Output, remove, writing
from app.product import Product
from app.progress import Progress, megabytes
from app.retries import Retries
from app.transfer import STALL_TIMEOUT, Client
from app.trust import Trust
from app.zipped import ZippedSource

if TYPE_CHECKING:
    import pystac

PATIENCE = 600.0  # seconds
_LARGEST_MANIFEST = 8 * 1024 * 1024  # bytes; real ones have 50 to 80 KB


class Source(Protocol):
    """Where the files of a product come from.

    Attributes:
        connections: how many files may be open at once.
    """

    connections: int

    def list_files(self) -> dict[str, int]:
        """Return the size in bytes of each file, by its path below the SAFE folder."""

    def open(self, path: str) -> AbstractContextManager[Iterator[bytes]]:
        """Open one file as chunks.

        What the body of the `with` raises passes through here: a source that keeps something
        between its files learns that way that it was wrong.
        """


def stage_in(
    item_href: str,
    output_dir: Path,
    *,
    trust: Trust,
    credentials: Credentials,
    patience: float = PATIENCE,
    verify: bool = True,
    bar: bool = False,
) -> Path:
    """Leave a verified, self-contained STAC catalog of a product in a folder, or nothing.

    Args:
        item_href: the platform's STAC item, a URL or a path.
        output_dir: the folder to be; it appears complete, by one rename.
        trust: who may see the token.
        credentials: where the token comes from.
        patience: seconds without news after which a run ends with TemporaryError.
        verify: whether digests are checked; sizes always are.
        bar: whether to show a progress bar.

    Returns:
        The catalog's file.

    Raises:
        StageInError: of the kind that the failure is.
    """
    with Progress(bar=bar) as progress:
        client = _client(trust, credentials, progress, patience)
        retries = Retries(progress, patience)
        is_url = item_href.lower().startswith(("http://", "https://"))
        item = (
            retries(partial(fetch_item, item_href, client))
            if is_url
            else load_item(Path(item_href))
        )
        product = Product.from_item(item, trust.origins)
        output = Output(output_dir)
        with output:
            logger.info("Staging {} from {}", product.id, product.origin)
            if is_published(product, output.path):
                logger.success("{} is there already, complete: {}", product.id, output.path)
                return output.path / "catalog.json"
            archive = output.staging / f"{product.id}.zip"
            output.forget_others({product.id, archive.name})
            source = ZippedSource(product, client, archive, progress)
            folder = output.catalog / product.id
            stage(product, source, None, folder, retries=retries, verify=verify)
            write_catalog(output.catalog, product, item, verified=verify)
            output.publish()
    path = output.path / "catalog.json"
    logger.success("Staged {}: {}", product.id, path)
    return path


def stage_zip(item: "pystac.Item", target: Path, trust: Trust, credentials: Credentials) -> Path:
    """Fetch and unpack the zip of a product, verified, without a catalog.

    Args:
        item: the platform's item.
        target: the folder that will hold the SAFE folder.
        trust: who may see the token.
        credentials: where the token comes from.

    Returns:
        The SAFE folder.
    """
    product = Product.from_item(item, trust.origins)
    with Progress() as progress, Output(target / product.name) as output:
        if output.path.exists():
            check_files(output.path)
            return output.path
        client = _client(trust, credentials, progress, PATIENCE)
        archive = output.staging / f"{product.id}.zip"
        source = ZippedSource(product, client, archive, progress)
        output.forget_others({product.name, archive.name})
        safe = stage(product, source, None, output.catalog, retries=Retries(progress, PATIENCE))
        with writing(output.path):
            safe.rename(output.path)
    return output.path


def stage(
    product: Product,
    source: Source,
    bands: Collection[str] | None,
    target: Path,
    *,
    retries: Retries,
    verify: bool = True,
) -> Path:
    """Fetch the files of a product, each hashed as it is written.

    Args:
        product: which.
        source: where its files come from.
        bands: for a part of it; None for the whole.
        target: the folder that will hold the SAFE folder. What an earlier run has left there is
            kept where its digest is right, and removed where it isn't.
        retries: how often a failed try is made again.
        verify: whether digests are checked.

    Returns:
        The SAFE folder.
    """
    safe = target / product.name
    document, entries = retries(lambda: _read_plan(source))
    kept = _keep_right(safe, entries)
    if kept:
        logger.info("Going on: {} of {} files are there already", len(kept), len(entries))
    if not verify:
        entries = {path: replace(entry, algorithm=None) for path, entry in entries.items()}
    with writing(safe):
        for folder in manifest.get_folders(entries):
            (safe / folder).mkdir(parents=True, exist_ok=True)
    for path in entries.keys() - kept - {manifest.NAME}:
        retries(partial(_fetch, source, entries[path], safe))
    if manifest.NAME not in kept:
        receive([document], safe / manifest.NAME, entries[manifest.NAME])
    digests = sum(entry.algorithm is not None for entry in entries.values())
    logger.info(
        "Verified {} files, {}: {} by the digests of manifest.safe, {} by size",
        len(entries),
        megabytes(sum(entry.size for entry in entries.values())),
        digests,
        len(entries) - digests,
    )
    return safe


def receive(chunks: Iterable[bytes], destination: Path, entry: Entry) -> None:
    """Write the chunks of one file, and check them against what was announced.

    Nothing stays at `destination` where they differ.

    Args:
        chunks: the file's bytes, in order.
        destination: where to write them.
        entry: what they must be.

    Raises:
        VerificationError: size or digest is another.
    """
    digest = hashlib.new(entry.algorithm) if entry.algorithm else None
    size = 0
    try:
        with writing(destination):
            destination.parent.mkdir(parents=True, exist_ok=True)
            with destination.open("xb") as file:
                for chunk in chunks:
                    size += len(chunk)
                    if size > entry.size:
                        break
                    file.write(chunk)
                    if digest is not None:
                        digest.update(chunk)
        _check_received(entry, size, digest.hexdigest() if digest else None)
    except BaseException:
        destination.unlink(missing_ok=True)
        raise


def check_files(safe: Path) -> None:
    """Check that a SAFE folder has each file that its manifest lists, as listed.

    Raises:
        OutputError: one is missing or differs.
    """
    try:
        entries = manifest.parse((safe / manifest.NAME).read_bytes())
        manifest.check_complete(entries)
        wrong = [path for path, entry in entries.items() if not _is_right(safe / path, entry)]
    except (OSError, VerificationError) as error:
        raise OutputError(f"expected a whole product in {safe}: {error}") from error
    if wrong:
        raise OutputError(
            f"expected a whole product in {safe}, found {len(wrong)} files missing or changed, "
            f"{wrong[0]} first: move the folder away, or choose another --output-dir"
        )


def is_published(product: Product, path: Path) -> bool:
    """Tell whether the catalog of a product is there, complete.

    Raises:
        OutputError: something else is there.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return False
    item = path / product.id / f"{product.id}.json"
    if not ((path / "catalog.json").is_file() and item.is_file()):
        raise OutputError(
            f"expected nothing at {path}, or the catalog of {product.id}, found something else: "
            "move it away, or choose another --output-dir"
        )
    check_files(item.with_name(product.name))
    return True


def _client(trust: Trust, credentials: Credentials, progress: Progress, patience: float) -> Client:
    return Client(
        trust,
        credentials,
        stall_timeout=min(STALL_TIMEOUT, patience),
        on_bytes=progress.arrived,
    )


def _read_plan(source: Source) -> tuple[bytes, dict[str, Entry]]:
    """Return the manifest, and what must be in the SAFE folder: listed by it, or by the source."""
    with source.open(manifest.NAME) as chunks:
        document = b""
        for chunk in chunks:
            document += chunk
            if len(document) > _LARGEST_MANIFEST:
                raise VerificationError(f"expected {manifest.NAME} below {_LARGEST_MANIFEST} bytes")
        listed = manifest.parse(document)
        manifest.check_complete(listed)
        sizes = source.list_files()
        missing = sorted(listed.keys() - sizes.keys())
        if missing:
            raise VerificationError(
                f"expected all {len(listed)} files of {manifest.NAME}, found {len(missing)} "
                f"missing, {missing[0]} first"
            )
        entries = {path: listed.get(path) or Entry(path, size) for path, size in sizes.items()}
        entries[manifest.NAME] = Entry(
            manifest.NAME, len(document), "sha3_256", hashlib.sha3_256(document).hexdigest()
        )
        manifest.check_size(entries.values())
        return document, entries


def _keep_right(safe: Path, entries: dict[str, Entry]) -> set[str]:
    """Remove the files of an earlier run but those that are right, and return these."""
    kept = set()
    for path in sorted(safe.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            continue
        name = path.relative_to(safe).as_posix()
        entry = entries.get(name)
        if entry is not None and entry.algorithm and _is_right(path, entry):
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


def _fetch(source: Source, entry: Entry, safe: Path) -> None:
    with source.open(entry.path) as chunks:
        receive(chunks, safe / entry.path, entry)
    logger.debug("Verified {}", entry.path)


def _check_received(entry: Entry, size: int, digest: str | None) -> None:
    if size != entry.size:
        found = f"{size}" if size < entry.size else "more"
        raise VerificationError(f"expected {entry.size} bytes of {entry.path}, found {found}")
    if digest is not None and digest != entry.digest:
        raise VerificationError(
            f"expected {entry.algorithm} {entry.digest} of {entry.path}, found {digest}"
        )
