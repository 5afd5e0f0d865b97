"""One HTTP response as chunks: redirects followed, time-outs set, errors translated; no retries."""

import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urljoin

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from stage_in.errors import (
    BusyError,
    CredentialsError,
    NotFoundError,
    ProductError,
    RefusedError,
    StageInError,
    TemporaryError,
    UnauthorizedError,
    UsageError,
    VerificationError,
)
from stage_in.transfer.pacing import Pacing
from stage_in.transfer.trust import Trust
from stage_in.urls import get_origin, redact

CHUNK = 256 * 1024  # bytes; larger ones gain nothing
CONNECT_TIMEOUT = 10.0  # seconds
STALL_TIMEOUT = 60.0  # seconds without a byte after which a connection is given up
MIN_RATE = 1000.0  # bytes/s over that time below which it is given up too
MAX_REDIRECTS = 5
MAX_EXPLANATION_SIZE = 4096  # bytes of an error
MAX_ANSWER_SIZE = 256 * 1024  # bytes of an answer of the token endpoint; real ones have 5 KB

_REDIRECTS = {301, 302, 303, 307, 308}
_MISSING = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
_REJECTED = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_UNAUTHORIZED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_TEMPORARY = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY}
# "Max session number exceeded", with its code and in the older wording.
_BUSY = re.compile(r"DAT-ZIP-100\b|session number", re.IGNORECASE)


# Called with a URL and up to which position, in bytes, its file has arrived.
OnBytes = Callable[[str, int], None]


class TokenSource(Protocol):
    """Where the access token comes from."""

    def access_token(self) -> str:
        """Return a token that can be used now."""

    def refused(self, token: str) -> None:
        """Be told that the service has refused a token.

        Raises:
            CredentialsError: there will be no other.
        """


class TrustedAuth(AuthBase):
    """Lets a request go to a trusted origin, and to no other."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Refuse to send a request elsewhere.

        Raises:
            VerificationError: its host isn't trusted.
        """
        # The URL is read here as it will be sent, after requests has rewritten it.
        url = request.url or ""
        if not self._trust.allows(url):
            raise VerificationError(
                "expected a host of the platform or one named in CDSE_TRUSTED_HOSTS, found "
                f"{redact(url)}: it is not asked, and your token has not been sent there"
            )
        return request


class BearerAuth(TrustedAuth):
    """Shows the access token to trusted origins."""

    def __init__(self, trust: Trust, tokens: TokenSource) -> None:
        super().__init__(trust)
        self._tokens = tokens

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header, or refuse to send the request at all.

        Raises:
            VerificationError: its host isn't trusted.
            CredentialsError: there is no token that can be used.
            TemporaryError: the token endpoint can't be reached.
        """
        request = super().__call__(request)
        request.headers["Authorization"] = f"Bearer {self._tokens.access_token()}"
        return request


class NoAuth(AuthBase):
    """Keeps requests from looking into `.netrc`, which it does where a request has no auth."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Let the request go as it is."""
        return request


