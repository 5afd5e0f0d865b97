"""What is done with each verified file while others arrive."""

import threading
from collections.abc import Callable, Set
from pathlib import Path

from stage_in.disk import flush, writing
from stage_in.safe.folder import SafeFolder
from stage_in.safe.manifest import Entry

# Larger files are flushed while others arrive. At the end, all files are flushed, many at a time.
_MIN_FLUSH = 1024 * 1024  # bytes


class Completion:
    """Completes verified files: flushes them, reads them ahead, and checks the metadata.

    It may be used from several threads.
    """

    def __init__(
        self,
        check_metadata: Callable[[SafeFolder], object],
        on_file: Callable[[Path, str], object],
    ) -> None:
        """Prepare.

        Args:
            check_metadata: called once, as soon as the metadata files are there. It raises if no
                item can be made of them, so that the large files need not arrive first.
            on_file: called with the path and the name of each verified file.
        """
        self._check_metadata = check_metadata
        self._on_file = on_file
        self._missing_metadata: set[str] = set()
        self._lock = threading.Lock()

    def start(self, folder: SafeFolder, kept: Set[str]) -> None:
        """Start with a folder that has the kept files already."""
        self._missing_metadata = {*folder.list_metadata()} - kept
        if not self._missing_metadata:
            self._check_metadata(folder)

    def needs(self, path: str) -> bool:
        """Tell whether the check of the metadata waits for a file."""
        return path in self._missing_metadata

    def complete(self, folder: SafeFolder, entry: Entry) -> None:
        """Complete one file, which has been verified.

        Raises:
            StageInError: it can't be flushed, or the metadata are not what they should be.
        """
        path = folder.path / entry.path
        if entry.size >= _MIN_FLUSH:
            with writing(path):
                flush(path)
        self._on_file(path, entry.path)
        with self._lock:
            was_missing = entry.path in self._missing_metadata
            self._missing_metadata.discard(entry.path)
            is_last = was_missing and not self._missing_metadata
        if is_last:
            self._check_metadata(folder)
