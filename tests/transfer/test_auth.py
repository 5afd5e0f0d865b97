"""Which requests carry the access token, and which are not sent at all."""

from pathlib import Path

import pytest
import requests

from sandbox.server import Sandbox
from stage_in.errors import VerificationError
from stage_in.transfer.auth import BearerAuth, NoAuth, TrustedAuth
from stage_in.transfer.trust import Trust
from tests.clients import NoToken
from tests.conftest import StageIn

TRUSTED = "https://zipper.dataspace.copernicus.eu/x"
UNTRUSTED = [
    "https://stac.dataspace.copernicus.eu/x",
    "http://zipper.dataspace.copernicus.eu/x",
    # requests turns this backslash into %5C, so that the host is another one.
    r"https://evil.example\@zipper.dataspace.copernicus.eu/x",
]


class Tokens:
    """Provides a new token for each request."""

    def __init__(self) -> None:
        self.count = 0

    def access_token(self) -> str:
        self.count += 1
        return f"token-{self.count}"

    def refused(self, token: str, now: float) -> None:
        raise AssertionError("expected no rejected token")


def prepare(url: str, auth: requests.auth.AuthBase) -> requests.PreparedRequest:
    return requests.Request("GET", url, auth=auth).prepare()


def test_each_request_gets_the_current_token() -> None:
    auth = BearerAuth(Trust(), Tokens())
    headers = [prepare(TRUSTED, auth).headers["Authorization"] for _ in range(2)]
    assert headers == ["Bearer token-1", "Bearer token-2"]


@pytest.mark.parametrize("url", UNTRUSTED)
def test_other_origins_get_no_request_and_no_token(url: str) -> None:
    for auth in (TrustedAuth(Trust()), BearerAuth(Trust(), NoToken())):
        with pytest.raises(VerificationError, match="No request and no token was sent there"):
            prepare(url, auth)


def test_requests_without_credentials_carry_none() -> None:
    assert "Authorization" not in prepare(TRUSTED, TrustedAuth(Trust())).headers
    assert "Authorization" not in prepare("https://stac.example/x", NoAuth()).headers


def test_netrc_is_not_read(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    netrc = stage_in.folder.parent / ".netrc"
    netrc.write_text("default login user password netrc-password\n")
    netrc.chmod(0o600)
    run = stage_in(platform.item_url(new.name), HOME=str(netrc.parent), NETRC=str(netrc))
    assert run.code == 0, run.log
    assert all((x.header("Authorization") or "Bearer").startswith("Bearer") for x in platform.log)
    assert all(x.header("Authorization") is None for x in platform.log.of("stac"))


def test_netrc_is_not_read_for_a_log_in(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    netrc = stage_in.folder.parent / ".netrc"
    netrc.write_text("default login user password netrc-password\n")
    netrc.chmod(0o600)
    run = stage_in(
        platform.item_url(new.name),
        CDSE_ACCESS_TOKEN="",
        CDSE_USERNAME="user",
        CDSE_PASSWORD="secret",
        HOME=str(netrc.parent),
        NETRC=str(netrc),
    )
    assert run.code == 0, run.log
    assert [x.header("Authorization") for x in platform.log.of("identity")] == [None]
