"""Which secret may go to which host.

The access token goes to the platform's own origins and to those that the user names in the
environment, and to no other: an item, a redirect or a server's answer can't add one.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from stage_in.errors import ProductError, UsageError
from stage_in.urls import get_origin, redact

# The hosts of the OData API, by which products are listed and downloaded (CDSE documentation, APIs,
# OData).
PLATFORM_ORIGINS = frozenset(
    {
        "https://catalogue.dataspace.copernicus.eu",
        "https://zipper.dataspace.copernicus.eu",
        "https://download.dataspace.copernicus.eu",
    }
)
# CDSE documentation, APIs, "Token generation".
IDENTITY_URL = (
    "https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token"
)


@dataclass(frozen=True)
class Trust:
    """Who may see the secrets.

    Attributes:
        origins: `scheme://host[:port]` that may see the access token.
        identity_url: the token endpoint, which may see password and refresh token.
    """

    origins: frozenset[str] = PLATFORM_ORIGINS
    identity_url: str = IDENTITY_URL

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read `CDSE_TRUSTED_HOSTS` and `CDSE_IDENTITY_URL`.

        Raises:
            UsageError: one of them is not an origin, or not a URL.
        """
        return cls.from_settings(
            environment.get("CDSE_TRUSTED_HOSTS", ""), environment.get("CDSE_IDENTITY_URL", "")
        )

    @classmethod
    def from_settings(cls, trusted_hosts: str, identity_url: str) -> Self:
        """Add what `CDSE_TRUSTED_HOSTS` and `CDSE_IDENTITY_URL` say to the platform's own.

        Args:
            trusted_hosts: origins, separated by commas or white space; may be empty.
            identity_url: the whole URL of a token endpoint; may be empty.

        Raises:
            UsageError: one of them is not an origin, or not a URL.
        """
        named = {_exact_origin(origin) for origin in re.split(r"[,\s]+", trusted_hosts) if origin}
        if identity_url:
            try:
                get_origin(identity_url)
            except ProductError as error:
                raise UsageError(f"CDSE_IDENTITY_URL: {error}") from None
        return cls(PLATFORM_ORIGINS | named, identity_url or IDENTITY_URL)

    def allows(self, url: str) -> bool:
        """Tell whether the access token may be sent to this URL."""
        try:
            return get_origin(url) in self.origins
        except ProductError:
            return False


def _exact_origin(named: str) -> str:
    with suppress(ProductError):
        origin = get_origin(named)
        if "/" not in named.partition("://")[2].removesuffix("/"):
            return origin
    raise UsageError(
        "CDSE_TRUSTED_HOSTS: expected origins such as https://mirror.example:8443, "
        f"found {redact(named)!r}"
    )
