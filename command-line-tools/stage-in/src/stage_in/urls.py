"""Reads and shows http(s) URLs that others have written."""

import re

from stage_in.errors import ProductError

# Stricter than RFC 3986 on purpose: parsers disagree about user information, back-slashes and
# white space in front of the host, so a URL that has any of them belongs to nobody.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<rest>/[^\s\\]*)?",
    re.ASCII | re.IGNORECASE,
)
_MAX_URL_SHOWN = 500  # characters; the platform's longest have about 400
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_MAX_PORT = 65535
_MAX_LABEL_LENGTH = 63  # characters between two dots of a host (RFC 1035, section 2.3.4)


def get_origin(url: str) -> str:
    """Return `scheme://host[:port]` of an http(s) URL, in lower case, without a default port.

    Raises:
        ProductError: the URL has user information, a back-slash, white space, no plain host or a
            port that there is not.
    """
    match = _URL.fullmatch(url)
    if (
        match is None
        or int(match["port"] or 0) > _MAX_PORT
        or any(not 0 < len(label) <= _MAX_LABEL_LENGTH for label in match["host"].split("."))
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


def redact(url: str) -> str:
    """Return a URL fit for a log: without what may be secret, and not longer than a line may be."""
    plain = strip_secrets(url)
    return plain if len(plain) <= _MAX_URL_SHOWN else f"{plain[:_MAX_URL_SHOWN]}…"


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
