from urllib.parse import urljoin, urlsplit

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util import parse_url

from stage_in.errors import ProductError, UsageError
from stage_in.transfer.trust import PLATFORM_ORIGINS, Trust
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


@pytest.mark.parametrize(
    "url",
    [
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
    ],
)
def test_no_origin(url: str) -> None:
    with pytest.raises(ProductError, match="expected a plain http"):
        get_origin(url)
    assert not Trust().allows(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://zipper.dataspace.copernicus.eu/",  # in the clear
        "https://zipper.dataspace.copernicus.eu:8443/",
        "https://stac.dataspace.copernicus.eu/",
        "https://identity.dataspace.copernicus.eu/",
        "https://xzipper.dataspace.copernicus.eu/",
        "https://zipper.dataspace.copernicus.eu.evil.example/",
        "https://zipper.dataspace.copernicus.eu./",
        "http://127.0.0.1:8080/",
    ],
)
def test_strangers(url: str) -> None:
    assert not Trust().allows(url)


def test_named_hosts_are_added() -> None:
    trust = Trust.from_settings(" http://127.0.0.1:1234, https://Mirror.example/ ", "")
    assert trust.allows("http://127.0.0.1:1234/x")
    assert trust.allows("https://mirror.example:443/x")
    assert not trust.allows("http://127.0.0.1:1235/x")
    assert not trust.allows("http://mirror.example/x")
    assert trust.origins > PLATFORM_ORIGINS


@pytest.mark.parametrize(
    "hosts",
    [
        *("mirror.example", "https://mirror.example/path", "https://u:pass@mirror.example"),
        *("https://mirror.example//", "https://mirror.example:99999"),
    ],
)
def test_named_hosts_are_origins(hosts: str) -> None:
    with pytest.raises(UsageError, match="CDSE_TRUSTED_HOSTS") as caught:
        Trust.from_settings(hosts, "")
    assert "pass" not in str(caught.value)


def test_identity_url_is_checked() -> None:
    assert Trust.from_settings("", "http://127.0.0.1:1/token").identity_url.endswith(":1/token")
    for url in ("identity.example", "https://identity.example:99999/token", "https://a..b/token"):
        with pytest.raises(UsageError, match="CDSE_IDENTITY_URL"):
            Trust.from_settings("", url)


def test_redact() -> None:
    assert redact("https://user:password@host/path/x?token=secret#secret") == "https://host/path/x"
    assert redact("/path?token=secret") == "/path"
    assert redact("https://host?token=secret") == "https://host"
    assert redact("https://user:pass?word@host/x") == "https://…"
    assert redact(r"https://evil\@host/") == "https://…"
    assert redact("https://host/" + "x" * 10_000) == "https://host/" + "x" * 487 + "…"
    assert strip_secrets("https://u@host/" + "x" * 10_000) == "https://host/" + "x" * 10_000


pieces = st.sampled_from(
    [
        *(
            "http",
            "https",
            "HTTPS",
            ":",
            "//",
            "/",
            "\\",
            "@",
            "?",
            "#",
            "[",
            "]",
            "%",
            ".",
            "..",
            ";",
        ),
        *(
            "zipper.dataspace.copernicus.eu",
            "evil.example",
            "127.0.0.1",
            "::1",
            "user",
            "443",
            "0x7f",
        ),
        *(" ", "\t", "\n", "\0", "\u3002", "\uff0f", "\u2100", "%2e", "%40", "%5c", "é", "xn--"),
    ]
)


@given(base=st.just("https://zipper.dataspace.copernicus.eu/a"), parts=st.lists(pieces, max_size=9))
def test_whoever_reads_a_url_reads_the_same_host(base: str, parts: list[str]) -> None:
    """At each hop: what is checked, what requests makes of it, and where urllib3 connects to."""
    try:
        url = urljoin(base, "".join(parts))
        origin = get_origin(url)
    except (ProductError, ValueError):
        return
    try:
        prepared = str(requests.Request("GET", url).prepare().url)
    except requests.exceptions.RequestException:
        return
    read = [urlsplit(url), urlsplit(prepared), parse_url(url), parse_url(prepared)]
    assert len({(part.hostname or "").strip("[]").lower() for part in read}) == 1
    assert len({part.port or {"http": 80, "https": 443}[part.scheme] for part in read}) == 1
    assert get_origin(prepared) == origin
