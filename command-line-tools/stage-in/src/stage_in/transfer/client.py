"""Requests to the platform: redirects and time-outs of one request, without retries."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http import HTTPStatus
from urllib.parse import urljoin

import requests
from requests.auth import AuthBase

from stage_in.errors import ProductError, VerificationError
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.auth import BearerAuth, NoAuth, TokenSource, TrustedAuth
from stage_in.transfer.pacing import Pacing
from stage_in.transfer.response import STALL_TIMEOUT, ResponseBody, check_range
from stage_in.transfer.session import Session
from stage_in.transfer.status import check_status
from stage_in.transfer.trust import Trust
from stage_in.urls import get_origin, redact

MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}


class Client:
    """Makes requests to the platform. It may be used from several threads.

    All downloads share one pool of connections, because the platform may count connections rather
    than requests; what it does not count has a pool of its own.

    Attributes:
        pacing: grants the download slots.
        stall_timeout: seconds without a byte after which a connection is closed.
    """

    def __init__(
        self,
        trust: Trust,
        tokens: TokenSource,
        pacing: Pacing,
        *,
        stall_timeout: float = STALL_TIMEOUT,
        arrivals: Arrivals | None = None,
    ) -> None:
        """Prepare a client; nothing is requested yet.

        Args:
            trust: which origins may receive the token.
            tokens: provides the token.
            pacing: limits the number of downloads.
            stall_timeout: seconds without a byte after which a connection is closed.
            arrivals: counts the bytes of documents.
        """
        self._trust = trust
        self._tokens = tokens
        self.pacing = pacing
        self.stall_timeout = stall_timeout
        self._arrivals = arrivals or Arrivals()
        self._documents = Session(stall_timeout)
        self._downloads = Session(stall_timeout)

    @contextmanager
    def get(self, url: str) -> Iterator[ResponseBody]:
        """Open a document that any host may serve, without credentials: a STAC item.

        Raises:
            StageInError: the kind depends on the failure.
        """
        with closing(self._follow(self._documents, url, NoAuth())) as response:
            yield self._body(response, url)

    @contextmanager
    def get_listing(self, url: str) -> Iterator[ResponseBody]:
        """Open what the platform serves without a token; each redirect must stay trusted.

        Raises:
            StageInError: the kind depends on the failure.
        """
        auth = TrustedAuth(self._trust)
        with closing(self._follow(self._documents, url, auth)) as response:
            yield self._body(response, url)

    @contextmanager
    def download(
        self, url: str, start: int = 0, arrivals: Arrivals | None = None
    ) -> Iterator[ResponseBody]:
        """Open what the platform serves for a token; each redirect must stay trusted.

        The platform limits how many of these a user may have open, so this waits for a slot first.

        Args:
            url: the file.
            start: how many bytes of it have arrived already. The body may start at 0 nevertheless.
            arrivals: counts the bytes of the product that the file belongs to.

        Raises:
            StageInError: the kind depends on the failure.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        auth = BearerAuth(self._trust, self._tokens)
        arrivals = arrivals or self._arrivals
        with (
            self.pacing.slot(arrivals.turn) as granted,
            closing(self._follow(self._downloads, url, auth, headers)) as response,
        ):
            granted()
            partial = response.status_code == HTTPStatus.PARTIAL_CONTENT
            if partial:
                check_range(response, url, start)
            first = start if partial else 0
            yield ResponseBody(response, url, first, arrivals.record, self.stall_timeout)

    def _body(self, response: requests.Response, url: str) -> ResponseBody:
        return ResponseBody(response, url, 0, self._arrivals.record, self.stall_timeout)

    def _follow(
        self,
        session: Session,
        url: str,
        auth: AuthBase,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        location = url
        for _ in range(MAX_REDIRECTS + 1):
            response = session.open(location, auth, headers)
            if response.status_code not in _REDIRECTS:
                check_status(response, location, self._tokens, self.stall_timeout)
                return response
            response.close()
            location = _join_location(location, response.headers.get("Location", ""))
        raise VerificationError(
            f"there were more than {MAX_REDIRECTS} redirects from {redact(url)}"
        )


def _join_location(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
        origin = get_origin(target)
    except (ProductError, ValueError) as error:
        raise VerificationError(f"can't follow a redirect of {redact(url)}: {error}") from error
    if url.lower().startswith("https:") and not origin.startswith("https:"):
        raise VerificationError(
            f"redirects of {redact(url)} must stay on https, but one leads to {redact(target)}"
        )
    return target
