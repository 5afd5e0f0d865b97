"""The body of one HTTP response, and the failures on the way to it."""

import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import requests
import urllib3

from stage_in.errors import (
    ProxyRefusedError,
    TemporaryError,
    UnknownHostError,
    UsageError,
    VerificationError,
)
from stage_in.machine import iterate_causes
from stage_in.secrets import excerpt
from stage_in.urls import redact

CHUNK_SIZE = 256 * 1024  # bytes; larger chunks are not faster
STALL_TIMEOUT = 60.0  # seconds without a byte after which a connection is closed
MIN_RATE = 1000.0  # bytes/s over that time, below which it is closed as well

PROXY_LOGIN = (
    "the proxy requires a login, or another one (status 407). Write user and password into the URL "
    "in HTTPS_PROXY or HTTP_PROXY: http://user:password@proxy.example:3128"
)
_SOCKS_LOGIN = (
    "the proxy requires a login, or another one (SOCKS5). Write user and password into its URL: "
    "socks5h://user:password@proxy.example:1080"
)

_NUMBER = re.compile(r"\[Errno -?\d+\] ")
# The name does not exist, or has no address (POSIX has only the first).
_NO_SUCH_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}

# What comes of CONNECT if the proxy does not allow the host, is an ordinary server, or has no TLS.
# Some proxies answer 404 if the name of the host can't be resolved now.
_REFUSED_TUNNEL = re.compile(r"4(?!04|07|08|25|29)\d\d\b|\[SSL: WRONG_VERSION_NUMBER\]")
_OUT_OF_DATE = {9, 10}  # OpenSSL: X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED

# Called with a URL and the position, in bytes, up to which its file has arrived.
OnBytes = Callable[[str, int], None]


class ResponseBody:
    """The body of a response, as an iterator of chunks of at most 256 KiB.

    Each chunk is what has arrived so far. Waiting for full chunks would hang on a server that
    sends a byte now and then, because every byte restarts the socket's time-out.

    Attributes:
        start: how many bytes of the file come before the body.
        length: bytes announced by Content-Length; None if it is missing or the body is compressed.
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
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        known = encoding == "identity" and re.fullmatch("[0-9]{1,18}", length)
        self.length = int(length) if known else None
        self.media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()

    def __iter__(self) -> Iterator[bytes]:
        position = marked = self.start
        since = time.monotonic()
        with translated_errors(self._url):
            while chunk := self._response.raw.read1(CHUNK_SIZE, decode_content=True):
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
            TemporaryError: the connection breaks or stalls.
        """
        content = bytearray()
        for chunk in self:
            content += chunk
            if len(content) > limit:
                raise VerificationError(
                    f"the response from {redact(self._url)} must have at most {limit} bytes, but "
                    "has more"
                )
        return bytes(content)


def check_range(response: requests.Response, url: str, start: int, end: int | None = None) -> int:
    """Check that a partial body holds the bytes that were requested (RFC 9110, section 14.4).

    Args:
        response: the response, with status 206.
        url: what was requested, for the message.
        start: the first byte that was requested.
        end: the byte after the last that was requested; None for all up to the end.

    Returns:
        The size of the whole file.

    Raises:
        VerificationError: it holds other bytes.
    """
    content_range = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", content_range)
    if match is not None:
        first, last, size = map(int, match.groups())
        if first == start and last + 1 == min(size, size if end is None else end):
            return size
    raise VerificationError(
        f"the server must send bytes {start} to {end or 'the end'} of {redact(url)}, but sent "
        f"{excerpt(content_range, 80)!r}"
    )


@contextmanager
def translated_errors(url: str) -> Iterator[None]:
    """Translate the exceptions of requests and urllib3 into one line without secrets.

    Args:
        url: what is requested, for the message.

    Raises:
        TemporaryError: the connection can't be made, breaks or stalls.
        UnknownHostError: there is no such host.
        ProxyRefusedError: the proxy does not connect to this host.
        UsageError: the proxy requires a login.
        VerificationError: the URL or the response is invalid.
    """
    try:
        yield
    except requests.exceptions.ProxyError as error:
        reason = _find_reason(error)
        if "407" in reason.split():
            raise UsageError(PROXY_LOGIN) from error
        if _REFUSED_TUNNEL.match(reason):
            raise ProxyRefusedError(
                "the proxy that HTTPS_PROXY or HTTP_PROXY names refuses to connect to "
                f"{redact(url)} ({reason}). Ask its operator to allow the host, list the "
                "host in NO_PROXY, or correct the variable"
            ) from error
        raise _get_kind(error)(
            f"{reason} at the proxy that HTTPS_PROXY or HTTP_PROXY names, requesting {redact(url)}"
        ) from error
    except requests.exceptions.SSLError as error:
        raise TemporaryError(
            f"{_find_reason(error)} at {redact(url)}{_find_remedy(error)}"
        ) from error
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        urllib3.exceptions.LocationParseError,
    ) as error:
        raise VerificationError(f"the URL {redact(url)} is not valid") from error
    except urllib3.exceptions.DecodeError as error:
        raise VerificationError(f"the body of {redact(url)} can't be decoded") from error
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise TemporaryError(f"the request to {redact(url)} timed out") from error
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        if "SOCKS5 authentication" in _find_reason(error):
            raise UsageError(_SOCKS_LOGIN) from error
        raise _get_kind(error)(f"{_find_reason(error)} at {redact(url)}") from error
    except ValueError as error:  # the libraries raise it for malformed numbers and characters
        raise VerificationError(
            f"the HTTP response from {redact(url)} is not valid: {_find_reason(error)}"
        ) from error


def _get_kind(error: BaseException) -> type[TemporaryError]:
    """Return the kind of failure: a resolver that can't be reached answers EAI_AGAIN instead."""
    is_unknown = any(
        isinstance(cause, socket.gaierror) and cause.errno in _NO_SUCH_HOST
        for cause in iterate_causes(error)
    )
    return UnknownHostError if is_unknown else TemporaryError


def _find_remedy(error: BaseException) -> str:
    """Return a sentence on what the user can do about a certificate, if it is the reason."""
    for cause in iterate_causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            if cause.verify_code in _OUT_OF_DATE:
                now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
                return f". If it is not {now}, set the clock of this machine"
            return (
                ". If its certificate comes from a private authority, name the authority's "
                "certificate file in REQUESTS_CA_BUNDLE"
            )
    return ""


def _find_reason(error: BaseException) -> str:
    """Return the reason at the bottom of the exceptions that libraries wrap around each other."""
    while True:
        inner = getattr(error, "reason", None) or next(
            (arg for arg in reversed(error.args) if isinstance(arg, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            break
        error = inner
    if isinstance(error, urllib3.exceptions.IncompleteRead) and error.expected is not None:
        return f"the connection was closed {error.expected} bytes too early"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = _NUMBER.sub("", str(error).rpartition(": ")[2]) or type(error).__name__
    return excerpt(text, 200)
