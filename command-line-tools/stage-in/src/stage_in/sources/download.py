"""The download of a product from one source: each file from HTTP response to verified file."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, repeat
from pathlib import Path

from stage_in.disk import check_disk_space, make_folder, writing
from stage_in.errors import NotFoundError, VerificationError
from stage_in.logger import logger
from stage_in.safe.bands import is_complete
from stage_in.safe.folder import SafeFolder
from stage_in.safe.manifest import (
    MANIFEST,
    MAX_PRODUCT_SIZE,
    Entry,
    check_size,
    get_folders,
    read_manifest,
    select,
)
from stage_in.safe.name import ProductName
from stage_in.safe.parts import Part, PartedFile, cut, find_missing
from stage_in.safe.paths import check_distinct
from stage_in.safe.unlisted import may_be_unlisted
from stage_in.safe.verification import keep_verified, write_verified
from stage_in.safe.xml import MAX_XML_SIZE
from stage_in.settings import Settings
from stage_in.sources.completion import Completion
from stage_in.sources.source import Source
from stage_in.transfer.arrivals import Arrivals, megabytes
from stage_in.transfer.retries import Retries
from stage_in.transfer.workers import Workers

_MAX_NAMED = 10  # files in a warning


class Download:
    """Downloads the files of one product into a SAFE folder.

    Files that an earlier run has left stay where they pass verification, and are removed where
    they do not. The others are downloaded in parallel, the largest first; each is hashed while it
    is written. A file that fails verification is downloaded again, up to three times.
    """

    def __init__(
        self,
        source: Source,
        name: ProductName,
        safe: Path,
        settings: Settings,
        arrivals: Arrivals,
        check_libraries: Callable[[], object],
        completion: Completion,
        parent: Workers | None = None,
    ) -> None:
        """Prepare a download; nothing is requested yet.

        Args:
            source: delivers the files.
            name: the product's name.
            safe: the SAFE folder to write.
            settings: what the user chose.
            arrivals: counts the bytes.
            check_libraries: called once the manifest has arrived, while which they load.
            completion: completes verified files while others arrive.
            parent: the workers one of whose tasks runs this download.
        """
        self._source = source
        self._name = name
        self._safe = safe
        self._settings = settings
        self._arrivals = arrivals
        self._workers = Workers(source.connections + 1, parent)  # one more for the list of files
        self._retries = Retries(arrivals, settings.patience, self._workers.sleep)
        self._check_libraries = check_libraries
        self._completion = completion
        self._wanted: dict[str, Entry] = {}
        self._unlisted: dict[str, Entry] = {}
        self._kept = 0  # files that an earlier run has left
        self._folder: SafeFolder  # which _start sets

    def run(self) -> SafeFolder:
        """Download all files that the user wants.

        Raises:
            StageInError: the kind depends on the failure. Files that are right stay.
        """
        self._workers.add(self._start)
        self._workers.run(self._retries.watch)
        self._log_summary()
        return self._folder

    def _start(self) -> None:
        """Fetch the manifest, and add tasks for the files that are missing."""
        document, entries = self._retries(self._read_manifest)
        with self._workers.waiting():
            self._check_libraries()
        self._wanted = wanted = self._select(entries)
        kept = keep_verified(self._safe, wanted)
        if kept:
            logger.info(
                "Resuming: {kept} of {files} requested files of {product} that {} lists have "
                "arrived already",
                MANIFEST,
                event="resuming",
                product=self._name.id,
                kept=len(kept),
                files=len(wanted),
            )
        self._kept = len(kept)
        missing = [entry for path, entry in wanted.items() if path not in kept]
        self._prepare_folder(document, wanted, missing)
        self._folder = folder = SafeFolder(
            self._safe,
            self._name,
            entries,
            partial=not is_complete(self._settings.bands),
            verified=self._settings.verify,
        )
        self._completion.start(folder, kept)

        def add_unlisted() -> None:
            self._unlisted = self._find_unlisted(entries)
            self._add_tasks(folder, self._unlisted.values())

        self._source.expect(missing, sum(entry.size for entry in entries.values()))
        self._arrivals.restart_silence()
        self._workers.add(add_unlisted, MAX_PRODUCT_SIZE)  # before the large files
        self._add_tasks(folder, missing)

    def _read_manifest(self) -> tuple[bytes, dict[str, Entry]]:
        """Return the manifest and the files that it lists."""
        with self._open(MANIFEST) as (chunks, _):
            document = b""
            for chunk in chunks:
                document += chunk
                if len(document) > MAX_XML_SIZE:
                    raise VerificationError(
                        f"the file {MANIFEST} must have at most {MAX_XML_SIZE} bytes, but has more"
                    )
            return document, read_manifest(document)

    def _select(self, entries: Mapping[str, Entry]) -> dict[str, Entry]:
        bands = self._settings.bands
        return dict(entries) if bands is None else select(entries, bands)

    def _prepare_folder(
        self, document: bytes, wanted: Mapping[str, Entry], missing: list[Entry]
    ) -> None:
        """Create the SAFE folder with its subfolders and the manifest."""
        check_disk_space(self._safe, len(document) + sum(entry.size for entry in missing))
        with writing(self._safe):
            for folder in get_folders(wanted):
                make_folder(self._safe / folder)
        digest = hashlib.sha3_256(document).hexdigest()
        entry = Entry(MANIFEST, len(document), "sha3_256", digest)
        write_verified([document], self._safe / MANIFEST, entry)

    def _add_tasks(self, folder: SafeFolder, entries: Iterable[Entry]) -> None:
        """Add the files: the metadata first, then the largest.

        The metadata tell whether the product can be described. As they are small, they also show
        how long the platform counts a download that has ended, while large files occupy the other
        slots.
        """
        for entry in entries:
            is_metadata = self._completion.needs(entry.path)
            weight = 2 * MAX_PRODUCT_SIZE if is_metadata else entry.size
            self._workers.add(partial(self._download, folder, entry), weight)

    def _download(self, folder: SafeFolder, entry: Entry) -> None:
        """Download one file, with retries, or split it into parts that are tasks of their own."""
        if not self._settings.verify:
            entry = replace(entry, algorithm=None)
        destination = self._safe / entry.path
        # Without a digest, nothing would tell that two parts come from different files.
        parts = [(0, entry.size)]
        if entry.algorithm and entry.size:
            parts = self._source.split(entry, find_missing(destination, entry.size))
        if [end for _, end in parts] == [entry.size]:
            cut(destination, parts[0][0])
            self._finish(folder, entry, repeat(partial(self._try_download, entry)))
        else:
            file = PartedFile(destination, entry, parts)
            for part in file.parts:
                self._workers.add(partial(self._download_part, folder, file, part), part.size)

    def _download_part(self, folder: SafeFolder, file: PartedFile, part: Part) -> None:
        """Download one part of a file, with retries; the last to arrive completes the file."""
        with logger.contextualize(product=self._name.id, file=file.entry.path):
            self._retries(partial(self._try_part, file, part))
        if file.finish():
            again = repeat(partial(self._try_download, file.entry))
            self._finish(folder, file.entry, chain([file.verify], again))

    def _finish(
        self, folder: SafeFolder, entry: Entry, attempts: Iterator[Callable[[], None]]
    ) -> None:
        """Complete a file by one of several attempts."""
        with logger.contextualize(product=self._name.id, file=entry.path):
            self._retries(lambda: next(attempts)())
        logger.debug(
            "Verified {file}",
            event="file",
            product=self._name.id,
            file=entry.path,
            bytes=entry.size,
        )
        self._workers.add_later(partial(self._completion.complete, folder, entry))

    def _try_download(self, entry: Entry) -> None:
        """Make one attempt. What has arrived over a broken connection stays for the next one."""
        destination = self._safe / entry.path
        arrived = destination.stat().st_size if destination.exists() else 0
        start = arrived if entry.algorithm and arrived < entry.size else 0
        try:
            with self._open(entry.path, start) as (chunks, first):
                write_verified(chunks, destination, entry, first)
        except VerificationError:
            destination.unlink(missing_ok=True)
            raise

    def _try_part(self, file: PartedFile, part: Part) -> None:
        """Make one attempt at a part. What has arrived stays for the next one."""
        with self._open(file.entry.path, part.position, part.end) as (chunks, first):
            file.write(part, chunks, first)

    @contextmanager
    def _open(
        self, path: str, start: int = 0, end: int | None = None
    ) -> Iterator[tuple[Iterator[bytes], int]]:
        """Open a file of the source, unless and until the download must stop.

        It yields the chunks, and how many bytes of the file come before them.
        """
        with ExitStack() as stack:
            with self._workers.waiting():
                chunks = stack.enter_context(self._source.open(path, start, end))
            yield self._workers.stoppable(chunks), chunks.start

    def _find_unlisted(self, entries: Mapping[str, Entry]) -> dict[str, Entry]:
        """Return the files that the product may have although its manifest does not list them.

        Their sizes are known, but no digests. All others are left out.
        """

        def list_files() -> dict[str, int]:
            with self._workers.waiting():
                listed = self._source.list_files()
            lacking = sorted({MANIFEST, *self._wanted} - listed.keys())
            if lacking and self._source.may_list_less:
                raise NotFoundError(
                    f"the list of files from {self._source.label} is incomplete: it lacks "
                    f"{lacking[0]}"
                )
            return listed

        found = {
            path: Entry(path, size)
            for path, size in self._retries(list_files).items()
            if path not in entries and path != MANIFEST
        }
        check_distinct([*entries, *found, MANIFEST])
        check_size([*self._select(entries).values(), *found.values()])
        unlisted = {path: entry for path, entry in found.items() if may_be_unlisted(path, entries)}
        if left_out := sorted(found.keys() - unlisted.keys()):
            logger.warning(
                "Left out {} files that {} does not list: {}{}",
                *(len(left_out), MANIFEST, ", ".join(left_out[:_MAX_NAMED])),
                f" and {len(left_out) - _MAX_NAMED} more" if len(left_out) > _MAX_NAMED else "",
            )
        return unlisted

    def _log_summary(self) -> None:
        files = {**self._wanted, **self._unlisted}
        with_digest = len(self._wanted) if self._settings.verify else 0
        size = sum(entry.size for entry in files.values())
        logger.info(
            "Verified {files} files of {product}, {}: {} that {} lists, by {}, and {} that it does "
            "not list, by size",
            *(megabytes(size), len(self._wanted), MANIFEST),
            *("digest" if self._settings.verify else "size", len(self._unlisted)),
            event="verified",
            product=self._name.id,
            source=self._source.name,
            files=len(files),
            kept=self._kept,
            bytes=size,
            by_digest=with_digest,
            by_size=len(files) - with_digest,
        )
