"""The user's credentials: where they come from, and how the access token is renewed."""

import json
import re
import threading
import time
from collections.abc import Mapping
from typing import Self, TypeGuard

from stage_in.errors import CredentialsError, TemporaryError
from stage_in.logger import logger
from stage_in.secrets import PLACEHOLDERS, register, register_login
from stage_in.transfer.token import Token
from stage_in.transfer.token_endpoint import request_token
from stage_in.transfer.trust import Trust

CLIENT_ID = "cdse-public"  # CDSE documentation, APIs, "Token generation"
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1
# What people copy with a token.
_AROUND = " \t\r\n,;\"'\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}"
_CLOCK_TOLERANCE = 60.0  # seconds by which this machine's clock may differ without being mentioned


class Credentials:
    """The secrets of the user's account, and the access token obtained with them.

    The object may be used from several threads: a token is renewed once for all of them.

    Attributes:
        trust: which hosts may receive the secrets.
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
        login_remedy: str = "Check CDSE_USERNAME and CDSE_PASSWORD",
    ) -> None:
        """Parse the secrets, which may be "".

        If the platform rejects the login, the message ends with `login_remedy`.

        Raises:
            CredentialsError: one of them can't be sent.
        """
        for name, secret in (("user", username), ("password", password), ("code", totp)):
            _check_encoding(name, secret)
        register(access_token, refresh_token, totp)
        register_login(username, password)
        self.trust = trust
        self._access: Token | None = Token.parse(access_token) if access_token else None
        self._refresh: Token | None = Token.parse(refresh_token) if refresh_token else None
        if self._access is not None and self._access.is_refresh_token:
            self._access, self._refresh = None, self._access
        self._username = username
        self._password = password
        self._totp = totp
        self._totp_used = False
        self._login_remedy = login_remedy
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
                "there is no token. Set CDSE_ACCESS_TOKEN to a token of your Copernicus Data "
                "Space account, which the command cdse-token prints, or set CDSE_USERNAME and "
                "CDSE_PASSWORD. Downloads over S3 need CDSE_S3_ACCESS_KEY and CDSE_S3_SECRET_KEY "
                "instead; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY count only as a pair and "
                "with AWS_ENDPOINT_URL_S3"
            )
        return cls(trust, **found)

    @staticmethod
    def are_in(environment: Mapping[str, str]) -> bool:
        """Tell whether environment variables hold a token, or what to obtain one with."""
        sets = (("ACCESS_TOKEN",), ("REFRESH_TOKEN",), ("USERNAME", "PASSWORD"))
        return any(
            all(environment.get(f"CDSE_{name}", "").strip() for name in names) for names in sets
        )

    def use_one_time_code(self) -> None:
        """Log in now if there is a one-time code and no usable token: codes expire in seconds.

        Raises:
            CredentialsError: user, password or code are wrong.
            TemporaryError: the token endpoint can't be reached.
        """
        if self._totp and not self._totp_used and (self._access is None or self._access.is_stale):
            self.access_token()

    def access_token(self) -> str:
        """Return an access token; a stale one is renewed first if possible.

        A token that seems to have expired and can't be renewed is returned all the same: this
        machine's clock may be wrong, and the platform decides.

        Raises:
            CredentialsError: there is none, or the token endpoint rejects the credentials.
            TemporaryError: the token endpoint can't be reached.
        """
        with self._lock:
            if self._access is None or (self._access.is_stale and self._is_renewable):
                self._access = self._renew()
            return self._access.value

    @property
    def refresh_token(self) -> str:
        """The refresh token that came with the access token, or ""."""
        return self._refresh.value if self._refresh is not None else ""

    def refused(self, token: str, now: float) -> None:
        """Record that the service has rejected an access token: the next request uses a new one.

        A token that has not expired and can't be renewed stays in use, because the service
        sometimes rejects valid tokens.

        Args:
            token: the token.
            now: the time of the service's clock, in seconds since 1970.

        Raises:
            CredentialsError: the token has expired and can't be renewed.
        """
        with self._lock:
            if self._access is None or self._access.value != token:
                return  # another thread has already reported it
            if self._is_renewable:
                self._access = None
            elif self._access.is_expired(now):
                raise CredentialsError(
                    f"the access token expired {self._access.expiry}. Set a new CDSE_ACCESS_TOKEN, "
                    "or set CDSE_REFRESH_TOKEN, or CDSE_USERNAME and CDSE_PASSWORD, so that it can "
                    f"be renewed{describe_clock(now)}"
                )

    @property
    def _is_renewable(self) -> bool:
        return self._refresh is not None or bool(
            self._username and self._password and not (self._totp and self._totp_used)
        )

    def _renew(self) -> Token:
        register_login(self._username, self._password)  # it must outlast all renewed tokens
        if self._refresh is not None:
            register(self._refresh.value)
            try:
                return self._request(
                    "Set a new CDSE_REFRESH_TOKEN or CDSE_ACCESS_TOKEN",
                    grant_type="refresh_token",
                    refresh_token=self._refresh.value,
                )
            except CredentialsError:
                self._refresh = None
                if not self._is_renewable:
                    raise
        totp = {"totp": self._totp} if self._totp else {}
        token = self._request(
            self._login_remedy,
            grant_type="password",
            username=self._username,
            password=self._password,
            **totp,
        )
        self._totp_used = True
        return token

    def _request(self, remedy: str, **fields: str) -> Token:
        form = {"client_id": CLIENT_ID, **fields}
        answer = request_token(self.trust.identity_url, form, remedy)
        access = answer.get("access_token")
        refresh = answer.get("refresh_token")
        if not _is_token(access):
            raise TemporaryError("the answer of the token endpoint contains no access token")
        if _is_token(refresh):
            self._refresh = Token.receive(refresh)
        token = Token.receive(access)
        logger.debug("Received an access token that expires {}", token.expiry)
        return token


def _check_encoding(name: str, secret: str) -> None:
    try:
        secret.encode()
    except UnicodeEncodeError as error:
        raise CredentialsError(
            f"the {name} must be in UTF-8, but contains other bytes. Set it again where the "
            "terminal and the script that sets it use UTF-8"
        ) from error


def _is_token(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def read_secret(environment: Mapping[str, str], name: str) -> str:
    """Return a secret without surrounding white space, which copying adds; "" if it is not set.

    Raises:
        CredentialsError: it can't be sent in a header, or is a workflow runner's placeholder.
    """
    secret = environment.get(name, "").strip()
    if secret.startswith("(secret-"):
        # https://github.com/Duke-GCB/calrissian/issues/145
        raise CredentialsError(
            f"{name} contains a workflow runner's placeholder for a secret, not the secret itself. "
            "This runner does not support the cwltool:Secrets hint: run the tool without the hint"
        )
    return _read_token(secret, name) if name.endswith("_TOKEN") and secret else secret


def _read_token(text: str, name: str) -> str:
    """Return a token without what people copy with it: quotes, `Bearer`, a comma, the whole JSON.

    Raises:
        CredentialsError: what is left is not a token.
    """
    text = text.strip(_AROUND)
    if text.startswith("{"):
        key = name.removeprefix("CDSE_").lower()
        try:
            fields = json.loads(text)
            register(*(str(value) for name, value in fields.items() if name.endswith("_token")))
            text = str(fields[key])
        except (AttributeError, ValueError, LookupError, RecursionError) as error:
            raise CredentialsError(
                f"{name} must contain a token, but contains JSON without a {key}. Copy the token "
                "alone"
            ) from error
    text = re.sub(r"^(authorization:\s*)?bearer\s+", "", text, flags=re.IGNORECASE).strip(_AROUND)
    if text.startswith("$") or text.lower() in PLACEHOLDERS:
        found = "the name of another variable" if text.startswith("$") else repr(text)
        raise CredentialsError(
            f"{name} must contain a token, but contains {found}. Check the script that sets it"
        )
    if not _TOKEN.fullmatch(text):
        raise CredentialsError(
            f"{name} must contain a token, which has only letters, digits and ._~+/-=, but some of "
            f"its {len(text)} characters are others. Copy the token again"
        )
    return text


def describe_clock(now: float) -> str:
    """Return a sentence about this machine's clock if it differs from the platform's."""
    ahead = time.time() - now
    if abs(ahead) < _CLOCK_TOLERANCE:
        return ""
    direction = "ahead of" if ahead > 0 else "behind"
    return f". This machine's clock is {abs(ahead) / 60:.0f} minutes {direction} the platform's"
