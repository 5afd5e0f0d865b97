"""The product as objects of the platform's S3 bucket, which takes keys in place of a token."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from xml.etree.ElementTree import Element

from stage_in.errors import (
    CredentialsError,
    RefusedError,
    SourceError,
    UnauthorizedError,
    VerificationError,
)
from stage_in.logger import logger
from stage_in.safe.manifest import MAX_FILES, Entry
from stage_in.safe.parts import Range
from stage_in.safe.paths import check_path
from stage_in.safe.xml import parse_xml
from stage_in.secrets import excerpt
from stage_in.sources.plan import plan_parts, split
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.quota import RATE
from stage_in.transfer.response import ResponseBody
from stage_in.transfer.s3_client import S3Client

_MAX_PAGES = 100  # pages have a thousand objects, or fewer where the service likes
_MAX_LIST_SIZE = 4 * 1024 * 1024  # bytes; a page of a thousand objects has about 0.5 MB


class S3Source:
    """Delivers the files of a product as objects below one prefix.

    ETags are not compared with anything: they are no digests of large objects.
    """

    may_list_less = True

    def __init__(
        self,
        folder: str,
        client: S3Client,
        arrivals: Arrivals,
        connections: int,
        list_elsewhere: Callable[[], dict[str, int]],
    ) -> None:
        """Prepare; nothing is requested yet.

        Args:
            folder: the key of the SAFE folder, without a slash at its end.
            client: makes the requests.
            arrivals: counts the bytes.
            connections: how many files to open in parallel.
            list_elsewhere: lists the files without S3, if the bucket can't be listed.
        """
        self._folder = folder
        self._client = client
        self._arrivals = arrivals
        self.connections = connections
        self._list_elsewhere = list_elsewhere
        self._sizes: dict[str, int] = {}
        self.name = "s3"
        self._plan: tuple[float, dict[str, int]] = (0.0, {})  # for a latency
        self.label = f"S3 at {client.endpoint}, with the keys in {client.variable}"

    def expect(self, entries: Iterable[Entry], product_size: int) -> None:
        """Remember the sizes of the files that will be opened."""
        self._sizes = {entry.path: entry.size for entry in entries}
        self._plan = (0.0, {})
        self._arrivals.expect(sum(self._sizes.values()))

    def list_files(self) -> dict[str, int]:
        """Return the size in bytes of each file, by its path below the SAFE folder.

        Raises:
            VerificationError: it is not a list of a product's files.
            StageInError: it can't be fetched.
        """
        try:
            return self._list_objects()
        except (UnauthorizedError, RefusedError) as error:  # some proxies serve only objects
            logger.info("Listing the files without S3: {}", error)
        try:
            return self._list_elsewhere()
        except SourceError as error:
            raise CredentialsError(
                f"the keys may not list the files of the product: {error}"
            ) from error

    def split(self, entry: Entry, missing: list[Range]) -> list[Range]:
        """Return the parts in which the whole product arrives soonest."""
        if self._client.ignores_ranges:
            return [(missing[0][0], entry.size)]
        latency, plan = self._plan
        if latency != self._client.latency:
            latency = self._client.latency
            plan = plan_parts(self._sizes, self.connections, latency, RATE)
            self._plan = latency, plan
        return split(missing, plan.get(entry.path, 1))

    @contextmanager
    def open(self, path: str, start: int = 0, end: int | None = None) -> Iterator[ResponseBody]:
        """Open one file of the product, or a part of it, as chunks.

        Raises:
            CredentialsError: the keys are refused.
            StageInError: the kind depends on the failure.
        """
        key = f"{self._folder}/{path}"
        try:
            with self._client.get(key, self._arrivals, start, end, self._sizes.get(path)) as body:
                yield body
        except UnauthorizedError as error:
            raise self._client.explain(error) from error

    def _list_objects(self) -> dict[str, int]:
        prefix = f"{self._folder}/"
        query = {"list-type": "2", "prefix": prefix}
        files: dict[str, int] = {}
        for _ in range(_MAX_PAGES):
            page = self._read_page(query)
            for content in page.iterfind("{*}Contents"):
                key, size = content.findtext("{*}Key", ""), content.findtext("{*}Size", "")
                if not key.startswith(prefix) or not size.isdecimal() or len(size) > 18:
                    raise VerificationError(
                        f"the object store must list objects below {prefix} and their sizes, but "
                        f"listed {excerpt(key, 200)!r}"
                    )
                path = key.removeprefix(prefix)
                # A key that ends in a slash stands for an empty folder.
                if path and not path.endswith("/"):
                    files[check_path(path, f"the objects below {prefix}")] = int(size)
            token = page.findtext("{*}NextContinuationToken", "")
            if page.findtext("{*}IsTruncated", "") != "true":
                return files
            if token in {"", query.get("continuation-token")} or len(files) > MAX_FILES:
                break
            query["continuation-token"] = token
        raise VerificationError(
            f"the list of objects below {prefix} must have at most {MAX_FILES}, but does not end"
        )

    def _read_page(self, query: dict[str, str]) -> Element:
        with self._client.list(query, self._arrivals.turn) as body:
            document = body.read(_MAX_LIST_SIZE)
        page = parse_xml(document, "the list of objects")
        if not page.tag.endswith("ListBucketResult"):
            raise VerificationError(
                f"the object store must send a list of objects, but sent {excerpt(page.tag, 80)!r}"
            )
        return page
