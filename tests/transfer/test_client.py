"""Redirects, ranges and headers of one request. tests/transfer/test_status.py has the statuses."""

import pytest

from sandbox.faults import Fault
from sandbox.server import Sandbox
from stage_in.errors import ProductError, VerificationError
from stage_in.transfer.client import MAX_REDIRECTS, Client, _join_location
from stage_in.transfer.credentials import Credentials
from stage_in.transfer.session import user_agent
from stage_in.transfer.trust import Trust
from tests.clients import make_client

CONTENT = bytes(range(256)) * 4


@pytest.fixture
def url(platform: Sandbox) -> str:
    """The URL of a file at the download service."""
    platform.pages["/file"] = CONTENT
    return f"{platform.download}/file"


@pytest.fixture
def client(platform: Sandbox) -> Client:
    tokens = Credentials(Trust(), access_token=platform.mint())
    return make_client(platform.download, platform.catalogue, tokens=tokens)


def redirect(platform: Sandbox, *locations: str) -> None:
    """Let the first requests be redirected, one after another."""
    for location in locations:
        platform.faults.add(Fault(redirect=location, times=1))


def test_headers(platform: Sandbox, client: Client, url: str) -> None:
    for open_url in (client.get, client.get_listing, client.download):
        with open_url(url) as body:
            assert body.read(2000) == CONTENT
    tokens = [x.header("Authorization") for x in platform.log]
    assert tokens[:2] == [None, None]
    assert str(tokens[2]).startswith("Bearer ey")
    assert {x.header("User-Agent") for x in platform.log} == {user_agent()}
    assert {x.header("Accept-Encoding") for x in platform.log} == {"identity"}


def test_a_redirect_to_a_trusted_host_is_followed(
    platform: Sandbox, client: Client, url: str
) -> None:
    redirect(platform, "{catalogue}{path}", "/file")
    with client.download(url) as body:
        assert body.read(2000) == CONTENT
    assert [x.role for x in platform.log] == ["download", "catalogue", "catalogue"]
    assert None not in [x.header("Authorization") for x in platform.log]


@pytest.mark.parametrize("method", ["get_listing", "download"])
def test_a_redirect_to_another_host_is_refused(
    platform: Sandbox, client: Client, url: str, method: str
) -> None:
    redirect(platform, "{stranger}{path}")
    with (
        pytest.raises(VerificationError, match="No request and no token was sent there"),
        getattr(client, method)(url),
    ):
        pass
    assert not platform.log.of("stranger")


def test_the_item_may_be_redirected_anywhere_without_a_token(
    platform: Sandbox, client: Client, url: str
) -> None:
    redirect(platform, "{stranger}{path}")
    with client.get(url) as body:
        assert body.read(2000) == CONTENT
    assert [x.header("Authorization") for x in platform.log] == [None, None]


@pytest.mark.parametrize("location", ["", "http://[", "http://a..b/", "ftp://host/x", "//u@h/x"])
def test_a_redirect_to_no_valid_url_is_refused(
    platform: Sandbox, client: Client, url: str, location: str
) -> None:
    redirect(platform, location)
    redirect(platform, *["/file"] * MAX_REDIRECTS)  # an empty Location leads to the same URL
    with pytest.raises(VerificationError, match="redirect"), client.get(url):
        pass


def test_no_redirect_leads_from_https_to_http() -> None:
    with pytest.raises(VerificationError, match="stay on https, but one leads to http://host/y"):
        _join_location("HTTPS://host/x", "http://host/y")


def test_cookies_are_not_kept(platform: Sandbox, client: Client, url: str) -> None:
    platform.faults.add(Fault(headers={"Set-Cookie": "name=value; Path=/"}))
    for _ in range(2):
        with client.get(url):
            pass
    assert [x.header("Cookie") for x in platform.log] == [None, None]


def test_the_number_of_redirects_is_limited(platform: Sandbox, client: Client, url: str) -> None:
    redirect(platform, *["/file"] * MAX_REDIRECTS)
    with client.get(url) as body:
        assert body.read(2000) == CONTENT
    redirect(platform, *["/file"] * (MAX_REDIRECTS + 1))
    with pytest.raises(VerificationError, match=f"more than {MAX_REDIRECTS} redirects"):
        client.get(url).__enter__()


def test_a_download_is_resumed(platform: Sandbox, client: Client) -> None:
    product = platform.products[1]
    manifest = f"Products({product.uuid})/Nodes({product.name})/Nodes(manifest.safe)/$value"
    url = f"{platform.download}/odata/v1/{manifest}"
    with client.download(url) as body:
        whole = body.read(10**6)
    for platform.ranges in (True, False):
        with client.download(url, 100) as body:
            assert body.start == (100 if platform.ranges else 0)
            assert body.read(10**6) == whole[body.start :]


@pytest.mark.parametrize(
    "content_range",
    [
        *("bytes 0-9/10", "bytes 7-9/*", "bytes x-y/z", "items 5-9/10", "", "bytes 5-8/10"),
        f"bytes {'9' * 5000}-1/2",
    ],
)
def test_another_part_of_the_file_is_refused(
    platform: Sandbox, client: Client, url: str, content_range: str
) -> None:
    platform.faults.add(Fault(status=206, body=b"xxxxx", headers={"Content-Range": content_range}))
    with (
        pytest.raises(VerificationError, match="must send bytes 5 to the end") as caught,
        client.download(url, 5),
    ):
        pass
    assert len(str(caught.value)) < 400


def test_a_part_that_was_not_requested_is_refused(
    platform: Sandbox, client: Client, url: str
) -> None:
    platform.faults.add(Fault(status=206, body=b"x", headers={"Content-Range": "bytes 0-0/1"}))
    with pytest.raises(ProductError, match="status 206"), client.download(url):
        pass
