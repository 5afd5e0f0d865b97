"""Which secret may be sent to which host.

The access token goes to the platform's own origins and to those that the user names in the
environment. An item, a redirect or a server's answer can't add another.
"""

import ipaddress
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from stage_in.errors import ProductError, UsageError
from stage_in.logger import logger
from stage_in.urls import get_origin, redact

# The hosts of the OData API, which lists and delivers products (CDSE documentation, APIs, OData).
PLATFORM_ORIGINS = frozenset(
    {
        "https://catalogue.dataspace.copernicus.eu",
        "https://zipper.dataspace.copernicus.eu",
        "https://download.dataspace.copernicus.eu",
    }
)
# The endpoints of the object store, which hold the same (CDSE documentation, APIs, S3). Items also
# name one whose requesters pay.
S3_ENDPOINTS = (
    "https://eodata.dataspace.copernicus.eu",
    "https://eodata.ams.dataspace.copernicus.eu",
)
# CDSE documentation, APIs, "Token generation".
IDENTITY_URL = (
    "https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token"
)


@dataclass(frozen=True)
class Trust:
    """Which hosts may receive the user's secrets.

    Attributes:
        origins: `scheme://host[:port]` that may receive the access token.
        identity_url: the token endpoint, which may receive the password and the refresh token.
    """

    origins: frozenset[str] = PLATFORM_ORIGINS
    identity_url: str = IDENTITY_URL

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Add the origins in `CDSE_TRUSTED_HOSTS` and the URL in `CDSE_IDENTITY_URL`.

        The origins are separated by commas or white space. The URL replaces the platform's own
        token endpoint.

        Raises:
            UsageError: a variable is malformed.
        """
        hosts = re.split(r"[,\s]+", environment.get("CDSE_TRUSTED_HOSTS", ""))
        named = {_parse_origin(origin) for origin in hosts if origin}
        identity_url = environment.get("CDSE_IDENTITY_URL", "")
        if identity_url:
            try:
                get_origin(identity_url)
            except ProductError as error:
                raise UsageError(f"CDSE_IDENTITY_URL: {error}") from None
        for origin in sorted(named):
            check_encryption("CDSE_TRUSTED_HOSTS", origin, "the access token")
        if identity_url:
            check_encryption("CDSE_IDENTITY_URL", get_origin(identity_url), "the password")
        return cls(PLATFORM_ORIGINS | named, identity_url or IDENTITY_URL)

    @property
    def stand_ins(self) -> list[str]:
        """The origins that the user named."""
        return sorted(self.origins - PLATFORM_ORIGINS)

    def allows(self, url: str) -> bool:
        """Tell whether the access token may be sent to this URL."""
        try:
            return get_origin(url) in self.origins
        except ProductError:
            return False


def check_encryption(name: str, origin: str, secret: str) -> None:
    """Warn of an origin to which a secret would be sent unencrypted over a network."""
    host = urlsplit(origin).hostname or ""
    with suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    if origin.startswith("http:") and host != "localhost":
        logger.warning(
            "{} names {}: {} is sent there unencrypted. Use https:// if the host supports it",
            name,
            origin,
            secret,
        )


def _parse_origin(text: str) -> str:
    with suppress(ProductError):
        origin = get_origin(text)
        if "/" not in text.partition("://")[2].removesuffix("/"):
            return origin
    raise UsageError(
        "expected origins such as https://mirror.example:8443 in CDSE_TRUSTED_HOSTS, "
        f"found {redact(text)!r}"
    )