class _Session(requests.Session):
    """A session that leaves redirects alone.

    Where it is not to follow them, requests makes the next request all the same: it reads the body
    of the redirect, however long that is, and stumbles over a Location that is none.
    """

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Say that there is none."""
        return None


class Body:
    """The body of a response, as an iterator of chunks of at most 256 KiB.

    Each chunk is what has arrived by now: to wait until one is full would be to hang on a server
    that sends a byte now and then, as every byte begins a time-out anew.

    Attributes:
        start: how many bytes of the file come before the first of these.
        length: bytes announced by Content-Length, or None; of a compressed body, too, as nobody
            knows then how many come out of it.
        media_type: the Content-Type, or "".
    """

    def __init__(
        self,
        response: requests.Response,
        url: str,
        start: int = 0,
        on_bytes: OnBytes = lambda url, position: None,
        stall_timeout: float = STALL_TIMEOUT,
    ) -> None:
        self._response = response
        self._url = url
        self._on_bytes = on_bytes
        self._stall_timeout = stall_timeout
        self.start = start
        length = response.headers.get("Content-Length", "")
        plain = response.headers.get("Content-Encoding", "identity").lower() == "identity"
        self.length = int(length) if plain and re.fullmatch("[0-9]{1,18}", length) else None
        self.media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()

    def __iter__(self) -> Iterator[bytes]:
        position = marked = self.start
        since = time.monotonic()
        with _translated(self._url):
            while chunk := self._response.raw.read1(CHUNK, decode_content=True):
                position += len(chunk)
                self._on_bytes(self._url, position)
                yield chunk
                now = time.monotonic()
                if now - since >= self._stall_timeout:
                    if position - marked < MIN_RATE * self._stall_timeout:
                        raise TemporaryError(
                            f"only {position - marked} bytes came from {redact(self._url)} in "
                            f"{now - since:.0f} s"
                        )
                    marked, since = position, now

    def read(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            VerificationError: it has more than `limit` bytes, or can't be decoded.
            TemporaryError: it breaks off or stalls.
        """
        content = bytearray()
        for chunk in self:
            content += chunk
            if len(content) > limit:
                raise VerificationError(
                    f"expected at most {limit} bytes, found more: {redact(self._url)}"
                )
        return bytes(content)


