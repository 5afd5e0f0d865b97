"""The platform decides whether a token is good, whatever this machine's clock says."""

import base64
import json
import time
from typing import Any

import pytest

from sandbox.server import Sandbox
from stage_in.errors import CredentialsError
from stage_in.transfer import token
from stage_in.transfer.credentials import Credentials
from stage_in.transfer.trust import Trust

AHEAD = 11 * 60.0  # seconds: more than the life of an access token


@pytest.fixture(params=[AHEAD, -AHEAD], ids=["ahead", "behind"])
def offset(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """Let this process's clock differ from the platform's."""
    real = time.time

    class Clock:
        monotonic = staticmethod(time.monotonic)

        @staticmethod
        def time() -> float:
            return real() + request.param

    monkeypatch.setattr(token, "time", Clock)
    monkeypatch.setattr("stage_in.transfer.credentials.time", Clock)
    return float(request.param)


def make_token(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.x"


def test_a_token_from_the_environment_is_sent(offset: float) -> None:
    value = make_token(iat=time.time() - 10, exp=time.time() + 590)
    assert Credentials(Trust(), access_token=value).access_token() == value


def test_renewed_tokens_last_as_long_as_they_say(offset: float, platform: Sandbox) -> None:
    trust = Trust.from_environment(platform.environment)
    credentials = Credentials(
        trust, access_token=platform.mint(), username="user", password="secret"
    )
    tokens = {credentials.access_token() for _ in range(60)}
    assert len(tokens) == 1
    assert len(platform.log.of("identity")) <= 1


def test_the_message_mentions_the_clock(offset: float) -> None:
    value = make_token(iat=time.time() - 700, exp=time.time() - 100)
    credentials = Credentials(Trust(), access_token=value)
    word = "ahead of" if offset > 0 else "behind"
    with pytest.raises(CredentialsError, match=f"clock is 11 minutes {word} the platform's"):
        credentials.refused(value, time.time())


def test_the_message_does_not_mention_a_clock_that_is_right() -> None:
    value = make_token(iat=time.time() - 700, exp=time.time() - 100)
    with pytest.raises(CredentialsError, match=r"the access token expired at 20\d\d-") as caught:
        Credentials(Trust(), access_token=value).refused(value, time.time())
    assert "clock" not in str(caught.value)
