"""One request to a service that answers in JSON, without retries and redirects."""

import json
import re
from contextlib import closing, suppress
from typing import Any

from requests.auth import AuthBase

from stage_in.errors import TemporaryError, VerificationError
from stage_in.secrets import register
from stage_in.transfer.response import ResponseBody
from stage_in.transfer.session import Session

_MAX_ANSWER_SIZE = 256 * 1024  # bytes; real answers have 5 KB
# The fields of answers that hold secrets: tokens, and the secret key of the object store.
_SECRET = re.compile(r"\w+_token|secret")


def exchange(method: str, url: str, auth: AuthBase, **content: Any) -> tuple[int, dict[str, Any]]:
    """Send a request and read the answer, whose secrets are struck from all messages.

    Args:
        method: GET, POST or DELETE.
        url: where to send it.
        auth: adds what identifies the user.
        content: `data` for a form or `json`, as requests takes them.

    Returns:
        The status and the JSON object that came with it; an empty one for anything else.

    Raises:
        TemporaryError: the service can't be reached, or sends no valid answer.
        UsageError: the proxy on the way can't be used.
        StageInError: as `auth` raises it.
    """
    try:
        with (
            Session() as session,
            closing(session.open(url, auth, method=method, **content)) as response,
        ):
            text = ResponseBody(response, url).read(_MAX_ANSWER_SIZE)
    except VerificationError as error:
        raise TemporaryError(f"the service gave no valid answer: {error}") from error
    answer: Any = {}
    with suppress(ValueError, RecursionError):
        answer = json.loads(text)
    if not isinstance(answer, dict):
        answer = {}
    register(*(str(value) for name, value in answer.items() if _SECRET.fullmatch(name)))
    return response.status_code, answer