class Client:
    """Fetches from the platform, with a session of its own for each thread.

    Attributes:
        pacing: which hands out the places for downloads.
    """

    def __init__(
        self,
        trust: Trust,
        tokens: TokenSource,
        pacing: Pacing,
        *,
        stall_timeout: float = STALL_TIMEOUT,
        on_bytes: OnBytes = lambda url, position: None,
    ) -> None:
        """Set up.

        Args:
            trust: who may see the token.
            tokens: where it comes from.
            pacing: how many downloads now.
            stall_timeout: seconds without a byte after which a connection is given up.
            on_bytes: told of each chunk that arrives.
        """
        self._trust = trust
        self._tokens = tokens
        self.pacing = pacing
        self._timeouts = (min(CONNECT_TIMEOUT, stall_timeout), stall_timeout)
        self._stall_timeout = stall_timeout
        self._on_bytes = on_bytes
        self._local = threading.local()

    @contextmanager
    def get(self, url: str) -> Iterator[Body]:
        """Open what anybody may serve: a STAC item.

        Raises:
            StageInError: of the kind that the failure is.
        """
        with closing(self._follow(url, NoAuth())) as response:
            yield self._body(response, url)

    @contextmanager
    def get_listing(self, url: str) -> Iterator[Body]:
        """Open what the platform tells of a product without a token; every hop must be trusted.

        Raises:
            StageInError: of the kind that the failure is.
        """
        with closing(self._follow(url, TrustedAuth(self._trust))) as response:
            yield self._body(response, url)

    @contextmanager
    def download(self, url: str, start: int = 0) -> Iterator[Body]:
        """Open what the platform gives for a token; every hop must be trusted.

        These are the downloads that the platform counts: a place is waited for first.

        Args:
            url: what to fetch.
            start: how many bytes are there already. What comes may begin at 0 all the same.

        Raises:
            StageInError: of the kind that the failure is.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        auth = BearerAuth(self._trust, self._tokens)
        with (
            self.pacing.place() as granted,
            closing(self._follow(url, auth, headers)) as response,
        ):
            granted()
            partial = response.status_code == HTTPStatus.PARTIAL_CONTENT
            if partial:
                _check_range(response.headers.get("Content-Range", ""), start, url)
            yield self._body(response, url, start if partial else 0)

    def _body(self, response: requests.Response, url: str, start: int = 0) -> Body:
        return Body(response, url, start, self._on_bytes, self._stall_timeout)

    @property
    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            session = _Session()
            session.headers["User-Agent"] = _user_agent()
            session.headers["Accept-Encoding"] = "identity"
            session.mount("https://", HTTPAdapter(max_retries=0))
            session.mount("http://", HTTPAdapter(max_retries=0))
            self._local.session = session
        return cast(requests.Session, self._local.session)

    def _follow(
        self, url: str, auth: AuthBase, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        location = url
        for _ in range(MAX_REDIRECTS + 1):
            response = self._send(location, auth, headers)
            if response.status_code not in _REDIRECTS:
                self._check_status(response, location)
                return response
            response.close()
            location = _next_location(location, response.headers.get("Location", ""))
        raise VerificationError(
            f"expected at most {MAX_REDIRECTS} redirects, found more from {redact(url)}"
        )

    def _send(
        self, url: str, auth: AuthBase, headers: Mapping[str, str] | None
    ) -> requests.Response:
        with _translated(url):
            return self._session.get(
                url,
                auth=auth,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=self._timeouts,
            )

    def _check_status(self, response: requests.Response, url: str) -> None:
        status = response.status_code
        if status == HTTPStatus.OK or (
            status == HTTPStatus.PARTIAL_CONTENT and "Range" in response.request.headers
        ):
            return
        why = _explain(Body(response, url, stall_timeout=self._stall_timeout))
        message = f"status {status}{why} from {redact(url)}"
        retry_after = _read_retry_after(response.headers.get("Retry-After", ""))
        shown = response.request.headers.get("Authorization", "").removeprefix("Bearer ")
        response.close()
        if status == HTTPStatus.TOO_MANY_REQUESTS or _BUSY.search(message):
            # Of downloads, which a token is shown for, the count can be waited for.
            raise (BusyError if shown else TemporaryError)(message, retry_after)
        if status in _UNAUTHORIZED:
            if status == HTTPStatus.UNAUTHORIZED and shown:
                self._tokens.refused(shown)
            raise UnauthorizedError(message)
        if status in _MISSING:
            raise NotFoundError(message)
        if status in _TEMPORARY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise TemporaryError(message, retry_after)
        raise RefusedError(message)


def check_environment(environment: Mapping[str, str]) -> None:
    """Check the certificates and the proxies that requests takes from the environment.

    Raises:
        UsageError: a variable names no file of certificates, or no proxy.
    """
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := environment.get(name):
            _check_certificates(name, path)
            break  # requests takes the first that is set
    for scheme in ("http", "https", "all"):
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            if url := environment.get(name):
                _check_proxy(name, url)


def _check_certificates(name: str, path: str) -> None:
    try:
        if Path(path).is_dir():
            ssl.create_default_context(capath=path)
        else:
            ssl.create_default_context(cafile=path)
    except OSError as error:
        raise UsageError(
            f"expected certificates in the file that {name} names, found "
            f"{error.strerror or error} at {path}: name one that the tool can read, inside of its "
            "container if it runs in one"
        ) from error


def _check_proxy(name: str, url: str) -> None:
    """Check the URL of a proxy, which may hold a password: no message tells it."""
    try:
        parts = urllib3.util.parse_url(url if "://" in url else f"http://{url}")
    except urllib3.exceptions.LocationParseError:
        parts = urllib3.util.Url()
    if parts.scheme not in {"http", "https"} or not parts.host:
        raise UsageError(
            f"expected the URL of a proxy in {name}, such as http://proxy.example:3128, found "
            f"{f'one of {parts.scheme}' if parts.host else 'something else'}: write special "
            "characters of its user and password as %XX"
        )


def post_form(url: str, fields: dict[str, str]) -> dict[str, Any]:
    """Post a form to the token endpoint, and to nobody behind it; return the JSON that it answers.

    Raises:
        CredentialsError: it refuses what it was given.
        TemporaryError: it can't be reached, or answers something else.
    """
    try:
        with _translated(url), _Session() as session:
            response = session.post(
                url,
                data=fields,
                auth=NoAuth(),
                headers={"User-Agent": _user_agent()},
                stream=True,
                allow_redirects=False,
                timeout=(CONNECT_TIMEOUT, CONNECT_TIMEOUT),
            )
        with closing(response):
            content = Body(response, url, stall_timeout=CONNECT_TIMEOUT).read(MAX_ANSWER_SIZE)
    except VerificationError as error:
        raise TemporaryError(f"expected a short answer of the token endpoint: {error}") from error
    try:
        answer: dict[str, Any] = dict(json.loads(content))
    except (TypeError, ValueError, RecursionError):
        answer = {}
    if response.status_code in _REJECTED:
        why = str(answer.get("error_description") or answer.get("error") or "no reason given")
        raise CredentialsError(
            f"the token endpoint {redact(url)} refuses: {why[:200]}: check CDSE_USERNAME and "
            "CDSE_PASSWORD, or set a new CDSE_REFRESH_TOKEN or CDSE_ACCESS_TOKEN"
        )
    if response.status_code != HTTPStatus.OK:
        raise TemporaryError(f"status {response.status_code} from the token endpoint {redact(url)}")
    return answer


def _user_agent() -> str:
    return f"stage-in/{version('stage-in')}"


def _next_location(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
        origin = get_origin(target)
    except (ProductError, ValueError) as error:
        raise VerificationError(f"can't follow a redirect of {redact(url)}: {error}") from error
    if url.lower().startswith("https:") and not origin.startswith("https:"):
        raise VerificationError(
            f"expected redirects of {redact(url)} to stay on https, found one to {redact(target)}"
        )
    return target


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Turn what requests raises into an error of ours, in one line that can't hold a secret."""
    try:
        yield
    except requests.exceptions.ProxyError as error:
        raise TemporaryError(
            f"{_reason(error)} at the proxy that HTTPS_PROXY or HTTP_PROXY names, on the way to "
            f"{redact(url)}"
        ) from error
    except requests.exceptions.SSLError as error:
        raise TemporaryError(
            f"{_reason(error)} at {redact(url)}: if it has a certificate of an authority of its "
            "own, name the authority's file in REQUESTS_CA_BUNDLE"
        ) from error
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        urllib3.exceptions.LocationParseError,
    ) as error:
        raise VerificationError(f"expected a URL that can be asked, found {redact(url)}") from error
    except urllib3.exceptions.DecodeError as error:
        raise VerificationError(f"the body of {redact(url)} can't be decoded") from error
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise TemporaryError(f"nothing came from {redact(url)} in time") from error
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        raise TemporaryError(f"{_reason(error)} at {redact(url)}") from error
    except ValueError as error:  # of the libraries, by numbers and characters that are none
        raise VerificationError(
            f"expected an answer in HTTP of {redact(url)}: {_reason(error)}"
        ) from error


