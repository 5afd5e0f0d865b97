"""What a source must implement: it lists the files of one product and opens each of them.

A new source is also named in `settings.TRANSPORTS`, and tried by `Staging` in its place.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from stage_in.safe.manifest import Entry
from stage_in.safe.parts import Range


class Chunks(Protocol):
    """The bytes of a file from `start` on."""

    @property
    def start(self) -> int:
        """How many bytes of the file come before."""

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the bytes, in order."""


class Source(Protocol):
    """Delivers the files of one product.

    All paths are relative to the SAFE folder. Every method raises a StageInError, whose kind
    depends on the failure: a SourceError means that another source should be tried.

    Attributes:
        name: one of `settings.TRANSPORTS`.
        connections: how many files to open in parallel.
        label: what the log calls it, such as "the zip at https://…".
        may_list_less: whether it may list less than there is, without a failure.
    """

    name: str
    connections: int
    label: str
    may_list_less: bool

    def expect(self, entries: Iterable[Entry], product_size: int) -> None:
        """Prepare for the download.

        Args:
            entries: the files that will be opened.
            product_size: bytes of the whole product.
        """

    def list_files(self) -> dict[str, int]:
        """Return the size in bytes of each file, by its path."""

    def split(self, entry: Entry, missing: list[Range]) -> list[Range]:
        """Return the parts in which to open one file, in order.

        Args:
            entry: the file.
            missing: the parts of it that are missing.

        Returns:
            Parts that cover what is missing. They may also cover what is there: a source that
            delivers no parts returns one up to the end of the file.
        """

    def open(
        self, path: str, start: int = 0, end: int | None = None
    ) -> AbstractContextManager[Chunks]:
        """Open one file as chunks.

        An exception raised inside of the `with` passes through here, so a source that keeps data
        between files learns that these were wrong.

        Args:
            path: the file.
            start: how many bytes have arrived already. The chunks may start at 0 nevertheless.
            end: how many bytes are wanted; None for all. The chunks may continue nevertheless.
        """
