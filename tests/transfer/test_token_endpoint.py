import pytest

from sandbox.server import Sandbox
from stage_in.errors import CredentialsError, TemporaryError
from stage_in.transfer.session import CONNECT_TIMEOUT, user_agent
from stage_in.transfer.token_endpoint import request_token

PASSWORD_GRANT = {"client_id": "cdse-public", "grant_type": "password", "username": "user"}


def test_the_answer_is_a_json_object(platform: Sandbox) -> None:
    answer = request_token(platform.token_url, {**PASSWORD_GRANT, "password": "secret"}, "Log in")
    assert {"access_token", "refresh_token"} <= answer.keys()
    (exchange,) = platform.log.of("identity")
    assert exchange.header("User-Agent") == user_agent()
    assert exchange.header("Authorization") is None


def test_a_wrong_password(platform: Sandbox) -> None:
    with pytest.raises(CredentialsError, match=r"Invalid user credentials\. Log in") as caught:
        request_token(
            platform.token_url, {**PASSWORD_GRANT, "password": "hunter2-hunter2"}, "Log in"
        )
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("status=400 body=[", CredentialsError),
        ("status=503", TemporaryError),
        ("reset=start", TemporaryError),
        ("redirect={stranger}", TemporaryError),
        ("cut=0.5", TemporaryError),
        (f"body={' ' * 300_000!r}", TemporaryError),
    ],
    ids=["refused", "503", "reset", "redirect", "cut", "too long"],
)
def test_an_endpoint_that_fails(platform: Sandbox, fault: str, kind: type[Exception]) -> None:
    platform.faults.add(f"on=identity {fault}")
    with pytest.raises(kind) as caught:
        request_token(platform.token_url, {**PASSWORD_GRANT, "password": "secret"}, "Log in")
    assert "secret" not in str(caught.value)
    assert not platform.log.of("stranger")


def test_an_endpoint_that_is_down(platform: Sandbox) -> None:
    with platform.down("identity"), pytest.raises(TemporaryError, match="refused"):
        request_token(platform.token_url, PASSWORD_GRANT, "Log in")


@pytest.mark.slow
def test_an_endpoint_may_be_slow_to_answer(platform: Sandbox) -> None:
    """It may take longer than a connection may take."""
    platform.faults.add(f"on=identity stall={CONNECT_TIMEOUT + 1}")
    answer = request_token(platform.token_url, {**PASSWORD_GRANT, "password": "secret"}, "Log in")
    assert "access_token" in answer
