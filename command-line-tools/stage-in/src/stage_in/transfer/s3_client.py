"""Requests to an object store: one bucket, signed, over the endpoint and region that work."""

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http import HTTPStatus
from urllib.parse import quote, urlencode

import requests

from stage_in.errors import (
    BusyError,
    CredentialsError,
    StageInError,
    TemporaryError,
    UnauthorizedError,
    VerificationError,
)
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.pacing import Pacing
from stage_in.transfer.response import STALL_TIMEOUT, ResponseBody, check_range
from stage_in.transfer.s3_status import SlowDownError, check_s3_status
from stage_in.transfer.session import Session
from stage_in.transfer.signing import S3Keys, SigningAuth
from stage_in.urls import redact

MAX_REFUSALS = 5  # in a row, before any success
MAX_REFUSED_RANGES = 2  # in a row; the third attempt requests the whole object


class S3Client:
    """Makes requests for the objects of a bucket. It may be used from several threads.

    The platform's two endpoints hold the same objects, and for minutes one of them may be down or
    refuse keys that the other accepts. So after each such failure the next request goes to another
    endpoint, or is signed for another region.

    Attributes:
        pacing: grants the download slots.
        latency: the least seconds between a request and its answer so far.
        ignores_ranges: whether the server has sent a whole object where a part was requested, or
            does not answer such requests.
    """

    def __init__(
        self,
        keys: S3Keys,
        bucket: str,
        pacing: Pacing,
        *,
        connections: int,
        stall_timeout: float = STALL_TIMEOUT,
    ) -> None:
        """Prepare a client; nothing is requested yet.

        Args:
            keys: sign the requests.
            bucket: holds the objects.
            pacing: limits the number of requests.
            connections: how many connections are kept open.
            stall_timeout: seconds without a byte after which a connection is closed.
        """
        self._keys = keys
        self._bucket = bucket
        self.pacing = pacing
        self._stall_timeout = stall_timeout
        self._session = Session(stall_timeout, connections)
        self._addresses = [
            (endpoint, region) for region in keys.regions for endpoint in keys.endpoints
        ]
        self.latency = math.inf
        self.ignores_ranges = False
        self._refusals = 0
        self._refused_ranges = 0  # in a row
        self._accepted = False
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        """The URL below which the next object is requested."""
        return self._addresses[0][0]

    @property
    def variable(self) -> str:
        """The environment variable that the access key comes from."""
        return self._keys.variable

    @contextmanager
    def get(
        self,
        key: str,
        arrivals: Arrivals,
        start: int = 0,
        end: int | None = None,
        size: int | None = None,
    ) -> Iterator[ResponseBody]:
        """Open an object, or a part of it, as chunks.

        Args:
            key: the object.
            arrivals: counts the bytes of the product that it belongs to.
            start: the first byte. The body may start at 0 nevertheless.
            end: the byte after the last; None for all up to the end.
            size: bytes of the whole object, if they are known.

        Raises:
            StageInError: the kind depends on the failure; UnauthorizedError if it is refused.
        """
        headers = {}
        is_part = bool(start) or end is not None
        if is_part and self._refused_ranges < MAX_REFUSED_RANGES:
            headers = {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        # Each part counts by itself, as it starts somewhere inside of the object.
        label, offset = (key, 0) if end is None else (f"{key} from {start}", start)

        def on_bytes(_: str, position: int) -> None:
            arrivals.record(label, position - offset)

        with self._open(f"/{quote(key)}", arrivals.turn, headers) as (response, url):
            first = 0
            if response.status_code != HTTPStatus.PARTIAL_CONTENT:
                self.ignores_ranges |= bool(headers)
            else:
                with self._noting_refused_range(headers):
                    found = check_range(response, url, first := start, end)
                self._refused_ranges = 0
                if size not in {None, found}:
                    raise VerificationError(
                        f"the server must send {size} bytes of {redact(url)}, but announced {found}"
                    )
            yield ResponseBody(response, url, first, on_bytes, self._stall_timeout)

    @contextmanager
    def list(self, query: Mapping[str, str], turn: int = 0) -> Iterator[ResponseBody]:
        """Open a page of the list of the bucket's objects.

        Args:
            query: the parameters of ListObjectsV2.
            turn: as for `Pacing.slot`.

        Raises:
            StageInError: as for `get`.
        """
        with self._open(f"?{urlencode(query, quote_via=quote)}", turn) as (response, url):
            yield ResponseBody(response, url, stall_timeout=self._stall_timeout)

    def explain(self, error: UnauthorizedError) -> StageInError:
        """Return what a refusal means for the run.

        Keys that were accepted before are refused for a while only. Keys that are refused from the
        first request on may be new, or wrong.
        """
        if self._accepted:
            return TemporaryError(f"keys that were accepted before are refused: {error}")
        if self._refusals < MAX_REFUSALS:
            return TemporaryError(f"the keys are refused: {error}")
        return CredentialsError(
            f"the keys in {self._keys.variable} were refused {self._refusals} times in a row: "
            f"{error}. Check both keys of the pair and whether it has expired; keys made just now "
            "take some seconds to work"
        )

    @contextmanager
    def _open(
        self, rest: str, turn: int, headers: Mapping[str, str] | None = None
    ) -> Iterator[tuple[requests.Response, str]]:
        address = self._addresses[0]
        endpoint, region = address
        url = f"{endpoint}/{self._bucket}{rest}"
        auth = SigningAuth(self._keys, region)
        with self.pacing.slot(turn) as granted:
            try:
                response = self._session.open(url, auth, headers)
                with self._noting_refused_range(headers or {}):
                    check_s3_status(response, url, self._stall_timeout)
            except BusyError:  # the user has as many requests at the other endpoint
                raise
            except (UnauthorizedError, TemporaryError) as error:
                if isinstance(error, SlowDownError):
                    self.pacing.slow_down()
                self._turn_away_from(address, is_refusal=isinstance(error, UnauthorizedError))
                raise
            with closing(response):
                granted()
                self.latency = min(self.latency, self.pacing.latency)
                self._keep_region(region)
                yield response, url

    @contextmanager
    def _noting_refused_range(self, headers: Mapping[str, str]) -> Iterator[None]:
        """Count the failures that a request with a range may owe to the range.

        Some proxies refuse ranges, or drop the header that tells which part a body is.
        """
        try:
            yield
        except VerificationError:
            with self._lock:
                self._refused_ranges += bool(headers)
                self.ignores_ranges |= self._refused_ranges >= MAX_REFUSED_RANGES
            raise

    def _turn_away_from(self, address: tuple[str, str], *, is_refusal: bool) -> None:
        """Use the next endpoint, or the next region once every endpoint has failed."""
        with self._lock:
            self._refusals += is_refusal
            if self._addresses[0] == address:  # otherwise another thread has done it
                self._addresses = [*self._addresses[1:], address]

    def _keep_region(self, region: str) -> None:
        with self._lock:
            if not self._accepted:
                self._accepted = True
                self._addresses = [x for x in self._addresses if x[1] == region]
