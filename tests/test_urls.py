from urllib.parse import urljoin, urlsplit

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util import parse_url

from stage_in.errors import ProductError
from stage_in.secrets import register
from stage_in.urls import get_origin, redact, strip_secrets


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://zipper.dataspace.copernicus.eu/odata", "https://zipper.dataspace.copernicus.eu"),
        ("HTTPS://Zipper.Dataspace.Copernicus.EU:443/", "https://zipper.dataspace.copernicus.eu"),
        ("http://127.0.0.1:8080/a?b#c", "http://127.0.0.1:8080"),
        ("http://[::1]:80", "http://[::1]"),
        ("https://h:8443", "https://h:8443"),
    ],
)
def test_origin(url: str, origin: str) -> None:
    assert get_origin(url) == origin


NO_ORIGIN = [
    r"https://evil\@zipper.dataspace.copernicus.eu/",
    "https://user:password@zipper.dataspace.copernicus.eu/",
    "https://zipper.dataspace.copernicus.eu@evil/",
    "https://zipper.dataspace.copernicus.eu\\.evil/",
    "https://zipper.dataspace.copernicus.eu\n.evil/",
    "https://zipper.dataspace.copernicus.eu#@evil/",
    "https://zipper.dataspace.copernicus.eu.:443x/",
    "https://zipper。dataspace。copernicus。eu/",
    "https:/zipper.dataspace.copernicus.eu/",
    "//zipper.dataspace.copernicus.eu/",
    "ftp://zipper.dataspace.copernicus.eu/",
    "file:///etc/passwd",
    "https:///x",
    "https://zipper.dataspace.copernicus.eu:65536/",
    "https://a..b/",
    f"https://{'a' * 64}.example/",
    "",
]


@pytest.mark.parametrize("url", NO_ORIGIN)
def test_urls_without_an_origin(url: str) -> None:
    with pytest.raises(ProductError, match=r"is not an http\(s\) URL") as caught:
        get_origin(url)
    assert "password" not in str(caught.value)


def test_redact() -> None:
    assert redact("https://user:password@host/path/x?token=secret#secret") == "https://host/path/x"
    assert redact("/path?token=secret") == "/path"
    assert redact("https://host?token=secret") == "https://host"
    assert redact("https://host/x;token=secret/y") == "https://host/x"
    assert redact("https://host/x%3ftoken=secret") == "https://host/x"
    assert redact("https://host/x%252523secret") == "https://host/x"
    assert redact("https://user:pass?word@host/x") == "https://…"
    assert redact(r"https://evil\@host/") == "https://…"
    assert redact("https://host/" + "x" * 10_000) == "https://host/" + "x" * 487 + "…"
    file = "https://host/Products(1)/Nodes(X.SAFE)/Nodes(GRANULE)/Nodes(B02.jp2)/$value"
    assert redact(file) == "https://host/Products(1)/…/Nodes(B02.jp2)/$value"
    assert redact("https://host/Products(1)/Nodes(X.SAFE)/Nodes").endswith("/Nodes(X.SAFE)/Nodes")
    assert strip_secrets("https://u@host/" + "x" * 10_000) == "https://host/" + "x" * 10_000


def test_redact_strikes_registered_secrets() -> None:
    register("secret-in-a-path")
    assert redact("https://host/secret-in-a-path/x") == "https://host/[secret]/x"


PIECES = st.sampled_from(
    [
        *("http", "https", "HTTPS", ":", "//", "/", "\\", "@", "?", "#", "[", "]", "%", ".", ".."),
        *(";", "zipper.dataspace.copernicus.eu", "evil.example", "127.0.0.1", "::1", "user"),
        *("443", "0x7f", " ", "\t", "\n", "\0", "\u3002", "\uff0f", "\u2100", "%2e", "%40", "%5c"),
        *("é", "xn--"),
    ]
)


@given(base=st.just("https://zipper.dataspace.copernicus.eu/a"), parts=st.lists(PIECES, max_size=9))
def test_all_parsers_find_the_same_host(base: str, parts: list[str]) -> None:
    """The checked URL, the URL that requests prepares, and urllib3's target have one origin."""
    try:
        url = urljoin(base, "".join(parts))
        origin = get_origin(url)
    except (ProductError, ValueError):
        return
    try:
        prepared = str(requests.Request("GET", url).prepare().url)
    except requests.exceptions.RequestException:
        return
    parsed = [urlsplit(url), urlsplit(prepared), parse_url(url), parse_url(prepared)]
    assert len({(part.hostname or "").strip("[]").lower() for part in parsed}) == 1
    assert len({part.port or {"http": 80, "https": 443}[part.scheme] for part in parsed}) == 1
    assert get_origin(prepared) == origin
