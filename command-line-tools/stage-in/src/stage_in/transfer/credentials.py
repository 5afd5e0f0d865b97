"""Where tokens come from, when they age, and how they are renewed."""

import base64
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from loguru import logger

from stage_in.errors import CredentialsError, TemporaryError
from stage_in.transfer.client import post_form
from stage_in.transfer.trust import Trust

CLIENT_ID = "cdse-public"  # CDSE documentation, APIs, "Token generation"
MARGIN = 30.0  # seconds before its end at which a token is renewed, or a tenth of its life if less
HOW_TO_GET_ONE = (
    "set CDSE_ACCESS_TOKEN to a token of your Copernicus Data Space account, which the command "
    "cdse-token prints, or CDSE_USERNAME and CDSE_PASSWORD"
)


@dataclass(frozen=True)
class Token:
    """A token as the service's identity provider issues it.

    Attributes:
        value: what is shown; not part of the representation.
        issued: seconds since 1970, or 0 where it isn't known.
        expires: seconds since 1970, or infinity where it isn't known.
        kind: the claim `typ`: `Bearer` of access tokens, `Refresh` or `Offline` of refresh tokens.
    """

    value: str
    issued: float
    expires: float
    kind: str

    @classmethod
    def read(cls, value: str) -> Self:
        """Read what a token says of itself, without checking its signature.

        A token that isn't a JSON Web Token (RFC 7519) is taken for an access token without end.
        """
        claims: Any = {}
        try:
            payload = value.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            return cls(
                value,
                float(claims.get("iat", 0)),
                float(claims.get("exp") or "inf"),  # 0 of tokens without end, by older Keycloaks
                str(claims.get("typ", "")),
            )
        except (
            *(ValueError, LookupError, TypeError, AttributeError, RecursionError),
            OverflowError,  # of a number that is too large for any clock
        ):
            return cls(value, 0.0, float("inf"), "")

    @property
    def refreshes(self) -> bool:
        """Whether it is a refresh token."""
        return self.kind in {"Refresh", "Offline"}

    @property
    def aged(self) -> bool:
        """Whether it has ended, or is so near to it that it may end on its way."""
        margin = min(MARGIN, 0.1 * max(self.expires - self.issued, 0.0))
        return time.time() > self.expires - margin

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return time.time() > self.expires

    @property
    def end(self) -> str:
        """When it ends or ended, for a person."""
        try:
            return f"{datetime.fromtimestamp(self.expires, UTC):%Y-%m-%d %H:%M:%S} UTC"
        except (ValueError, OverflowError, OSError):  # infinity, or a year that no calendar has
            return "at an unknown time"

    def __repr__(self) -> str:
        return f"Token(kind={self.kind!r}, expires={self.end!r})"