def _reason(error: BaseException) -> str:
    """Find what went wrong below the layers of libraries that report it."""
    while True:
        inner = getattr(error, "reason", None) or next(
            (arg for arg in reversed(error.args) if isinstance(arg, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            break
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).rpartition(": ")[2] or type(error).__name__
    return re.sub(r"\s+", " ", text)[:200]


def _check_range(content_range: str, start: int, url: str) -> None:
    """Check that a partial body is the rest that was asked for (RFC 9110, section 14.4)."""
    match = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", content_range)
    if match is None or int(match[1]) != start or int(match[2]) + 1 != int(match[3]):
        raise VerificationError(
            f"expected bytes {start} to the end of {redact(url)}, found {content_range[:80]!r}"
        )


def _explain(body: Body) -> str:
    """Return what the service says in the body of an error, such as ` (DAT-ZIP-604 Token …)`."""
    try:
        fields = json.loads(body.read(MAX_EXPLANATION_SIZE))
        text = f"{fields['code']} {fields['message']}"
    except (StageInError, ValueError, LookupError, TypeError, RecursionError):
        return ""
    return f" ({re.sub(r'[^ -~]+', ' ', text)[:200].strip()})"


def _read_retry_after(value: str) -> float | None:
    """Read a Retry-After header, seconds or a date (RFC 9110, section 10.2.3)."""
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError, OverflowError):
        return None
