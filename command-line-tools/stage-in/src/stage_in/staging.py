"""The way of the data, in order: item, product, source, files, catalog, rename."""

import hashlib
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from loguru import logger

from stage_in.disk import check_disk_space, writing
from stage_in.errors import (
    NotFoundError,
    OutputError,
    RefusedError,
    SourceError,
    VerificationError,
)
from stage_in.output import Output
from stage_in.progress import Progress, megabytes
from stage_in.safe import manifest
from stage_in.safe.bands import BAND_OF_ASSET
from stage_in.safe.manifest import Entry
from stage_in.safe.verification import check_files, keep_verified, receive
from stage_in.safe.xml import MAX_XML_SIZE
from stage_in.settings import PATIENCE, Settings
from stage_in.sources.nodes import NodesSource
from stage_in.sources.platform_item import fetch_item, load_item
from stage_in.sources.product import Product
from stage_in.sources.zip import ZipSource, get_part
from stage_in.stac.catalog import write_catalog
from stage_in.stac.stactools_item import preload
from stage_in.transfer.client import STALL_TIMEOUT, Client
from stage_in.transfer.credentials import Credentials
from stage_in.transfer.pacing import MAX_WAIT, Pacing
from stage_in.transfer.retries import Retries
from stage_in.transfer.trust import Trust
from stage_in.transfer.workers import Workers

if TYPE_CHECKING:
    import pystac

T = TypeVar("T")


