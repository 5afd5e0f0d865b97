"""The user's secrets, and how they are struck from every text that leaves the process.

A secret is registered where it is obtained. A part of it is struck as well, because a server may
cut what it quotes, or spread it over two messages.
"""

import re
import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from stage_in.forms import encode, fold, list_forms, resolve, to_base64

MARK = "[secret]"
# What scripts write in place of a token that they have not found.
PLACEHOLDERS = frozenset({"null", "none", "undefined", "nil", "bearer"})

_MIN_LENGTH = 8  # characters; ordinary words may contain a shorter secret by chance
_LONG_PART = 12  # characters of a secret that are struck although the rest is missing;
_SHORT_PART = 8  # so many, if they are at least half of it
_SEED = 5  # characters that are looked up first
_MAX_SECRETS = 200  # a program that runs for months renews tokens without end
_MAX_LENGTH = 10_000  # characters of a text that are looked at; the rest is left out
_MAX_ESCAPES = 3  # levels of escape sequences inside of each other

_VARIABLES = re.compile(
    r"CDSE_(\w+_TOKEN|PASSWORD|TOTP|S3_SECRET_KEY)|AWS_(SECRET_ACCESS_KEY|SESSION_TOKEN)"
)
_REFERENCE = re.compile(r"\$\{?(CDSE|AWS)_\w+\}?")  # a variable that a script has not replaced
_PARAMETER = re.compile(r"tok|key|sig|secret|pass|auth|cred|jwt|sess", re.IGNORECASE)
# A part of a secret that is in these is no sign of the secret.
_ORDINARY = fold(
    "https://catalogue.dataspace.copernicus.eu/odata/v1/Products https://zipper.dataspace "
    "https://download.dataspace https://identity.dataspace https://eodata.dataspace Sentinel-2 "
    "auth/realms/CDSE/protocol/openid-connect/token sentinel-2-l1c Level-1C product password"
)[0]
# A JSON Web Token, or what is left of one; a line break may be in it.
_TOKEN = re.compile(r"eyJ[\w-]{8,}(?:(?:\.|\s*[\r\n]\s*)[\w-]*)*", re.ASCII)


def register(*secrets: str, in_url: bool = False) -> None:
    """Strike these secrets from now on; empty ones and placeholders for one are ignored.

    Args:
        secrets: the secrets.
        in_url: whether they come from a URL. There may be many of these, so they are forgotten
            before others.
    """
    with _registry.lock:
        for secret in secrets:
            stripped = secret.strip()
            if stripped and not _REFERENCE.fullmatch(stripped):
                _registry.add(stripped, in_url=in_url)


def register_login(user: str, password: str) -> None:
    """Strike a password from now on, also as it is sent together with its user (RFC 7617)."""
    if password:
        register(password, *map(to_base64, encode(f"{user}:{password}")))


def register_environment(environment: Mapping[str, str]) -> None:
    """Strike the secrets in environment variables, and the logins in the URLs of proxies."""
    for name, value in environment.items():
        if _VARIABLES.fullmatch(name):
            is_token = name.endswith("_TOKEN")
            if not (is_token and (len(value) < _MIN_LENGTH or value.lower() in PLACEHOLDERS)):
                register(value)
        elif name.lower().endswith("_proxy"):
            register_url(value)
    register_login(environment.get("CDSE_USERNAME", ""), environment.get("CDSE_PASSWORD", ""))


def register_url(url: str) -> None:
    """Strike the user information of a URL, and parameters whose name suggests a secret."""
    rest = url.partition("://")[2] or url
    login, at, _ = rest.rpartition("@")
    user, colon, password = login.partition(":")
    if at and "/" not in user:
        for decode in (str, unquote):
            register_login(decode(user), decode(password))
            register("" if colon else decode(user))
    for parameter in re.split("[?;#&]", unquote(unquote(url)))[1:]:
        name, _, value = parameter.partition("=")
        if _PARAMETER.search(name) and len(value) >= _MIN_LENGTH:
            register(value, in_url=True)


