"""The status of a response of an object store: which failure each means."""

import re
import time
from contextlib import suppress
from http import HTTPStatus

import requests

from stage_in.errors import (
    BusyError,
    CredentialsError,
    RefusedError,
    StageInError,
    TemporaryError,
    UnauthorizedError,
)
from stage_in.transfer.credentials import describe_clock
from stage_in.transfer.response import ResponseBody
from stage_in.transfer.status import (
    find_failure,
    has_content,
    read_date,
    read_retry_after,
)
from stage_in.urls import redact

_REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
# Codes of refusals that some servers send with status 400.
_REFUSED_CODES = {
    *("AuthorizationHeaderMalformed", "InvalidAccessKeyId", "InvalidToken"),
    "SignatureDoesNotMatch",
}
_EXPIRED_CODES = {"ExpiredToken", "TokenRefreshRequired"}  # no retry helps
_SLOW_CODES = {"SlowDown", "ServiceUnavailable", "RequestLimitExceeded"}
_MAX_ERROR_SIZE = 64 * 1024  # bytes in which the code is searched for
_MIN_TIMESTAMP = 1e9  # a larger number of seconds is a time since 1970


class SlowDownError(TemporaryError):
    """The object store asks for fewer requests."""


def check_s3_status(response: requests.Response, url: str, stall_timeout: float) -> None:
    """Check the status of a response; raise the failure that another status than 200 means.

    A 206 is accepted as the answer to a request with a range. Redirects are refused.

    Args:
        response: the response, whose body has not been read.
        url: what was requested, for the message.
        stall_timeout: seconds without a byte of the explanation after which it is given up.

    Raises:
        BusyError: too many requests (429).
        SlowDownError: the code SlowDown, or another 503.
        CredentialsError: this machine's clock is wrong, or the session token has expired.
        UnauthorizedError: the keys, the region or the signature are refused.
        RefusedError: the server does not know this kind of request.
        StageInError: as for `find_failure`.
    """
    if has_content(response):
        return
    status = response.status_code
    code = _read_code(ResponseBody(response, url, stall_timeout=stall_timeout))
    headers = response.headers
    response.close()
    message = f"status {status}{f' ({code})' if code else ''} from {redact(url)}"
    if location := headers.get("Location"):
        message += (
            f", which redirects to {redact(location)}. A request is signed for one endpoint, so it "
            "is not redirected. If you trust the other endpoint, name it in AWS_ENDPOINT_URL_S3"
        )
    if code == "AuthorizationHeaderMalformed":
        message += ". The endpoint expects another region: set AWS_REGION"
    retry_after = read_retry_after(headers)
    if retry_after is None:
        retry_after = _read_reset(headers.get("x-ratelimit-reset", ""))
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise BusyError(message, retry_after)
    if code in _SLOW_CODES or status == HTTPStatus.SERVICE_UNAVAILABLE:
        raise SlowDownError(message, retry_after)
    if code == "RequestTimeTooSkewed":
        clock = describe_clock(read_date(headers.get("Date", "")))
        raise CredentialsError(
            f"{message}. The time in the signature differs too much from the server's. Set the "
            f"clock{clock}"
        )
    if code in _EXPIRED_CODES:
        raise CredentialsError(
            f"{message}. The session token has expired. Set AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN to new keys"
        )
    if status in _REFUSED or code in _REFUSED_CODES:
        raise UnauthorizedError(message)
    if status == HTTPStatus.NOT_IMPLEMENTED:
        raise RefusedError(message)
    raise find_failure(status, message, retry_after)


def _read_code(body: ResponseBody) -> str:
    """Return the code of an error, such as `NoSuchKey`; "" if the body has none.

    Some bodies are long, because they repeat the session token and what was to be signed. A code in
    what has arrived counts, even if the rest does not arrive.
    """
    document = bytearray()
    with suppress(StageInError):
        for chunk in body:
            document += chunk
            if len(document) > _MAX_ERROR_SIZE:
                break
    match = re.search(rb"<Code>\s*([A-Za-z0-9.]{1,80})\s*</Code>", document)
    return match[1].decode() if match else ""


def _read_reset(value: str) -> float | None:
    """Read a header x-ratelimit-reset: seconds from now on, or since 1970."""
    if not re.fullmatch(r"[0-9]{1,15}", value):
        return None
    seconds = float(value)
    return max(seconds - time.time(), 0.0) if seconds > _MIN_TIMESTAMP else seconds
