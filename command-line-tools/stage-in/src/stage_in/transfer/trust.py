"""Which secret may be sent to which host.

The access token goes to the platform's own origins and to those that the user names in the
environment. An item, a redirect or a server's answer can't add another.
"""

import ipaddress
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
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
# The service that issues keys of the object store (CDSE documentation, APIs, S3).
KEY_MANAGER_URL = "https://s3-keys-manager.cloudferro.com/api/user/credentials"


@dataclass(frozen=True)
class Trust:
    """Which hosts may receive the user's secrets.

    Attributes:
        origins: `scheme://host[:port]` that may receive the access token.
        identity_url: the token endpoint, which may receive the password and the refresh token.
        key_manager_url: the key manager.
    """

    origins: frozenset[str] = PLATFORM_ORIGINS
    identity_url: str = IDENTITY_URL
    key_manager_url: str = KEY_MANAGER_URL

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Add the origins in `CDSE_TRUSTED_HOSTS`, which commas or white space separate.

        The URL in `CDSE_IDENTITY_URL` replaces the platform's own token endpoint. The one in
        `CDSE_S3_KEYS_URL` replaces its key manager, but only the origins are trusted.

        Raises:
            UsageError: a variable is malformed.
        """
        hosts = re.split(r"[,\s]+", environment.get("CDSE_TRUSTED_HOSTS", ""))
        named = {_parse_origin(origin) for origin in hosts if origin}
        for origin in sorted(named):
            check_encryption("CDSE_TRUSTED_HOSTS", origin, "the access token")
        identity_url = _read_url(environment, "CDSE_IDENTITY_URL", "the password")
        key_manager_url = _read_url(environment, "CDSE_S3_KEYS_URL", "the access token")
        return cls(
            PLATFORM_ORIGINS | named,
            identity_url or IDENTITY_URL,
            key_manager_url or KEY_MANAGER_URL,
        )

    def of_key_manager(self) -> Self:
        """Return the trust for requests to the key manager, whose host serves no products.

        Besides the platform's own, only origins are trusted that the user names.
        """
        own = frozenset({get_origin(KEY_MANAGER_URL)})
        return replace(self, origins=self.origins - PLATFORM_ORIGINS | own)

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


def _read_url(environment: Mapping[str, str], name: str, secret: str) -> str:
    """Return the URL that a variable names, to which a secret is sent; "" if there is none."""
    url = environment.get(name, "")
    if url:
        try:
            origin = get_origin(url)
        except ProductError as error:
            raise UsageError(f"{name}: {error}") from None
        check_encryption(name, origin, secret)
    return url


def _parse_origin(text: str) -> str:
    with suppress(ProductError):
        origin = get_origin(text)
        if "/" not in text.partition("://")[2].removesuffix("/"):
            return origin
    raise UsageError(
        "CDSE_TRUSTED_HOSTS must contain origins such as https://mirror.example:8443, but "
        f"contains {redact(text)!r}"
    )
