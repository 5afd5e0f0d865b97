"""The sources that a run may use, in the order in which it tries them."""

from typing import TYPE_CHECKING

from stage_in.errors import (
    ArchiveMissingError,
    CredentialsError,
    NotFoundError,
    ProductError,
    RefusedError,
    SourceError,
    StageInError,
    TemporaryError,
    VerificationError,
)
from stage_in.logger import logger
from stage_in.settings import Settings
from stage_in.sources.eodata import BUCKET, find_path
from stage_in.sources.mount import MountSource
from stage_in.sources.nodes import NodesSource
from stage_in.sources.product import Product
from stage_in.sources.s3 import S3Source
from stage_in.sources.source import Source
from stage_in.sources.zip import ZipSource
from stage_in.transfer.access import Access
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.client import Client
from stage_in.transfer.pacing import Pacing
from stage_in.transfer.quota import MAX_CONNECTIONS
from stage_in.transfer.s3_client import S3Client

if TYPE_CHECKING:
    import pystac

MAX_PATIENCE = 60.0  # seconds without new data from a source that another one can replace
# The failures after which the next source is tried. Single files and the zip come from one service,
# where most failures are common to both.
_SERVICE_FAILURES = (SourceError, NotFoundError, RefusedError)
_FAILURES = (*_SERVICE_FAILURES, CredentialsError, TemporaryError, VerificationError)


class Candidates:
    """Makes the sources of a product: mount, s3, nodes, zip, as the environment allows."""

    def __init__(
        self,
        access: Access,
        client: Client,
        settings: Settings,
    ) -> None:
        self._access = access
        self._client = client
        self._settings = settings
        self._given_up: set[type] = set()
        self._s3_client = None
        if access.s3 is not None:
            self._s3_client = S3Client(
                access.s3,
                BUCKET,
                Pacing(settings.connections, client.pacing.max_wait, in_order=True),
                connections=settings.connections,
                stall_timeout=client.stall_timeout,
            )

    def list_sources(
        self, item: "pystac.Item", product: Product, archive: ZipSource, arrivals: Arrivals
    ) -> list[Source]:
        """Return the sources to try, one after another: at least one.

        Args:
            item: the platform's item of the product.
            product: the product.
            archive: the source that uses the zip. If an earlier run has left a complete zip, it is
                the only one, unless there is no token with which to replace it.
            arrivals: counts the bytes of the product.

        Raises:
            ProductError: the transport is `mount` or `s3`, and the item gives no path in the
                archive.
        """
        transport = self._settings.transport
        has_token = self._access.credentials is not None
        if transport == "zip" or (archive.is_complete and has_token):
            return [archive]
        sources: list[Source] = []
        connections = min(self._settings.connections, MAX_CONNECTIONS)
        nodes = NodesSource(product, self._client, arrivals, connections)
        try:
            path = find_path(item, product.name) if self._access.eodata or self._s3_client else ""
        except ProductError as error:
            if transport in {"mount", "s3"} or not has_token:
                raise
            path = ""
            logger.warning("Neither a mounted archive nor S3 can be used: {}", error)
        if path and self._access.eodata is not None and MountSource not in self._given_up:
            sources.append(MountSource(self._access.eodata / path, arrivals, connections))
        if path and self._s3_client is not None and S3Source not in self._given_up:
            connections = self._settings.connections
            sources.append(S3Source(path, self._s3_client, arrivals, connections, nodes.list_files))
        if has_token and transport in {"auto", "nodes"}:
            sources += [nodes, archive]
        return sources

    def start_over(self, source: Source, error: StageInError) -> None:
        """End what a source has left waiting: another one starts.

        A mount or object store that can't be used is not tried for other products of this run.
        """
        if isinstance(error, CredentialsError | TemporaryError | ArchiveMissingError):
            self._given_up.add(type(source))
        self._client.pacing.start_over()
        if self._s3_client is not None:
            self._s3_client.pacing.start_over()


def get_patience(source: Source, patience: float, *, is_last: bool) -> float:
    """Return the seconds without new data after which a source is given up.

    An endpoint that can't be reached or a mount that hangs is not waited for as long as a run may
    wait, if there is another source.
    """
    if is_last or isinstance(source, NodesSource | ZipSource):
        return patience
    return min(patience, MAX_PATIENCE)


def may_fall_back(source: Source, error: StageInError) -> bool:
    """Tell whether another source may deliver what this one has failed to deliver."""
    is_service = isinstance(source, NodesSource | ZipSource)
    return isinstance(error, _SERVICE_FAILURES if is_service else _FAILURES)
