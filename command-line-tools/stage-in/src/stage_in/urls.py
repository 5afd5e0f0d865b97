"""URLs that others have written: their origin, and a form that is safe to show."""

import re

from stage_in.errors import ProductError
from stage_in.secrets import strike

# Stricter than RFC 3986: parsers disagree about user information, backslashes and white space
# before the host, so a URL with any of them has no origin here.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<rest>/[^\s\\]*)?",
    re.ASCII | re.IGNORECASE,
)
_DELIMITER = re.compile(r"[?#;]|%(?:25)*(?:3f|23|3b)", re.IGNORECASE)
# The folders between a product and one of its files; the name of the file is enough.
_FOLDERS = re.compile(r"/Nodes\(.*/(?=Nodes\()")
_MAX_SHOWN = 500  # characters; the longest URLs of the platform have about 400
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_MAX_PORT = 65535
_MAX_LABEL_LENGTH = 63  # characters between two dots of a host name (RFC 1035, section 2.3.4)


def get_origin(url: str) -> str:
    """Return `scheme://host[:port]` of an http(s) URL, in lower case, without a default port.

    Raises:
        ProductError: the URL has user information, a backslash, white space, no valid host or no
            valid port.
    """
    match = _URL.fullmatch(url)
    if (
        match is None
        or int(match["port"] or 0) > _MAX_PORT
        or any(not 0 < len(label) <= _MAX_LABEL_LENGTH for label in match["host"].split("."))
    ):
        raise ProductError(
            f"{redact(url)!r} is not an http(s) URL without user information, backslashes and "
            "spaces"
        )
    scheme, host, port = (match[name] for name in ("scheme", "host", "port"))
    origin = f"{scheme}://{host}".lower()
    if port is None or port == _DEFAULT_PORTS[scheme.lower()]:
        return origin
    return f"{origin}:{port}"


def redact(url: str) -> str:
    """Return a URL for a log line: without what may be secret, and not too long."""
    shown = _FOLDERS.sub("/…/", strike(strip_secrets(url)))
    return shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}…"


def strip_secrets(url: str) -> str:
    """Return a URL without user information, parameters, query and fragment.

    A proxy or a script may have encoded their delimiters, also more than once.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    authority, slash, path = rest.partition("/")
    if "@" in authority and re.search(r"[?#\\]", authority):
        return f"{scheme}{separator}…"  # parsers disagree about where the user information ends
    stripped = authority.rpartition("@")[2] + slash + path
    return f"{scheme}{separator}{_DELIMITER.split(stripped)[0]}"
