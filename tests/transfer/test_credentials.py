"""Tokens that age, are renewed, and are shown to nobody else."""

import base64
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sandbox.limits import Limits
from sandbox.server import Sandbox
from sandbox.tokens import Account
from stage_in.errors import CredentialsError, TemporaryError
from stage_in.transfer.credentials import Credentials, Token
from stage_in.transfer.trust import Trust
from tests.conftest import StageIn


def read(platform: Sandbox, **environment: str) -> Credentials:
    trust = Trust.from_settings("", platform.token_url)
    return Credentials.from_environment(environment, trust)


def grants(platform: Sandbox) -> list[str]:
    """The grant types that the token endpoint was asked for, in order."""
    forms = [x.body.decode() for x in platform.log.of("identity", "*/token")]
    return [form.partition("grant_type=")[2].partition("&")[0] for form in forms]


def test_an_access_token_is_used_as_it_is(platform: Sandbox) -> None:
    token = platform.mint()
    assert read(platform, CDSE_ACCESS_TOKEN=f" {token}\n").access_token() == token
    assert not grants(platform)


def test_a_token_that_says_nothing_of_itself_is_used_too(platform: Sandbox) -> None:
    for value in ("opaque", "a.b.c", "a.e30.c", "a.W10.c", "a..c"):
        assert read(platform, CDSE_ACCESS_TOKEN=value).access_token() == value


@pytest.mark.parametrize(
    "claim", ["1e308", "-1e308", "1" + "0" * 400, "9" * 5000, "NaN", "253402300800"]
)
def test_a_token_that_ends_beyond_all_calendars(platform: Sandbox, claim: str) -> None:
    """It is used or has ended; that it says so in no year that there is, is no bug of ours."""
    payload = base64.urlsafe_b64encode(f'{{"exp": {claim}}}'.encode()).decode().rstrip("=")
    value = f"a.{payload}.c"
    assert "at an unknown time" in repr(Token.read(value))
    credentials = read(platform, CDSE_ACCESS_TOKEN=value)
    if claim.startswith("-"):
        with pytest.raises(CredentialsError, match="ended at an unknown time"):
            credentials.access_token()
    else:
        assert credentials.access_token() == value


@pytest.mark.parametrize("name", ["CDSE_ACCESS_TOKEN", "CDSE_REFRESH_TOKEN"])
def test_a_refresh_token_is_exchanged(platform: Sandbox, name: str) -> None:
    refresh = platform.mint_refresh()
    access = read(platform, **{name: refresh}).access_token()
    assert Token.read(access).kind == "Bearer"
    assert not Token.read(access).aged
    assert grants(platform) == ["refresh_token"]


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"CDSE_REFRESH_TOKEN": "refresh"}, ["refresh_token"]),
        ({"CDSE_USERNAME": "user", "CDSE_PASSWORD": "secret"}, ["password"]),
        (
            {
                "CDSE_REFRESH_TOKEN": "refresh",
                "CDSE_USERNAME": "user",
                "CDSE_PASSWORD": "secret",
            },
            ["refresh_token"],
        ),
        (
            {"CDSE_REFRESH_TOKEN": "aged", "CDSE_USERNAME": "user", "CDSE_PASSWORD": "secret"},
            ["password"],
        ),
        (
            {"CDSE_REFRESH_TOKEN": "revoked", "CDSE_USERNAME": "user", "CDSE_PASSWORD": "secret"},
            ["refresh_token", "password"],
        ),
    ],
)
@pytest.mark.parametrize("access", [None, "", "aged"])
def test_where_the_access_token_is_unset_empty_or_aged(
    platform: Sandbox, access: str | None, others: dict[str, str], expected: list[str]
) -> None:
    minted = {
        "refresh": platform.mint_refresh(),
        "aged": platform.mint_refresh(-1),
        "revoked": platform.mint_refresh()[:-2],
    }
    environment = {name: minted.get(value, value) for name, value in others.items()}
    if access is not None:
        environment["CDSE_ACCESS_TOKEN"] = platform.mint(-1) if access else ""
    assert not Token.read(read(platform, **environment).access_token()).aged
    assert grants(platform) == expected


def test_a_one_time_code_is_spent_at_once_for_a_refresh_token() -> None:
    with Sandbox(accounts=[Account(totp=("123456",))], token_life=1) as platform:
        credentials = read(
            platform, CDSE_USERNAME="user", CDSE_PASSWORD="secret", CDSE_TOTP="123456"
        )
        credentials.spend_code()
        assert grants(platform) == ["password"]
        first = credentials.access_token()
        time.sleep(1)
        assert credentials.access_token() != first
        assert set(grants(platform)[1:]) == {"refresh_token"}


def test_wrong_password(platform: Sandbox) -> None:
    credentials = read(platform, CDSE_USERNAME="user", CDSE_PASSWORD="hunter2-hunter2")
    with pytest.raises(CredentialsError, match="Invalid user credentials") as caught:
        credentials.access_token()
    assert "hunter2" not in str(caught.value)


def test_ended_with_nothing_to_renew_by(platform: Sandbox) -> None:
    token = platform.mint(-5)
    with pytest.raises(CredentialsError, match=r"ended 20.* UTC: set a new one") as caught:
        read(platform, CDSE_ACCESS_TOKEN=token).access_token()
    assert token not in str(caught.value)
    with pytest.raises(CredentialsError, match="refresh token ended"):
        read(platform, CDSE_REFRESH_TOKEN=platform.mint_refresh(-5)).access_token()


