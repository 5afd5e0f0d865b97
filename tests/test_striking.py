"""Striking secrets from a text: the forms in which they come back, whole and cut."""

import base64
import html
import json
import time
from collections.abc import Callable
from itertools import product
from urllib.parse import quote, quote_plus

import pytest

from stage_in import secrets
from stage_in.secrets import (
    clean,
    excerpt,
    register,
    register_environment,
    register_login,
    register_url,
    strike,
)

PASSWORD = 'pass-wörd:08 15/47+11"\\x{}'
TOKEN = "opaque-token-0123456789-SECRET"


def to_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode().rstrip("=")


FORMS = {
    "raw": str,
    "lower case": str.lower,
    "percent-encoded": lambda text: quote(text, safe=""),
    "percent-encoded in part": quote,
    "percent-encoded in lower case": lambda text: quote(text, safe="").lower(),
    "percent-encoded twice": lambda text: quote(quote(text)),
    "percent-encoded as Latin-1": lambda text: quote(text.encode("latin-1"), safe=""),
    "every character percent-encoded": lambda text: "".join(f"%{b:02x}" for b in text.encode()),
    "in a form": quote_plus,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "repr": lambda text: repr(text)[1:-1],
    "repr of bytes": lambda text: repr(text.encode())[2:-1],
    "ascii": lambda text: ascii(text)[1:-1],
    "HTML": html.escape,
    "HTML with numbers": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "UTF-8 read as Latin-1": lambda text: text.encode().decode("latin-1"),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal in upper case": lambda text: text.encode().hex().upper(),
    "wrapped": lambda text: "\n".join(text[n : n + 7] for n in range(0, len(text), 7)),
    "wrapped in HTML": lambda text: "<br/>".join(text[n : n + 7] for n in range(0, len(text), 7)),
    "with zero-width spaces": "\u200b".join,
    "without its end": lambda text: text[:-5],
    "without its start": lambda text: text[5:],
}


@pytest.mark.parametrize("secret", [PASSWORD, TOKEN], ids=["password", "token"])
def test_forms_of_a_secret(secret: str) -> None:
    register(secret)
    struck = {form: strike(f"found <{make(secret)}> here") for form, make in FORMS.items()}
    assert struck == dict.fromkeys(FORMS, "found <[secret]> here")


