"""The status of a response: which failure each means, such as 429 for too many downloads."""

import json
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import requests

from stage_in.errors import (
    BusyError,
    NotFoundError,
    RefusedError,
    StageInError,
    TemporaryError,
    UnauthorizedError,
    UsageError,
)
from stage_in.secrets import excerpt
from stage_in.transfer.auth import TokenSource
from stage_in.transfer.response import PROXY_LOGIN, ResponseBody
from stage_in.urls import redact

MAX_EXPLANATION_SIZE = 4096  # bytes of the body of an error

_MISSING = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
_UNAUTHORIZED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_TEMPORARY = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY}
# "Max session number exceeded", with its code and in its older wording.
_BUSY = re.compile(r"DAT-ZIP-100\b|session number", re.IGNORECASE)


def check_status(
    response: requests.Response, url: str, tokens: TokenSource, stall_timeout: float
) -> None:
    """Check the status of a response; raise the failure that another status than 200 means.

    A 206 is accepted as the answer to a request with a range.

    Args:
        response: the response, whose body has not been read.
        url: what was requested, for the message.
        tokens: learns that the service has rejected a token (401).
        stall_timeout: seconds without a byte of the explanation after which it is given up.

    Raises:
        BusyError: too many downloads are open (429), for a request with a token.
        UnauthorizedError: 401 or 403.
        NotFoundError: 404 or 410.
        UsageError: the proxy requires a login (407).
        TemporaryError: 408, 425, 429 without a token, 5xx, or another 2xx than 200.
        RefusedError: any other status.
        CredentialsError: the token has expired and can't be renewed.
    """
    if has_content(response):
        return
    status = response.status_code
    explanation = _read_explanation(ResponseBody(response, url, stall_timeout=stall_timeout))
    message = f"status {status}{explanation} from {redact(url)}"
    retry_after = read_retry_after(response.headers)
    token = response.request.headers.get("Authorization", "").removeprefix("Bearer ")
    response.close()
    if status == HTTPStatus.TOO_MANY_REQUESTS or _BUSY.search(message):
        # Requests with a token are those for which the platform counts slots.
        raise (BusyError if token else TemporaryError)(message, retry_after)
    if status in _UNAUTHORIZED:
        refused = UnauthorizedError(message)
        if status == HTTPStatus.UNAUTHORIZED and token:
            tokens.refused(token, read_date(response.headers.get("Date", "")))
        if token:
            refused.add_note("The platform refused the access token: cdse-token prints a new one.")
        raise refused
    raise find_failure(status, message, retry_after)


def has_content(response: requests.Response) -> bool:
    """Tell whether a response holds what was requested: 200, or 206 for a request with a range."""
    return response.status_code == HTTPStatus.OK or (
        response.status_code == HTTPStatus.PARTIAL_CONTENT and "Range" in response.request.headers
    )


def find_failure(status: int, message: str, retry_after: float | None) -> StageInError:
    """Return the failure that a status means for any service and any credentials.

    Args:
        status: another than 200.
        message: what is known about it.
        retry_after: how many seconds the server asks to wait; None if it does not say.
    """
    if status in _MISSING:
        return NotFoundError(message)
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return UsageError(PROXY_LOGIN)
    if (
        status in _TEMPORARY
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        # Such as 202: the content comes later.
        or (status < HTTPStatus.MULTIPLE_CHOICES and status != HTTPStatus.PARTIAL_CONTENT)
    ):
        return TemporaryError(message, retry_after)
    return RefusedError(message)


def _read_explanation(body: ResponseBody) -> str:
    """Return the explanation in the body of an error, such as ` (DAT-ZIP-604 Token …)`."""
    try:
        fields = json.loads(body.read(MAX_EXPLANATION_SIZE))
        text = f"{fields['code']} {fields['message']}"
    except (StageInError, ValueError, LookupError, TypeError, RecursionError):
        return ""
    return f" ({excerpt(text, 200).strip()})"


def read_date(value: str) -> float:
    """Read a Date header (RFC 9110, section 6.6.1); this machine's time if there is none."""
    try:
        return parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return time.time()


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Read a Retry-After header: seconds or a date (RFC 9110, section 10.2.3).

    A date is compared with the server's clock, because this machine's may be wrong.
    """
    value = headers.get("Retry-After", "")
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value).timestamp()
        return max(until - read_date(headers.get("Date", "")), 0.0)
    except (TypeError, ValueError, OverflowError):
        return None