@pytest.mark.parametrize("fault", ["status=503", "html", "reset=start", "redirect={stranger}"])
def test_token_endpoint_down(platform: Sandbox, fault: str) -> None:
    platform.faults.add(f"on=identity {fault}")
    refresh = platform.mint_refresh()
    with pytest.raises(TemporaryError) as caught:
        read(platform, CDSE_REFRESH_TOKEN=refresh).access_token()
    assert refresh not in str(caught.value)
    assert not platform.log.of("stranger")


def test_no_secret_in_the_representation(platform: Sandbox) -> None:
    token = Token.read(platform.mint())
    assert token.value not in repr(token)


def test_renewed_in_mid_run_once_for_all_workers(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    """Tokens that live two seconds, and a product that takes longer."""
    platform.token_life = 2
    platform.limits = Limits(connections=4, rate=30_000)
    run = stage_in(
        platform.item_url(new.name),
        CDSE_ACCESS_TOKEN="",
        CDSE_REFRESH_TOKEN=platform.mint_refresh(),
    )
    assert run.code == 0, run.log
    exchanges = platform.log.of("download", "*$value")
    lasted = max(x.closed or 0 for x in exchanges) - min(x.opened for x in exchanges)
    assert lasted > 4
    assert 3 <= len(grants(platform)) <= lasted / 1.7 + 1
    assert len({x.header("Authorization") for x in exchanges}) == len(grants(platform))


def test_a_refused_token_is_renewed(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    """A token that has years to go by its own word, and that the service doesn't take."""
    stale = platform.mint(life=1e8, aud=[])
    run = stage_in(
        platform.item_url(new.name),
        CDSE_ACCESS_TOKEN=stale,
        CDSE_USERNAME="user",
        CDSE_PASSWORD="secret",
    )
    assert run.code == 0, run.log
    assert grants(platform) == ["password"]


def test_ended_in_mid_run(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    platform.limits = Limits(connections=4, rate=30_000)
    run = stage_in(platform.item_url(new.name), CDSE_ACCESS_TOKEN=platform.mint(2))
    assert run.code == 77
    assert "ended 20" in run.reason
    assert "CDSE_REFRESH_TOKEN" in run.reason


SECRETS = {"CDSE_USERNAME": "user", "CDSE_PASSWORD": "secret-of-the-test"}


def test_secrets_go_to_their_endpoints_alone(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    refresh = platform.mint_refresh()
    run = stage_in(
        platform.item_url(new.name),
        "--verbose",
        CDSE_ACCESS_TOKEN=refresh,
        CDSE_REFRESH_TOKEN="",
        **SECRETS,
    )
    assert run.code == 0, run.log
    assert {x.role for x in platform.log if x.holds(refresh)} == {"identity"}
    assert not [x for x in platform.log if x.holds(SECRETS["CDSE_PASSWORD"])]
    shown = {str(x.header("Authorization")).split()[-1] for x in platform.log.of("download")}
    files = [path for path in stage_in.folder.rglob("*") if path.is_file()]
    for secret in {refresh, SECRETS["CDSE_PASSWORD"], *shown} - {"None"}:
        assert secret not in run.log
        assert not [path for path in files if secret.encode() in path.read_bytes()]


def cdse_token(platform: Sandbox, *options: str, **variables: str) -> Any:
    return subprocess.run(
        [Path(sys.executable).with_name("cdse-token"), *options],
        env={"PATH": os.environ["PATH"], **platform.environment, **variables},
        capture_output=True,
        text=True,
        input="",
        timeout=30,
    )


def test_cdse_token(platform: Sandbox) -> None:
    user = {"CDSE_USERNAME": "user", "CDSE_PASSWORD": "secret"}
    access = cdse_token(platform, **user)
    assert (access.returncode, access.stderr) == (0, "")
    assert Token.read(access.stdout.strip()).kind == "Bearer"
    refresh = cdse_token(platform, "--refresh", **user)
    assert Token.read(refresh.stdout.strip()).refreshes

    wrong = cdse_token(platform, CDSE_USERNAME="user", CDSE_PASSWORD="wrong")
    assert (wrong.returncode, wrong.stdout) == (77, "")
    assert "Invalid user credentials" in wrong.stderr


def test_cdse_token_asks(platform: Sandbox) -> None:
    """On a terminal, the password is not shown."""
    script = r"""
import os, pty, sys
answers = {b"User": b"user", b"Password": b"secret", b"One-time": b""}
def answer(fd):
    seen = os.read(fd, 1024)
    for question, text in list(answers.items()):
        if question in seen:
            del answers[question]
            os.write(fd, text + b"\n")
    return seen
sys.exit(os.waitstatus_to_exitcode(pty.spawn([sys.argv[1]], answer)))
"""
    shown = subprocess.run(
        [sys.executable, "-c", script, Path(sys.executable).with_name("cdse-token")],
        env={"PATH": os.environ["PATH"], **platform.environment},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    *_, token = shown.stdout.split()
    assert Token.read(token).kind == "Bearer"
    assert "secret" not in shown.stdout