def test_half_of_a_pair_of_surrogates() -> None:
    """JSON may contain it: no encoding can."""
    register("\ud800half-of-a-pair")
    assert strike("found <half-of-a-pair> here") == "found <[secret]> here"


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_of_a_text_with_a_secret(encode: Callable[[bytes], bytes]) -> None:
    """What is left does not tell more than one character at either end."""
    register(PASSWORD)
    for before, after in product(["", "a", "ab", "someone:"], ["", "\0", ", and more"]):
        struck = strike(encode(f"{before}{PASSWORD}{after}".encode()).decode())
        mark = struck.index("[secret]")
        left = base64.b64decode(struck[:mark].ljust(-(-mark // 4) * 4, "A"), altchars=b"-_")
        assert left.rstrip(b"\0")[: len(before)] == before.encode()
        assert len(struck) <= len("[secret]") + len(to_base64(before + after)) + 4


@pytest.mark.parametrize("password", ["a", "hunter2", "0815-4711-abc"])
def test_base64_of_a_login(password: str) -> None:
    register_login("someone", password)
    assert strike(f"Basic {to_base64(f'someone:{password}')}") == "Basic [secret]"


def test_short_secrets_are_struck_as_words_only() -> None:
    """A gap in each word with a p would tell that the secret is p."""
    register("p", "123456")
    assert strike("expected 'p', found /p/ in paper") == (
        "expected '[secret]', found /[secret]/ in paper"
    )
    assert strike("totp=123456&x, code%20123456, 1234567 bytes") == (
        "totp=[secret]&x, code%20[secret], 1234567 bytes"
    )


def test_ordinary_words_stay_although_a_secret_contains_them() -> None:
    """Otherwise each gap in the name of a host would tell what the password contains."""
    register("Copernicus2024!", "the-dataspace.copernicus-password", "Sentinel-2 Level-1C")
    kept = "https://identity.dataspace.copernicus.eu/auth, Copernicus, Sentinel-2"
    assert strike(kept) == kept
    assert strike("Copernicus20, a Sentinel-2 Level-1C product") == "[secret], a [secret] product"


def test_secrets_of_punctuation() -> None:
    register("-/+-/+-_-")
    assert strike("x-/+-/+-_-x") == "x[secret]x"


def test_a_secret_in_two_messages() -> None:
    register(TOKEN)
    assert strike(TOKEN[:15]) == strike(TOKEN[15:]) == "[secret]"


@pytest.mark.parametrize("limit", [20, 60, 200])
def test_quotes_are_cut_after_secrets_have_been_struck(limit: int) -> None:
    register(TOKEN, "short8ch")
    for start, secret in product(range(0, 60, 7), (TOKEN, "short8ch")):
        shown = excerpt(("x" * start + secret).encode() * 20, limit)
        assert len(shown) <= limit
        assert not any(secret[n : n + 4] in shown for n in range(len(secret) - 3))


def test_very_long_texts_leave_no_beginning_of_a_secret() -> None:
    register(TOKEN)
    for length in range(9_900, 10_010, 3):
        assert "opaq" not in strike("x" * length + TOKEN)


@pytest.mark.parametrize(
    "token", ["eyJhbGciOiJ9.eyJleHAiOjF9.c2ln", "eyJhbGciOiJ9.eyJleH", "eyJhbGciOiJ9"]
)
def test_unknown_tokens_are_struck(token: str) -> None:
    assert strike(f"found 'Bearer {token}' here") == "found 'Bearer [secret]' here"
    assert strike(quote(f"'{token[:11]}\r\n {token[11:]}' here")) == "%27[secret]%27%20here"


def test_variables() -> None:
    register_environment(
        {
            "CDSE_ACCESS_TOKEN": TOKEN,
            "CDSE_USERNAME": "someone@example.com",
            "CDSE_PASSWORD": "the password",
            "AWS_SESSION_TOKEN": "the session token",
            "https_proxy": "http://me:the%2Fproxy@proxy.example:3128",
            "ALL_PROXY": "socks5h://another-long-token@proxy.example",
            "CDSE_REFRESH_TOKEN": "undefined",
            "CDSE_TOTP": "$CDSE_TOTP",
        }
    )
    for secret in (TOKEN, "the password", "the session token", "the/proxy", "another-long-token"):
        assert strike(secret) == "[secret]"
    assert strike(to_base64("me:the/proxy")) == "[secret]"
    kept = "someone@example.com proxy.example undefined CDSE_TOTP CDSE_ACCESS_TOKEN the word token"
    assert strike(kept) == kept


def test_urls() -> None:
    register_url("https://me:abcd1234@host/x;token=efgh5678?sig=ijkl9012&limit=100&id=S2A_MSIL1C")
    assert strike("abcd1234 efgh5678 ijkl9012 100 S2A_MSIL1C host x") == (
        "[secret] [secret] [secret] 100 S2A_MSIL1C host x"
    )


def test_control_characters_become_spaces() -> None:
    assert clean("a\nb\x1b[2Jc\u202ed\0e\x9bf\u2066g\ud800h") == "a b [2Jc d e f g h"


def test_time_is_bounded() -> None:
    """A server may send what resembles a token everywhere."""
    token = base64.b64encode(bytes(range(256)) * 8).decode()
    register(*(f"{number}{token}" for number in range(10)))
    started = time.process_time()
    strike("".join(token[n : n + 10] + "!" for n in range(1000)))
    strike("%25" * 50_000)
    strike("eyJ" * 50_000)
    assert time.process_time() - started < 10


def test_secrets_of_a_long_run_take_no_memory() -> None:
    for number in range(100):
        register(f"token-{number:03}-{'x' * 20}")
    assert strike("token-000") == "token-000"
    assert strike(f"token-099-{'x' * 20}") == "[secret]"


def test_secrets_in_urls_are_forgotten_before_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_registry", secrets._Registry())
    secrets.register("sword fish of the account")
    for number in range(300):
        secrets.register_url(f"https://stac.example/x?sig=signature-{number:04}")
    assert secrets.strike("sword fish of the account") == secrets.MARK
    assert secrets.strike("signature-0299") == secrets.MARK
