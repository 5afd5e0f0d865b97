"""The platform's tokens and their claims."""

import base64
import json
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

MAX_MARGIN = (
    30.0  # seconds before its expiry at which a token is renewed; at most a tenth of its validity
)


@dataclass(frozen=True)
class Token:
    """A token of the platform's identity provider.

    Attributes:
        value: what is sent; it is not part of the representation.
        issued: seconds since 1970, or 0 if unknown.
        expires: seconds since 1970, or infinity if unknown.
        kind: the claim `typ`: `Bearer` for access tokens, `Refresh` or `Offline` for refresh
            tokens.
        received: when this process received it, by the monotonic clock; None for a token from the
            environment, whose age only this machine's clock could tell.
    """

    value: str
    issued: float
    expires: float
    kind: str
    received: float | None = None

    @classmethod
    def parse(cls, value: str) -> Self:
        """Parse the claims of a token, without checking its signature.

        A token that is not a JSON Web Token (RFC 7519) is treated as an access token that never
        expires.
        """
        claims: Any = {}
        try:
            payload = value.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            return cls(
                value,
                float(claims.get("iat", 0)),
                float(claims.get("exp") or "inf"),  # older Keycloaks write 0 for "never"
                str(claims.get("typ", "")),
            )
        except (
            *(ValueError, LookupError, TypeError, AttributeError, RecursionError),
            OverflowError,  # an integer that no float can hold
        ):
            return cls(value, 0.0, float("inf"), "")

    @classmethod
    def receive(cls, value: str) -> Self:
        """Parse a token that has just been issued: its life counts from now on."""
        return replace(cls.parse(value), received=time.monotonic())

    @property
    def is_refresh_token(self) -> bool:
        """Whether it is a refresh token."""
        return self.kind in {"Refresh", "Offline"}

    @property
    def is_stale(self) -> bool:
        """Whether it has probably expired, or may expire before a request arrives.

        This is an estimate if the token is from the environment and this machine's clock is wrong.
        """
        life = max(self.expires - self.issued, 0.0)
        margin = min(MAX_MARGIN, 0.1 * life)
        if self.received is not None:
            return time.monotonic() > self.received + life - margin
        return time.time() > self.expires - margin

    def is_expired(self, now: float) -> bool:
        """Tell whether it has expired in a second of the platform's clock.

        Args:
            now: the second, since 1970. A Date header leaves out the fraction, so the service may
                have answered up to a second later.
        """
        return now + 1 > self.expires

    @property
    def expiry(self) -> str:
        """When it expires, for a message."""
        try:
            return f"at {datetime.fromtimestamp(self.expires, UTC):%Y-%m-%d %H:%M:%S} UTC"
        except (ValueError, OverflowError, OSError):  # infinity, or a year beyond the calendar
            return "at an unknown time"

    def __repr__(self) -> str:
        return f"Token(kind={self.kind!r}, expires={self.expiry!r})"
