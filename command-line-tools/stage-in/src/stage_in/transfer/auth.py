"""Which requests may be sent, and which carry the access token."""

from typing import Protocol

import requests
from requests.auth import AuthBase

from stage_in.errors import CredentialsError, VerificationError
from stage_in.transfer.trust import Trust
from stage_in.urls import redact


class TokenSource(Protocol):
    """Provides the access token."""

    def access_token(self) -> str:
        """Return a token that can be used now."""

    def refused(self, token: str, now: float) -> None:
        """Record that the service has rejected a token.

        Args:
            token: the token.
            now: the time of the service's clock, in seconds since 1970.

        Raises:
            CredentialsError: there will be no other token.
        """


class NoTokens:
    """Provides no access token: the run has no account of the platform."""

    def access_token(self) -> str:
        """Raise CredentialsError."""
        raise CredentialsError("there is no token. Set CDSE_ACCESS_TOKEN")

    def refused(self, token: str, now: float) -> None:
        """Do nothing: no token was sent."""


class NoAuth(AuthBase):
    """Sends a request without credentials.

    Without an auth object, requests would look for a password in `.netrc`.
    """

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Return the request unchanged."""
        return request


class TrustedAuth(AuthBase):
    """Sends a request to trusted origins only, without credentials."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Return the request unchanged if its origin is trusted.

        Raises:
            VerificationError: the origin is not trusted.
        """
        # This is the URL as it will be sent, after requests has rewritten it.
        url = request.url or ""
        if not self._trust.allows(url):
            raise VerificationError(
                f"the host of {redact(url)} is not one of the platform, and CDSE_TRUSTED_HOSTS "
                "does not name it. No request and no token was sent there"
            )
        return request


class BearerAuth(TrustedAuth):
    """Sends the access token to trusted origins."""

    def __init__(self, trust: Trust, tokens: TokenSource) -> None:
        super().__init__(trust)
        self._tokens = tokens

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the Authorization header if the origin is trusted.

        Raises:
            VerificationError: the origin is not trusted.
            CredentialsError: there is no token that can be used.
            TemporaryError: the token endpoint can't be reached.
        """
        request = super().__call__(request)
        request.headers["Authorization"] = f"Bearer {self._tokens.access_token()}"
        return request
