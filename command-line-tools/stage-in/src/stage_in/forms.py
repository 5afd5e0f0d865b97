"""The forms in which a text comes back from a server, a proxy or a library, and comparing them.

A text is compared as it is and with its escape sequences resolved (percent-encoding, JSON, Python,
HTML), without regard to case, white space, line breaks and quotes.
"""

import html
import json
import re
import string
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import unquote_to_bytes

_BASE64 = f"{string.ascii_uppercase}{string.ascii_lowercase}{string.digits}+/"
_ESCAPES = re.compile(
    r"(?:%[0-9a-fA-F]{2})+|(?:\\x[0-9a-fA-F]{2})+|(?:\\u[0-9a-fA-F]{4})+|\\U[0-9a-fA-F]{8}"
    r"|\\[bfnrt\"'\\/]|&\w{2,6};|&#[xX]?[0-9a-fA-F]{1,7};|<w?br ?/?>"
)
# Encoders, line breaks and quotation add or change these.
_IGNORED = frozenset(" +/-_\\\"'")


def list_forms(secret: str, min_length: int) -> Iterator[bytes]:
    """Yield the forms in which a secret may come back, folded, except very short ones."""
    texts = {secret}
    for data in encode(secret):
        texts |= {data.decode("latin-1"), data.decode("ascii", "surrogateescape"), data.hex()}
        texts |= {to_base64(data, offset) for offset in range(3)}
    for form in {fold(text)[0] for text in texts}:
        if len(form) >= min_length:
            yield form


def encode(text: str) -> set[bytes]:
    """Return a text in the encodings that are used for it in HTTP."""
    try:
        encoded = {text.encode("utf-8", "surrogateescape")}
    except UnicodeEncodeError:  # half of a pair of surrogates, as JSON may contain
        encoded = {text.encode("utf-8", "surrogatepass")}
    with suppress(UnicodeEncodeError):
        encoded.add(text.encode("latin-1"))
    return encoded


def to_base64(data: bytes, offset: int = 0) -> str:
    """Return the base64 form of data at any place in a text, without what depends on the rest.

    The module base64 can't be loaded everywhere: it needs zlib.

    Args:
        data: the data.
        offset: the number of bytes before the data, modulo 3.
    """
    bits = "".join(f"{byte:08b}" for byte in data)
    start = -8 * offset % 6
    return "".join(_BASE64[int(bits[n : n + 6], 2)] for n in range(start, len(bits) - 5, 6))


def fold(text: str) -> tuple[bytes, list[int]]:
    """Return a text for comparison, and the position in the text of each byte."""
    folded, origins = bytearray(), []
    for position, character in enumerate(text):
        is_byte = "\udc80" <= character <= "\udcff"  # one that is not UTF-8
        if character not in _IGNORED and (is_byte or character.isprintable()):
            data = character.lower().encode("utf-8", "surrogateescape")
            folded += data
            origins += [position] * len(data)
    return bytes(folded), origins


def resolve(text: str, spans: list[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    """Return a text with one level of its escape sequences resolved, and the spans of its parts."""
    resolved: list[str] = []
    origins: list[tuple[int, int]] = []
    position = 0
    for match in _ESCAPES.finditer(text):
        start, end = match.span()
        character = _read_escape(match[0])
        resolved += [text[position:start], character]
        origins += spans[position:start]
        origins += [(spans[start][0], spans[end - 1][1])] * len(character)
        position = end
    return "".join([*resolved, text[position:]]), origins + spans[position:]


def _read_escape(escape: str) -> str:
    kind = escape[:2]
    if escape[0] == "%":
        return unquote_to_bytes(escape).decode("utf-8", "surrogateescape")
    if escape[0] == "&":
        return html.unescape(escape)
    if kind == "\\x":
        return bytes.fromhex(escape.replace("\\x", "")).decode("utf-8", "surrogateescape")
    if kind == "\\u":
        return str(json.loads(f'"{escape}"'))
    if kind == "\\U":
        code = int(escape[2:], 16)
        return chr(code) if code <= 0x10FFFF else " "
    return "\n" if escape[0] == "<" or escape[1] in "bfnrt" else escape[1]
