"""The token endpoint of the platform's identity provider (OpenID Connect)."""

from http import HTTPStatus
from typing import Any

from stage_in.errors import CredentialsError, TemporaryError
from stage_in.secrets import excerpt
from stage_in.transfer.auth import NoAuth
from stage_in.transfer.exchange import exchange
from stage_in.urls import redact

_REJECTED = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def request_token(url: str, fields: dict[str, str], remedy: str) -> dict[str, Any]:
    """Post a form to the token endpoint, without following redirects.

    Args:
        url: the token endpoint.
        fields: the form.
        remedy: what the user can do if the endpoint rejects it.

    Returns:
        The JSON object that it answers.

    Raises:
        CredentialsError: the endpoint rejects the form.
        TemporaryError: it can't be reached, or answers something else.
        UsageError: the proxy on the way can't be used.
    """
    status, answer = exchange("POST", url, NoAuth(), data=fields)
    if status in _REJECTED:
        reason = answer.get("error_description") or answer.get("error") or "no reason given"
        raise CredentialsError(
            f"the token endpoint {redact(url)} refuses the login: {excerpt(reason, 200)}. {remedy}"
        )
    if status != HTTPStatus.OK:
        raise TemporaryError(f"status {status} from the token endpoint {redact(url)}")
    return answer