class Credentials:
    """The account's secrets, and the access token that they give.

    Safe to use from several threads: a token is renewed once for all of them.
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
        self._access: Token | None = Token.read(access_token) if access_token else None
        self._refresh: Token | None = Token.read(refresh_token) if refresh_token else None
        if self._access is not None and self._access.refreshes:
            self._access, self._refresh = None, self._access
        self._username = username
        self._password = password
        self._totp = totp
        self._spent = False
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], trust: Trust) -> Self:
        """Read the secrets from the environment.

        Raises:
            CredentialsError: there is no token and nothing to get one by, or something that can't
                be a secret.
        """
        names = ("ACCESS_TOKEN", "REFRESH_TOKEN", "USERNAME", "PASSWORD", "TOTP")
        found = {name.lower(): read_secret(environment, f"CDSE_{name}") for name in names}
        logs_in = found["username"] and found["password"]
        if not (found["access_token"] or found["refresh_token"] or logs_in):
            raise CredentialsError(f"expected a token, found none: {HOW_TO_GET_ONE}")
        return cls(trust, **found)

    def spend_code(self) -> None:
        """Get a token now where a one-time code is given and no good one: it is good for seconds.

        Raises:
            CredentialsError: user, password or code are wrong.
            TemporaryError: the token endpoint can't be reached.
        """
        if self._totp and not self._spent and (self._access is None or self._access.aged):
            self.access_token()

    def access_token(self) -> str:
        """Return an access token that has not ended, renewed before that where it can be.

        Raises:
            CredentialsError: it has ended, and nothing is there to renew it by, or the token
                endpoint refuses.
            TemporaryError: the token endpoint can't be reached.
        """
        with self._lock:
            if (
                self._access is None
                or self._access.ended
                or (self._access.aged and self._renewable)
            ):
                self._access = self._renew()
            return self._access.value

    @property
    def refresh_token(self) -> str:
        """The refresh token that came with the access token, or empty."""
        return self._refresh.value if self._refresh is not None else ""

    def refused(self, token: str) -> None:
        """Be told that the service has refused an access token: the next one will be another.

        A token that hasn't ended and can't be renewed is kept: the service is known to refuse good
        ones now and then.

        Raises:
            CredentialsError: it has ended, and nothing is there to renew it by.
        """
        with self._lock:
            if self._access is None or self._access.value != token:
                return  # another thread has seen to it
            if self._renewable:
                self._access = None
            elif self._access.ended:
                raise self._ended()

    @property
    def _renewable(self) -> bool:
        return (self._refresh is not None and not self._refresh.aged) or bool(
            self._username and self._password and not (self._totp and self._spent)
        )

    def _renew(self) -> Token:
        if not self._renewable:
            raise self._ended()
        if self._refresh is not None and not self._refresh.aged:
            try:
                return self._request(grant_type="refresh_token", refresh_token=self._refresh.value)
            except CredentialsError:
                self._refresh = None
                if not self._renewable:
                    raise
        totp = {"totp": self._totp} if self._totp else {}
        token = self._request(
            grant_type="password", username=self._username, password=self._password, **totp
        )
        self._spent = True
        return token

    def _request(self, **fields: str) -> Token:
        answer = post_form(self._trust.identity_url, {"client_id": CLIENT_ID, **fields})
        access = answer.get("access_token")
        if not isinstance(access, str) or not access or not _is_plain(access):
            raise TemporaryError("expected an access token from the token endpoint, found none")
        refresh = answer.get("refresh_token")
        if isinstance(refresh, str) and refresh:
            self._refresh = Token.read(refresh)
        token = Token.read(access)
        logger.debug("Got an access token that ends {}", token.end)
        return token

    def _ended(self) -> CredentialsError:
        token = self._access or self._refresh
        end = token.end if token is not None else "at an unknown time"
        kind = "refresh token" if token is not None and token.refreshes else "access token"
        return CredentialsError(
            f"the {kind} ended {end}: set a new one in CDSE_ACCESS_TOKEN, or CDSE_REFRESH_TOKEN, "
            "or CDSE_USERNAME and CDSE_PASSWORD, by which it is renewed"
        )


def request_tokens(trust: Trust, username: str, password: str, totp: str) -> tuple[str, str]:
    """Log in.

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
    """Return a secret without the white space that copying leaves around it; empty if unset.

    Raises:
        CredentialsError: it could not be sent in a header, or is a runner's placeholder.
    """
    secret = environment.get(name, "").strip()
    if secret.startswith("(secret-"):
        # https://github.com/Duke-GCB/calrissian/issues/145
        raise CredentialsError(
            f"{name} holds a workflow runner's placeholder for a secret, not the secret: this "
            "runner doesn't resolve the cwltool:Secrets hint, so run the tool without it"
        )
    if name.endswith("TOKEN") and not _is_plain(secret):
        raise CredentialsError(
            f"{name}: expected printable ASCII without white space, found other characters among "
            f"its {len(secret)}: copy the token again"
        )
    return secret


def _is_plain(secret: str) -> bool:
    """Tell whether a secret can be sent in a header."""
    return secret.isascii() and secret.isprintable() and " " not in secret
