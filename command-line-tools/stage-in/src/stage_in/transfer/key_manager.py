"""The platform's key manager, which issues the keys of the object store.

Nothing else talks to it. Its answers are those of its version 1.8, as the client of its operator
expects them (https://github.com/CloudFerro/eosdk, auth/s3_keys.py).
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, TypeGuard

from stage_in.errors import CredentialsError, NotFoundError, TemporaryError, UsageError
from stage_in.secrets import excerpt
from stage_in.transfer.auth import BearerAuth, TokenSource
from stage_in.transfer.exchange import exchange
from stage_in.transfer.trust import Trust
from stage_in.urls import redact

_KEY = re.compile(r"[!-~]{1,200}")  # what a header and a signature can hold
# Stricter than the platform may be: a name such as `..` would address something else.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}")
_DONE = {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT}
_REFUSED = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
# "Max number of credentials reached." with status 403. The wording is not documented.
_FULL = re.compile(r"\b(max(imum)?|limit|too many)\b", re.IGNORECASE)
_MAX_SHOWN = 20  # key pairs in a message


@dataclass(frozen=True)
class KeyPair:
    """A key pair that has just been created.

    Attributes:
        access_key: names the pair.
        secret_key: signs requests; the key manager shows it only this once.
        expiry: when the pair expires, for a message.
    """

    access_key: str
    secret_key: str = field(repr=False)
    expiry: str


class KeyManager:
    """Creates and deletes key pairs of the user's account."""

    def __init__(self, trust: Trust, tokens: TokenSource) -> None:
        """Prepare the client; nothing is requested yet.

        Args:
            trust: where the key manager is, and which origins may receive the token.
            tokens: provides the access token.

        Raises:
            UsageError: the environment names a key manager that is not trusted.
        """
        self._tokens = tokens
        self._url = trust.key_manager_url
        trust = trust.of_key_manager()
        if not trust.allows(self._url):
            raise UsageError(
                "CDSE_TRUSTED_HOSTS must name the origin of CDSE_S3_KEYS_URL as well, but does "
                f"not name that of {redact(self._url)}. No token was sent there"
            )
        self._auth = BearerAuth(trust, tokens)

    def create(self, days: int) -> KeyPair:
        """Create a key pair that expires after some days.

        It is requested only once, because a request whose answer is lost may have created a pair.

        Raises:
            CredentialsError: the account has as many as it may have, or the token is refused.
            TemporaryError: the key manager can't be reached, or sends no keys.
        """
        self._tokens.access_token()  # without one, nothing has been created
        expiry = datetime.now(UTC) + timedelta(days=days)
        try:
            return self._create(f"{expiry:%Y-%m-%dT%H:%M:%SZ}")
        except TemporaryError as error:
            raise TemporaryError(
                f"{error}. The key manager may nevertheless have created a key pair, which counts "
                "until it expires"
            ) from error

    def delete(self, access_key: str) -> None:
        """Delete a key pair.

        Raises:
            UsageError: this can't be an access key.
            NotFoundError: the account has no such key pair.
            CredentialsError: the token is refused.
            TemporaryError: the key manager can't be reached.
        """
        if not _NAME.fullmatch(access_key):
            raise UsageError(
                "--s3-delete needs the access key of a key pair, which has only letters, digits, "
                "- and _, but was given something else"
            )
        status, answer = self._exchange("DELETE", f"/access_id/{access_key}")
        if status == HTTPStatus.NOT_FOUND:
            raise NotFoundError(
                f"your account has no S3 key pair {access_key}. Name one of its access keys"
                f"{self._list()}"
            )
        self._check(status, answer)

    def _create(self, expiration_date: str) -> KeyPair:
        status, answer = self._exchange("POST", json={"expiration_date": expiration_date})
        if status in _REFUSED and _FULL.search(_explain(answer)):
            raise CredentialsError(
                f"your account has as many S3 key pairs as the platform allows{_explain(answer)}. "
                "Wait until one expires, or delete one that is no longer in use with cdse-token "
                f"--s3-delete{self._list()}"
            )
        self._check(status, answer)
        access_key, secret_key = answer.get("access_id"), answer.get("secret")
        if not (_is_key(access_key) and _is_key(secret_key)):
            raise TemporaryError(f"the answer of {redact(self._url)} contains no key pair")
        return KeyPair(access_key, secret_key, _read_date(answer.get("expiration_date", "")))

    def _list(self) -> str:
        """Return the names of the account's key pairs for a message, as far as they can be had."""
        try:
            _, answer = self._exchange("GET")
        except (CredentialsError, TemporaryError):
            return ""
        pairs = answer.get("credentials")
        shown = [
            f"{pair['access_id']} (expires {_read_date(pair.get('expiration_date', ''))})"
            for pair in (pairs if isinstance(pairs, list) else [])[:_MAX_SHOWN]
            if isinstance(pair, dict) and _is_key(pair.get("access_id"))
        ]
        return f": {', '.join(shown)}" if shown else ""

    def _exchange(self, method: str, path: str = "", **content: Any) -> tuple[int, dict[str, Any]]:
        return exchange(method, f"{self._url}{path}", self._auth, **content)

    def _check(self, status: int, answer: dict[str, Any]) -> None:
        if status in _DONE:
            return
        message = f"status {status}{_explain(answer)} from the key manager {redact(self._url)}"
        if status in _REFUSED:
            raise CredentialsError(f"{message}. It needs the login of a user with access to S3")
        raise TemporaryError(message)


def _is_key(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _KEY.fullmatch(value) is not None


def _explain(answer: dict[str, Any]) -> str:
    """Return the explanation of a refusal, such as ` (Max number of …)`."""
    detail = excerpt(answer.get("detail") or "", 200).strip(" .")
    return f" ({detail})" if detail else ""


def _read_date(value: object) -> str:
    """Return a date of the key manager for a message."""
    if value is None:
        return "never"
    try:
        date = datetime.fromisoformat(str(value))
        date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError):
        return "at an unknown time"
    return f"{date:%Y-%m-%d %H:%M} UTC"
