"""The user's credentials: where they come from, and how the access token is renewed."""

import threading
from collections.abc import Mapping
from typing import Self

from loguru import logger

from stage_in.errors import CredentialsError, TemporaryError
from stage_in.transfer.token import Token
from stage_in.transfer.token_endpoint import request_token
from stage_in.transfer.trust import Trust

CLIENT_ID = "cdse-public"  # CDSE documentation, APIs, "Token generation"


class Credentials:
    """The secrets of the user's account, and the access token obtained with them.

    The object may be used from several threads: a token is renewed once for all of them.
    """

    def __init__(
        self,
        trust: Trust,
        *,
        access_token: str = "",
        refresh_token: str = "",
        username: str = "",
        password: str = "",
        totp: str = "",
    ) -> None:
        self._trust = trust
        self._access: Token | None = Token.parse(access_token) if access_token else None
        self._refresh: Token | None = Token.parse(refresh_token) if refresh_token else None
        if self._access is not None and self._access.is_refresh_token:
            self._access, self._refresh = None, self._access
        self._username = username
        self._password = password
        self._totp = totp
        self._totp_used = False
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], trust: Trust) -> Self:
        """Read the secrets from environment variables.

        Raises:
            CredentialsError: there is no token and nothing to obtain one with, or a variable can't
                be a secret.
        """
        names = ("ACCESS_TOKEN", "REFRESH_TOKEN", "USERNAME", "PASSWORD", "TOTP")
        found = {name.lower(): read_secret(environment, f"CDSE_{name}") for name in names}
        can_log_in = found["username"] and found["password"]
        if not (found["access_token"] or found["refresh_token"] or can_log_in):
            raise CredentialsError(
                "expected a token, found none. Set CDSE_ACCESS_TOKEN to a token of your Copernicus "
                "Data Space account, which the command cdse-token prints, or set CDSE_USERNAME and "
                "CDSE_PASSWORD"
            )
        return cls(trust, **found)

    def use_one_time_code(self) -> None:
        """Log in now if there is a one-time code and no usable token: codes expire in seconds.

        Raises:
            CredentialsError: user, password or code are wrong.
            TemporaryError: the token endpoint can't be reached.
        """
        if self._totp and not self._totp_used and (self._access is None or self._access.is_stale):
            self.access_token()

    def access_token(self) -> str:
        """Return an access token that has not expired; a stale one is renewed first if possible.

        Raises:
            CredentialsError: it has expired and can't be renewed, or the token endpoint rejects
                the credentials.
            TemporaryError: the token endpoint can't be reached.
        """
        with self._lock:
            if (
                self._access is None
                or self._access.is_expired
                or (self._access.is_stale and self._is_renewable)
            ):
                self._access = self._renew()
            return self._access.value

    @property
    def refresh_token(self) -> str:
        """The refresh token that came with the access token, or ""."""
        return self._refresh.value if self._refresh is not None else ""

    def refused(self, token: str) -> None:
        """Record that the service has rejected an access token: the next request uses a new one.

        A token that has not expired and can't be renewed stays in use, because the service
        sometimes rejects valid tokens.

        Raises:
            CredentialsError: the token has expired and can't be renewed.
        """
        with self._lock:
            if self._access is None or self._access.value != token:
                return  # another thread has already reported it
            if self._is_renewable:
                self._access = None
            elif self._access.is_expired:
                raise self._expired_error()

    @property
    def _is_renewable(self) -> bool:
        return (self._refresh is not None and not self._refresh.is_stale) or bool(
            self._username and self._password and not (self._totp and self._totp_used)
        )

    def _renew(self) -> Token:
        if not self._is_renewable:
            raise self._expired_error()
        if self._refresh is not None and not self._refresh.is_stale:
            try:
                return self._request(grant_type="refresh_token", refresh_token=self._refresh.value)
            except CredentialsError:
                self._refresh = None
                if not self._is_renewable:
                    raise
        totp = {"totp": self._totp} if self._totp else {}
        token = self._request(
            grant_type="password", username=self._username, password=self._password, **totp
        )
        self._totp_used = True
        return token

    def _request(self, **fields: str) -> Token:
        answer = request_token(self._trust.identity_url, {"client_id": CLIENT_ID, **fields})
        access = answer.get("access_token")
        if not isinstance(access, str) or not access or not _fits_header(access):
            raise TemporaryError("expected an access token from the token endpoint, found none")
        refresh = answer.get("refresh_token")
        if isinstance(refresh, str) and refresh:
            self._refresh = Token.parse(refresh)
        token = Token.parse(access)
        logger.debug("Received an access token that expires {}", token.expiry)
        return token

    def _expired_error(self) -> CredentialsError:
        token = self._access or self._refresh
        expiry = token.expiry if token is not None else "at an unknown time"
        is_refresh_token = token is not None and token.is_refresh_token
        kind = "refresh token" if is_refresh_token else "access token"
        return CredentialsError(
            f"the {kind} expired {expiry}. Set a new CDSE_ACCESS_TOKEN; or set CDSE_REFRESH_TOKEN, "
            "or CDSE_USERNAME and CDSE_PASSWORD, so that it can be renewed"
        )


def log_in(trust: Trust, username: str, password: str, totp: str) -> tuple[str, str]:
    """Log in with a password.

    Returns:
        An access token and a refresh token.

    Raises:
        CredentialsError: user, password or one-time code are wrong.
        TemporaryError: the token endpoint can't be reached.
    """
    credentials = Credentials(trust, username=username, password=password, totp=totp)
    access = credentials.access_token()
    return access, credentials.refresh_token


def read_secret(environment: Mapping[str, str], name: str) -> str:
    """Return a secret without surrounding white space, which copying adds; "" if it is not set.

    Raises:
        CredentialsError: it can't be sent in a header, or is a workflow runner's placeholder.
    """
    secret = environment.get(name, "").strip()
    if secret.startswith("(secret-"):
        # https://github.com/Duke-GCB/calrissian/issues/145
        raise CredentialsError(
            f"{name} holds a workflow runner's placeholder for a secret, not the secret itself. "
            "This runner does not support the cwltool:Secrets hint: run the tool without the hint"
        )
    if name.endswith("TOKEN") and not _fits_header(secret):
        raise CredentialsError(
            f"expected printable ASCII without white space in {name}, found other characters among "
            f"its {len(secret)}. Copy the token again"
        )
    return secret


def _fits_header(secret: str) -> bool:
    """Tell whether a secret can be sent in a header."""
    return secret.isascii() and secret.isprintable() and " " not in secret
