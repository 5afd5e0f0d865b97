import pytest
from loguru import logger

from stage_in.errors import UsageError
from stage_in.transfer.trust import PLATFORM_ORIGINS, Trust


@pytest.mark.parametrize("host", ["catalogue", "zipper", "download"])
def test_hosts_of_the_platform_are_trusted(host: str) -> None:
    assert Trust().allows(f"https://{host}.dataspace.copernicus.eu/odata/v1/Products(x)/$value")


@pytest.mark.parametrize(
    "url",
    [
        "http://zipper.dataspace.copernicus.eu/",  # not encrypted
        "https://zipper.dataspace.copernicus.eu:8443/",
        "https://stac.dataspace.copernicus.eu/",
        "https://identity.dataspace.copernicus.eu/",
        "https://xzipper.dataspace.copernicus.eu/",
        "https://zipper.dataspace.copernicus.eu.evil.example/",
        "https://zipper.dataspace.copernicus.eu./",
        "http://127.0.0.1:8080/",
        # URLs that have no origin (tests/test_urls.py has more of them)
        r"https://evil\@zipper.dataspace.copernicus.eu/",
        "https://user:password@zipper.dataspace.copernicus.eu/",
        "https://zipper.dataspace.copernicus.eu@evil/",
        "//zipper.dataspace.copernicus.eu/",
        "",
    ],
)
def test_other_hosts_are_not_trusted(url: str) -> None:
    assert not Trust().allows(url)


@pytest.mark.parametrize("separator", [",", " ", ", ", "\n"])
def test_the_user_may_name_origins(separator: str) -> None:
    hosts = f" http://127.0.0.1:1234{separator}https://Mirror.example/ "
    trust = Trust.from_environment({"CDSE_TRUSTED_HOSTS": hosts})
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
def test_the_user_may_name_nothing_else(hosts: str) -> None:
    with pytest.raises(UsageError, match="CDSE_TRUSTED_HOSTS") as caught:
        Trust.from_environment({"CDSE_TRUSTED_HOSTS": hosts})
    assert "pass" not in str(caught.value)


def test_identity_url_is_checked() -> None:
    trust = Trust.from_environment({"CDSE_IDENTITY_URL": "http://127.0.0.1:1/token"})
    assert trust.identity_url == "http://127.0.0.1:1/token"
    for url in ("identity.example", "https://identity.example:99999/token", "https://a..b/token"):
        with pytest.raises(UsageError, match="CDSE_IDENTITY_URL"):
            Trust.from_environment({"CDSE_IDENTITY_URL": url})


@pytest.mark.parametrize("name", ["CDSE_TRUSTED_HOSTS", "CDSE_IDENTITY_URL"])
@pytest.mark.parametrize(
    ("origin", "warned"),
    [
        ("https://mirror.example", False),
        ("http://127.0.0.1:8080", False),
        ("http://127.9.9.9", False),
        ("http://[::1]:8080", False),
        ("http://localhost:8080", False),
        ("http://mirror.example:8080", True),
        ("http://127.0.0.1.example", True),
        ("http://localhost.example", True),
        ("http://192.168.0.1", True),
    ],
)
def test_unencrypted_origins_are_named(name: str, origin: str, warned: bool) -> None:
    messages: list[str] = []
    sink = logger.add(messages.append, level="WARNING", format="{message}")
    trust = Trust.from_environment({name: origin})
    logger.remove(sink)
    assert origin in {*trust.origins, trust.identity_url}
    assert bool(messages) == warned
    assert all(f"{name} names {origin}: " in m and "unencrypted" in m for m in messages)
