"""The identity service of CDSE, a Keycloak: it issues tokens to users and checks them.

The password and refresh grants for the public client follow the CDSE documentation (APIs, Token
generation); error responses follow Keycloak's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

CLIENT = "cdse-public"
AUDIENCE = "CLOUDFERRO_PUBLIC"
REALM = "/auth/realms/CDSE"
TOKEN_PATH = f"{REALM}/protocol/openid-connect/token"
DISCOVERY_PATH = f"{REALM}/.well-known/openid-configuration"

MISSING_TOKEN = 604
SCOPE = "AUDIENCE_PUBLIC openid email profile"


@dataclass(frozen=True)
class Account:
    """A user of the platform.

    Attributes:
        name: User name.
        password: Password.
        totp: One-time codes of the second factor; empty for an account without one.
    """

    name: str = "user"
    password: str = "secret"
    totp: tuple[str, ...] = ()


class TokenError(Exception):
    """The download service refuses a token.

    The codes 604, 609 and 109 are the platform's; 605, for a malformed token, is a guess. In
    recorded responses, only that for a missing token (604) has no trace-id.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.body = {"code": f"DAT-ZIP-{code}", "message": message}
        if code != MISSING_TOKEN:
            self.body = {"trace-id": uuid.uuid4().hex} | self.body


class Issuer:
    """Issues and checks tokens: JSON Web Tokens signed with HS256 (RFC 7519, RFC 7518).

    Attributes:
        url: URL of the realm, which is the tokens' ``iss``.
        token_life: Seconds for which an access token is valid.
        refresh_life: Seconds for which a refresh token is valid.
    """

    def __init__(
        self, url: str, accounts: Iterable[Account], token_life: float, refresh_life: float
    ) -> None:
        self.url = url
        self.token_life = token_life
        self.refresh_life = refresh_life
        self._accounts = {account.name: account for account in accounts}
        self._used_codes: set[tuple[str, str]] = set()
        self._key = secrets.token_bytes(32)
        self._expiries: dict[str, float] = {}

    def mint(self, user: str = "user", life: float | None = None, **claims: Any) -> str:
        """Issue an access token.

        Args:
            user: The user's name.
            life: Seconds until it expires, negative if it has expired; None for ``token_life``.
            claims: Claims that replace the usual ones or are added to them.
        """
        life = self.token_life if life is None else life
        usual = {
            "typ": "Bearer",
            "aud": [AUDIENCE, "CLOUDFERRO_PUBLIC_OIDC"],
            "scope": SCOPE,
        }
        return self._sign(user, life, usual | claims)

    def mint_refresh(self, user: str = "user", life: float | None = None, **claims: Any) -> str:
        """Issue a refresh token, with the arguments of :meth:`mint`."""
        life = self.refresh_life if life is None else life
        return self._sign(user, life, {"typ": "Refresh", "aud": self.url} | claims)

    def discovery(self) -> dict[str, Any]:
        """Return the discovery document: what OpenID Connect requires, and the grant types."""
        endpoint = f"{self.url}/protocol/openid-connect"
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{endpoint}/auth",
            "token_endpoint": f"{endpoint}/token",
            "jwks_uri": f"{endpoint}/certs",
            "grant_types_supported": ["refresh_token", "password"],
            "response_types_supported": ["none"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["HS256"],
        }

    def _sign(self, user: str, life: float, claims: dict[str, Any]) -> str:
        now = time.time()
        payload: dict[str, Any] = {
            "exp": int(now + life),
            "iat": int(now),
            "jti": str(uuid.uuid4()),
            "iss": self.url,
            "sub": str(uuid.uuid5(uuid.NAMESPACE_URL, user)),
            "azp": CLIENT,
            "sid": str(uuid.uuid4()),
            "preferred_username": user,
        } | claims
        if "exp" not in claims:
            # The claim is in whole seconds, too coarse for tests with short lifetimes.
            self._expiries[payload["jti"]] = now + life
        text = ".".join(_encode(_compact(x)) for x in (_HEADER, payload))
        return f"{text}.{_encode(self._signature(text))}"

    def _signature(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode(), hashlib.sha256)

    def read(self, token: str) -> dict[str, Any] | None:
        """Return the claims of a token of this issuer, expired or not; None for any other text."""
        try:
            text, signature = token.rsplit(".", 1)
            if not hmac.compare_digest(_decode(signature), self._signature(text)):
                return None
            claims = json.loads(_decode(text.split(".")[1]))
        except (ValueError, IndexError, binascii.Error):
            return None
        return claims if isinstance(claims, dict) else None

    def expired(self, claims: Mapping[str, Any]) -> bool:
        """Tell whether a token with these claims has expired."""
        return time.time() >= self._expiries.get(
            str(claims.get("jti")), float(claims.get("exp", 0))
        )

    def check(self, token: str | None) -> str:
        """Return the user of an access token.

        Raises:
            TokenError: The token is missing, or the download service does not accept it.
        """
        if not token:
            raise TokenError(MISSING_TOKEN, "Token not found")
        claims = self.read(token)
        if claims is None or claims.get("typ") != "Bearer":
            raise TokenError(605, "Token is invalid")
        if self.expired(claims):
            raise TokenError(109, "Token is expired")
        audience = claims.get("aud", [])
        if AUDIENCE not in ([audience] if isinstance(audience, str) else audience):
            raise TokenError(609, "Token audience not allowed")
        return str(claims.get("preferred_username", ""))

    def grant(self, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Handle a request to the token endpoint.

        Args:
            form: The fields of the request's body.

        Returns:
            The status and the JSON of the response.
        """
        kind = form.get("grant_type")
        if kind is None:
            return _refusal(400, "invalid_request", "Missing form parameter: grant_type")
        if form.get("client_id") != CLIENT:
            return _refusal(401, "invalid_client", "Invalid client or Invalid client credentials")
        if kind == "password":
            user = form.get("username", "")
            if not self._authenticate(user, form.get("password", ""), form.get("totp")):
                return _refusal(401, "invalid_grant", "Invalid user credentials")
            return 200, self._tokens(user)
        if kind == "refresh_token":
            claims = self.read(form.get("refresh_token", ""))
            if claims is None or claims.get("typ") != "Refresh":
                return _refusal(400, "invalid_grant", "Invalid refresh token")
            if self.expired(claims):
                return _refusal(400, "invalid_grant", "Token is not active")
            return 200, self._tokens(str(claims["preferred_username"]))
        return _refusal(400, "unsupported_grant_type", "Unsupported grant_type")

    def _authenticate(self, user: str, password: str, totp: str | None) -> bool:
        account = self._accounts.get(user)
        if account is None or account.password != password:
            return False
        if not account.totp:
            return True
        if totp not in account.totp or (user, totp) in self._used_codes:
            return False
        self._used_codes.add((user, totp))
        return True

    def _tokens(self, user: str) -> dict[str, Any]:
        return {
            "access_token": self.mint(user),
            "expires_in": int(self.token_life),
            "refresh_expires_in": int(self.refresh_life),
            "refresh_token": self.mint_refresh(user),
            "token_type": "Bearer",
            "not-before-policy": 0,
            "session_state": str(uuid.uuid4()),
            "scope": SCOPE,
        }


_HEADER = {"alg": "HS256", "typ": "JWT", "kid": "sandbox"}


def _compact(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _refusal(status: int, error: str, description: str) -> tuple[int, dict[str, Any]]:
    return status, {"error": error, "error_description": description}
