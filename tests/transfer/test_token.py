import base64
import json
import time

import pytest

from sandbox.server import Sandbox
from stage_in.transfer.token import Token


def make_token(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"header.{payload}.signature"


def test_tokens_of_the_platform(platform: Sandbox) -> None:
    access = Token.parse(platform.mint(600))
    assert access.kind == "Bearer"
    assert not access.is_refresh_token
    assert access.expires - access.issued == pytest.approx(600, abs=1)
    assert not access.is_stale
    assert not access.is_expired(time.time())
    refresh = Token.parse(platform.mint_refresh())
    assert refresh.is_refresh_token
    expired = Token.parse(platform.mint(-1))
    assert expired.is_stale
    assert expired.is_expired(time.time())


def test_offline_tokens_are_refresh_tokens() -> None:
    assert Token.parse(make_token(typ="Offline")).is_refresh_token


@pytest.mark.parametrize(("life", "margin"), [(600, 30), (100, 10)])
def test_a_token_is_stale_some_time_before_it_expires(
    monkeypatch: pytest.MonkeyPatch, life: int, margin: int
) -> None:
    token = Token.parse(make_token(iat=1000, exp=1000 + life))
    for now, stale, expired in (
        (1000 + life - margin - 1, False, False),
        (1000 + life - margin + 1, True, False),
        (1000 + life + 1, True, True),
    ):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        assert (token.is_stale, token.is_expired(now)) == (stale, expired)


@pytest.mark.parametrize(("expires", "date"), [(1600, 1600), (1600.5, 1600)])
def test_a_token_refused_in_the_second_in_which_it_expires_has_expired(
    expires: float, date: int
) -> None:
    """A Date header is in whole seconds."""
    token = Token.parse(make_token(iat=1000, exp=expires))
    assert token.is_expired(date)
    assert not token.is_expired(date - 1)


def test_the_life_of_a_received_token_counts_from_its_receipt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """This machine's clock may be wrong, so only the difference of the two claims counts."""
    received = 5000.0
    monkeypatch.setattr(time, "monotonic", lambda: received)
    token = Token.receive(make_token(iat=1000, exp=1600))
    for now, stale in ((received + 569, False), (received + 571, True)):
        monkeypatch.setattr(time, "monotonic", lambda now=now: now)
        assert token.is_stale == stale


@pytest.mark.parametrize("value", ["opaque", "a.b.c", "a.e30.c", "a.W10.c", "a..c", "a.{}.c"])
def test_other_values_are_access_tokens_that_never_expire(value: str) -> None:
    token = Token.parse(value)
    assert token.value == value
    assert not token.is_refresh_token
    assert not token.is_stale


def test_an_expiry_of_0_means_never() -> None:
    assert not Token.parse(make_token(exp=0)).is_stale


@pytest.mark.parametrize(
    "claim", ["1e308", "-1e308", "1" + "0" * 400, "9" * 5000, "NaN", "253402300800"]
)
def test_an_expiry_beyond_the_calendar(claim: str) -> None:
    payload = base64.urlsafe_b64encode(f'{{"exp": {claim}}}'.encode()).decode().rstrip("=")
    token = Token.parse(f"a.{payload}.c")
    assert token.expiry == "at an unknown time"
    assert token.is_expired(time.time()) == claim.startswith("-")


def test_the_representation_does_not_contain_the_token(platform: Sandbox) -> None:
    token = Token.parse(platform.mint())
    assert token.value not in repr(token)