class Chunks(Protocol):
    """The bytes of a file from `start` on."""

    @property
    def start(self) -> int:
        """How many bytes of the file come before."""

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the bytes, in order."""


class Source(Protocol):
    """Where the files of a product come from.

    Attributes:
        connections: how many files to fetch side by side; one more task lists them first, and
            fetches others with the rest when it has.
    """

    connections: int

    def expect(self, entries: Iterable[Entry], whole: int) -> None:
        """Be told which files will be opened, and how many bytes the whole product has."""

    def list_files(self) -> dict[str, int]:
        """Return the size in bytes of each file, by its path below the SAFE folder."""

    def open(self, path: str, start: int = 0) -> AbstractContextManager[Chunks]:
        """Open one file as chunks.

        What the body of the `with` raises passes through here: a source that keeps something
        between its files learns that way that it was wrong.

        Args:
            path: below the SAFE folder.
            start: how many bytes are there already; a source may begin at 0 all the same.
        """


def stage_in(
    item_href: str, output_dir: Path, trust: Trust, credentials: Credentials, settings: Settings
) -> Path:
    """Leave a verified, self-contained STAC catalog of a product in a folder, or nothing.

    Args:
        item_href: the platform's STAC item, a URL or a path.
        output_dir: the folder to be; it appears complete, by one rename.
        trust: who may see the token.
        credentials: where the token comes from.
        settings: what the user chose.

    Returns:
        The catalog's file.

    Raises:
        StageInError: of the kind that the failure is.
    """
    with Progress(bar=settings.bar) as progress:
        client = _make_client(trust, credentials, progress, settings)
        is_url = item_href.lower().startswith(("http://", "https://"))
        _ask(credentials.spend_code, progress, settings.patience)
        item = (
            _ask(partial(fetch_item, item_href, client), progress, settings.patience)
            if is_url
            else load_item(Path(item_href))
        )
        product = Product.from_item(item, trust.origins)
        _preload_aside()
        with Output(output_dir) as output:
            logger.info("Staging {} from {}", product.id, product.origin)
            if is_published(product, output.path, settings.bands):
                logger.success("{} is there already, complete: {}", product.id, output.path)
                return output.path / "catalog.json"
            _stage_into(output, output.catalog / product.id, product, client, progress, settings)
            write_catalog(
                output.catalog,
                product,
                item,
                partial=settings.bands is not None and len(settings.bands) < len(BAND_OF_ASSET),
                verified=settings.verify,
            )
            output.publish(output.catalog)
    path = output.path / "catalog.json"
    logger.success("Staged {}: {}", product.id, path)
    return path


def stage_zip(item: "pystac.Item", folder: Path, trust: Trust, credentials: Credentials) -> Path:
    """Fetch and unpack the zip of a product, verified, without a catalog.

    Args:
        item: the platform's item.
        folder: what will hold the SAFE folder.
        trust: who may see the token.
        credentials: where the token comes from.

    Returns:
        The SAFE folder.

    Raises:
        StageInError: of the kind that the failure is.
    """
    settings = Settings(transport="zip")
    product = Product.from_item(item, trust.origins)
    with Progress() as progress, Output(folder / product.name) as output:
        if output.path.exists():
            check_files(output.path)
            return output.path
        client = _make_client(trust, credentials, progress, settings)
        safe = _stage_into(output, output.catalog, product, client, progress, settings)
        output.publish(safe)
    return output.path


def stage(
    product: Product,
    source: Source,
    bands: Collection[str] | None,
    target: Path,
    *,
    progress: Progress,
    patience: float = PATIENCE,
    verify: bool = True,
) -> Path:
    """Fetch the files of a product side by side, each hashed as it is written.

    What an earlier run has left in `target` is kept where its digest is right, and removed where
    it isn't.

    Args:
        product: which.
        source: where its files come from.
        bands: for a part of it; None for the whole.
        target: the folder that will hold the SAFE folder.
        progress: what has arrived.
        patience: seconds without news after which TemporaryError is raised.
        verify: whether digests are checked.

    Returns:
        The SAFE folder.

    Raises:
        VerificationError: a file or the manifest is wrong, three times.
        NotFoundError, RefusedError: the service has none or doesn't give it, three times.
        SourceError: another source is to take over.
        TemporaryError: patience has ended.
        CredentialsError: there is no token that can be used.
        OutputError: there is no room, or it can't be written.
    """
    safe = target / product.name
    document, entries = _ask(partial(_read_manifest, source), progress, patience)
    whole = sum(entry.size for entry in entries.values())
    if bands is not None:
        entries = manifest.select(entries, bands)
    kept = keep_verified(safe, entries)
    if kept:
        logger.info("Going on: {} of {} files are there already", len(kept), len(entries))
    check_disk_space(safe, sum(entry.size for path, entry in entries.items() if path not in kept))
    with writing(safe):
        for folder in manifest.get_folders(entries):
            (safe / folder).mkdir(parents=True, exist_ok=True)
    receive([document], safe / manifest.NAME, entries.pop(manifest.NAME))

    workers = Workers(source.connections + 1)  # one more, for the list
    retries = Retries(progress, patience, workers.sleep)
    unlisted: dict[str, Entry] = {}

    def fetch(entry: Entry) -> None:
        wanted = entry if verify else replace(entry, algorithm=None)
        retries(lambda: _fetch(source, wanted, safe, workers))

    def list_files() -> dict[str, int]:
        with workers.waiting():
            return source.list_files()

    def fetch_unlisted() -> None:
        found = _find_unlisted(retries(list_files), entries, bands)
        unlisted.update(found)
        for entry in found.values():
            workers.add(partial(fetch, entry), entry.size)

    missing = [entry for path, entry in entries.items() if path not in kept]
    source.expect(missing, whole)
    workers.add(fetch_unlisted, manifest.MAX_PRODUCT_SIZE)
    for entry in missing:
        workers.add(partial(fetch, entry), entry.size)
    progress.begin()
    workers.run(retries.watch)

    total = sum(entry.size for entry in (*entries.values(), *unlisted.values()))
    logger.info(
        "Verified {} files, {}: {} by the digests of manifest.safe, {} by size",
        len(entries) + len(unlisted),
        megabytes(total),
        len(entries) if verify else 0,
        len(unlisted) if verify else len(entries) + len(unlisted),
    )
    return safe


def is_published(product: Product, path: Path, bands: Collection[str] | None = None) -> bool:
    """Tell whether the catalog of a product is there, with all that is wanted of it.

    Raises:
        OutputError: something else is there.
    """
    item = path / product.id / f"{product.id}.json"
    with writing(path):
        nothing = not path.exists() or (path.is_dir() and not any(path.iterdir()))
        if nothing and (path.is_symlink() or path.is_mount()):
            raise OutputError(
                f"expected a name to give to a folder at {path}, found a link or a mounted folder: "
                "choose an --output-dir inside of it"
            )
        if nothing:
            return False
        complete = (path / "catalog.json").is_file() and item.is_file()
    if not complete:
        raise OutputError(
            f"expected nothing at {path}, or the catalog of {product.id}, found something else: "
            "move it away, or choose another --output-dir"
        )
    check_files(item.with_name(product.name), bands)
    return True


def _preload_aside() -> None:
    """Load the heavy libraries on a thread; who needs them meets what has gone wrong there."""

    def load() -> None:
        with suppress(Exception):
            preload()

    with suppress(RuntimeError):  # the system grants no more threads
        threading.Thread(target=load, daemon=True).start()


def _make_client(
    trust: Trust, credentials: Credentials, progress: Progress, settings: Settings
) -> Client:
    return Client(
        trust,
        credentials,
        Pacing(settings.connections, min(MAX_WAIT, settings.patience)),
        stall_timeout=min(STALL_TIMEOUT, settings.patience / 3),  # so that there are tries
        on_bytes=progress.arrived,
    )


def _stage_into(
    output: Output,
    target: Path,
    product: Product,
    client: Client,
    progress: Progress,
    settings: Settings,
) -> Path:
    """Stage the files of a product into a folder of the staging folder, cleared of all else.

    From the sources in the order in which they are tried.
    """
    archive = output.staging / f"{product.id}.zip"
    output.keep_only(target / product.name, [archive, get_part(archive)])
    with closing(ZipSource(product, client, archive, progress)) as zipped:
        sources: list[Source] = [zipped]
        # An archive that an earlier run has fetched is as good as any source.
        if settings.transport == "nodes" and not archive.exists():
            nodes = NodesSource(product, client, progress, settings.connections)
            sources = [nodes, zipped]
        return _stage_from(sources, product, target, client, progress, settings)


def _stage_from(
    sources: list[Source],
    product: Product,
    target: Path,
    client: Client,
    progress: Progress,
    settings: Settings,
) -> Path:
    """Stage from the first source; where it will not do, from the next."""
    source, *others = sources
    if settings.bands is not None and isinstance(source, ZipSource):
        logger.info("The zip comes whole; what is not wanted of it is left out")
    try:
        return stage(
            product,
            source,
            settings.bands,
            target,
            progress=progress,
            patience=settings.patience,
            verify=settings.verify,
        )
    except (SourceError, NotFoundError, RefusedError) as error:
        if not others:
            raise
        logger.warning("{}: the zip takes over", error)
    client.pacing.begin_anew()
    return _stage_from(others, product, target, client, progress, settings)


def _ask(question: Callable[[], T], progress: Progress, patience: float) -> T:
    """Ask others for something until they give it, on a thread that is left behind if it hangs.

    All that such a thread could still write to is an archive that is arriving, which is checked.
    """
    workers = Workers(1)
    retries = Retries(progress, patience, workers.sleep)

    def ask() -> T:
        with workers.waiting():
            return question()

    return workers.call(partial(retries, ask), retries.watch)


def _read_manifest(source: Source) -> tuple[bytes, dict[str, Entry]]:
    """Return the manifest, and what it lists, itself included."""
    with source.open(manifest.NAME) as chunks:
        document = b""
        for chunk in chunks:
            document += chunk
            if len(document) > MAX_XML_SIZE:
                raise VerificationError(
                    f"expected at most {MAX_XML_SIZE} bytes of {manifest.NAME}, found more"
                )
        entries = manifest.read(document)
        entries[manifest.NAME] = Entry(
            manifest.NAME, len(document), "sha3_256", hashlib.sha3_256(document).hexdigest()
        )
        return document, entries


def _find_unlisted(
    files: dict[str, int], entries: dict[str, Entry], bands: Collection[str] | None
) -> dict[str, Entry]:
    """Return the files that are in the product and not in its manifest, such as pictures."""
    found = {
        path: Entry(path, size)
        for path, size in files.items()
        if path not in entries and path != manifest.NAME
    }
    if bands is not None:
        found = manifest.select(found, bands)
    manifest.check_distinct([*entries, *found, manifest.NAME])
    manifest.check_size([*entries.values(), *found.values()])
    return found


def _fetch(source: Source, entry: Entry, safe: Path, workers: Workers) -> None:
    """Fetch one file; of a cut connection, what has arrived stays for the next try."""
    destination = safe / entry.path
    arrived = destination.stat().st_size if destination.exists() else 0
    try:
        with ExitStack() as stack:
            with workers.waiting():
                # Where no digest would tell, two halves of different files are not to be joined.
                start = arrived if entry.algorithm and arrived < entry.size else 0
                chunks = stack.enter_context(source.open(entry.path, start))
            receive(workers.checked(chunks), destination, entry, chunks.start)
    except VerificationError:
        destination.unlink(missing_ok=True)
        raise
    logger.debug("Verified {}", entry.path)
