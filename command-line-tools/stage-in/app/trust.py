"""Which secret may go to which host.

The access token goes to the platform's own origins and to those that the user names in the
environment, and to no other: an item, a redirect or a server's answer can't add one.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from app.errors import ProductError, UsageError

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

# Stricter than RFC 3986 on purpose: parsers disagree about user information, back-slashes and
# white space in front of the host, so a URL that has any of them belongs to nobody.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<rest>/[^\s\\]*)?",
    re.ASCII | re.IGNORECASE,
)
_LONGEST_SHOWN = 500  # characters; the platform's longest have about 400
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_LARGEST_PORT = 65535
_LONGEST_LABEL = 63  # characters between two dots of a host (RFC 1035, section 2.3.4)


def get_origin(url: str) -> str:
    """Return `scheme://host[:port]` of an http(s) URL, in lower case, without a default port.

    Raises:
        ProductError: the URL has user information, a back-slash, white space, no plain host or a
            port that there is not.
    """
    match = _URL.fullmatch(url)
    if (
        match is None
        or int(match["port"] or 0) > _LARGEST_PORT
        or any(not 0 < len(label) <= _LONGEST_LABEL for label in match["host"].split("."))
    ):
        raise ProductError(
            "expected a plain http(s) URL (no user information, back-slash or space), "
            f"found {redact(url)!r}"
        )
    scheme, host, port = (match[name] for name in ("scheme", "host", "port"))
    origin = f"{scheme}://{host}".lower()
    if port is None or port == _DEFAULT_PORTS[scheme.lower()]:
        return origin
    return f"{origin}:{port}"


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


def redact(url: str) -> str:
    """Return a URL fit for a log: without what may be secret, and not longer than a line may be."""
    plain = strip_secrets(url)
    return plain if len(plain) <= _LONGEST_SHOWN else f"{plain[:_LONGEST_SHOWN]}…"


def strip_secrets(url: str) -> str:
    """Return a URL without user information, query and fragment."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    authority, slash, path = rest.partition("/")
    if "@" in authority and re.search(r"[?#\\]", authority):
        return f"{scheme}{separator}…"  # what is secret in it depends on who reads it
    plain = authority.rpartition("@")[2] + slash + path
    return f"{scheme}{separator}{re.split('[?#]', plain)[0]}"


def _exact_origin(named: str) -> str:
    with suppress(ProductError):
        origin = get_origin(named)
        if "/" not in named.partition("://")[2].removesuffix("/"):
            return origin
    raise UsageError(
        "CDSE_TRUSTED_HOSTS: expected origins such as https://mirror.example:8443, "
        f"found {redact(named)!r}"
    )