def strike(text: str) -> str:
    """Return a text with a mark in place of each secret."""
    is_cut = len(text) > _MAX_LENGTH
    level, spans = text[:_MAX_LENGTH], [(n, n + 1) for n in range(min(len(text), _MAX_LENGTH))]
    hidden: list[tuple[int, int]] = []
    for _ in range(_MAX_ESCAPES + 1):
        hidden += [(spans[start][0], spans[end - 1][1]) for start, end in _registry.find(level)]
        resolved = resolve(level, spans)
        if resolved[0] == level:
            break
        level, spans = resolved
    struck, position = [], 0
    for start, end in sorted(hidden):
        if start >= position:
            struck += [text[position:start], MARK]
        position = max(position, end)
    rest = text[position : _MAX_LENGTH - _LONG_PART if is_cut else None]
    return "".join([*struck, rest])


def clean(text: str) -> str:
    """Return a text for a log or a terminal: without secrets and characters that control it."""
    return "".join(c if c.isprintable() else " " for c in strike(text))


def excerpt(text: object, limit: int) -> str:
    """Return the start of a text that others wrote, for a message.

    Args:
        text: the text; bytes are read as UTF-8.
        limit: how many characters are kept, after secrets have been struck.
    """
    if isinstance(text, bytes):
        text = text[: 4 * _MAX_LENGTH].decode("utf-8", "backslashreplace")
    return strike(str(text))[:limit]


class _Registry:
    """What is struck. Its attributes are replaced as a whole, so they are read without the lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._secrets: dict[str, tuple[bytes, ...]] = {}
        self._in_urls: dict[str, None] = {}
        self._patterns: list[re.Pattern[str]] = [_TOKEN]
        self._short: list[bytes] = []
        self._forms = b""

    def add(self, secret: str, *, in_url: bool) -> None:
        is_new = secret not in self._secrets
        forms = self._secrets.pop(secret, None) or tuple(list_forms(secret, _MIN_LENGTH))
        self._secrets[secret] = forms
        if not in_url:
            self._in_urls.pop(secret, None)
        elif is_new:
            self._in_urls[secret] = None
        while len(self._secrets) > _MAX_SECRETS:
            oldest = next(iter(self._in_urls or self._secrets))
            self._in_urls.pop(oldest, None)
            del self._secrets[oldest]
        patterns = [_TOKEN]
        for text in self._secrets:
            if len(text) < _MIN_LENGTH:
                # If `p` were struck from every word, each gap would reveal that the secret is `p`.
                patterns.append(re.compile(rf"(?<!\w){re.escape(text)}(?!\w)"))
            elif len(fold(text)[0]) < _MIN_LENGTH:
                patterns.append(re.compile(re.escape(text)))
        every = [form for forms in self._secrets.values() for form in forms]
        self._patterns = patterns
        self._short = [form for form in every if len(form) <= 2 * _LONG_PART]
        self._forms = b"\0".join(every)

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield start and end of each secret in a text."""
        for pattern in self._patterns:
            for match in pattern.finditer(text):
                yield match.span()
        folded, origins = fold(text)
        forms, start = self._forms, 0
        while start + _SEED <= len(folded):
            end = start + _SEED
            if folded[start:end] in forms:
                first, last = _extend(folded, start, end, forms)
                if self._is_part(folded[first:last]):
                    yield origins[first], origins[last - 1] + 1
                    end = last
            # A part of the minimum length contains at least one of these seeds.
            start = max(start + _SHORT_PART - _SEED + 1, end - _SEED)

    def _is_part(self, text: bytes) -> bool:
        """Tell whether a text from a form is long enough to be no coincidence."""
        size = len(text)
        if size < _SHORT_PART:
            return False
        if any(form in text for form in self._short):
            return True
        return text not in _ORDINARY and (
            size >= _LONG_PART
            or any(text in form and 2 * size >= len(form) for form in self._short)
        )


_registry = _Registry()


def _extend(text: bytes, start: int, end: int, forms: bytes) -> tuple[int, int]:
    """Return the longest part of a text that contains text[start:end] and is in the forms."""
    end += bisect_left(
        range(end + 1, len(text) + 1), True, key=lambda stop: text[start:stop] not in forms
    )
    start -= bisect_left(
        range(1, start + 1), True, key=lambda more: text[start - more : end] not in forms
    )
    return start, end
