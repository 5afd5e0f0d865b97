"""The token endpoint of the platform's identity provider (OpenID Connect)."""

import json
from contextlib import closing
from http import HTTPStatus
from typing import Any

from stage_in.errors import CredentialsError, TemporaryError, VerificationError
from stage_in.secrets import excerpt, register
from stage_in.transfer.auth import NoAuth
from stage_in.transfer.environment import check_proxy
from stage_in.transfer.response import ResponseBody, translated_errors
from stage_in.transfer.session import CONNECT_TIMEOUT, Session
from stage_in.urls import redact

_MAX_ANSWER_SIZE = 256 * 1024  # bytes; real answers have 5 KB
_REJECTED = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def request_token(url: str, fields: dict[str, str]) -> dict[str, Any]:
    """Post a form to the token endpoint, without following redirects.

    Returns:
        The JSON object that it answers.

    Raises:
        CredentialsError: the endpoint rejects the form.
        TemporaryError: it can't be reached, or answers something else.
        UsageError: the proxy on the way can't be used.
    """
    check_proxy(url)
    try:
        with translated_errors(url), Session() as session:
            response = session.post(
                url,
                data=fields,
                auth=NoAuth(),
                stream=True,
                allow_redirects=False,
                timeout=(CONNECT_TIMEOUT, CONNECT_TIMEOUT),
            )
        with closing(response):
            body = ResponseBody(response, url, stall_timeout=CONNECT_TIMEOUT)
            content = body.read(_MAX_ANSWER_SIZE)
    except VerificationError as error:
        raise TemporaryError(f"the token endpoint gave no valid answer: {error}") from error
    try:
        answer: dict[str, Any] = dict(json.loads(content))
    except (TypeError, ValueError, RecursionError):
        answer = {}
    register(*(str(value) for name, value in answer.items() if name.endswith("_token")))
    if response.status_code in _REJECTED:
        reason = answer.get("error_description") or answer.get("error") or "no reason given"
        raise CredentialsError(
            f"the token endpoint {redact(url)} refuses: {excerpt(reason, 200)}. Check "
            "CDSE_USERNAME and CDSE_PASSWORD, or set a new CDSE_REFRESH_TOKEN or CDSE_ACCESS_TOKEN"
        )
    if response.status_code != HTTPStatus.OK:
        raise TemporaryError(f"status {response.status_code} from the token endpoint {redact(url)}")
    return answer
