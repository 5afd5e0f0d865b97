"""Credentials from environment variables, and how the access token is renewed."""

import base64
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sandbox.limits import Limits
from sandbox.server import Sandbox
from sandbox.tokens import Account
from stage_in.errors import CredentialsError, TemporaryError
from stage_in.secrets import strike
from stage_in.transfer.credentials import Credentials
from stage_in.transfer.token import Token
from stage_in.transfer.trust import Trust
from tests.conftest import StageIn


def read(platform: Sandbox, **environment: str) -> Credentials:
    return Credentials.from_environment(environment, Trust(identity_url=platform.token_url))


def get_grants(platform: Sandbox) -> list[str]:
    """Return the grant types that the token endpoint received, in order."""
    forms = [x.body.decode() for x in platform.log.of("identity", "*/token")]
    return [form.partition("grant_type=")[2].partition("&")[0] for form in forms]


def test_an_access_token_is_used_as_it_is(platform: Sandbox) -> None:
    token = platform.mint()
    assert read(platform, CDSE_ACCESS_TOKEN=f" {token}\n").access_token() == token
    assert not get_grants(platform)


def test_an_opaque_access_token_is_used_as_it_is(platform: Sandbox) -> None:
    for value in ("opaque", "a.b.c", "a.e30.c", "a.W10.c", "a..c"):
        assert read(platform, CDSE_ACCESS_TOKEN=value).access_token() == value


@pytest.mark.parametrize("expiry", ["1e308", "-1e308"])
def test_an_access_token_that_expires_beyond_the_calendar(platform: Sandbox, expiry: str) -> None:
    payload = base64.urlsafe_b64encode(f'{{"exp": {expiry}}}'.encode()).decode().rstrip("=")
    token = f"a.{payload}.c"
    credentials = read(platform, CDSE_ACCESS_TOKEN=token)
    assert credentials.access_token() == token
    if expiry.startswith("-"):
        with pytest.raises(CredentialsError, match="expired at an unknown time"):
            credentials.refused(token, time.time())
    else:
        credentials.refused(token, time.time())
        assert credentials.access_token() == token


@pytest.mark.parametrize("name", ["CDSE_ACCESS_TOKEN", "CDSE_REFRESH_TOKEN"])
def test_a_refresh_token_is_exchanged(platform: Sandbox, name: str) -> None:
    refresh = platform.mint_refresh()
    access = read(platform, **{name: refresh}).access_token()
    assert Token.parse(access).kind == "Bearer"
    assert not Token.parse(access).is_stale
    assert get_grants(platform) == ["refresh_token"]


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
            {"CDSE_REFRESH_TOKEN": "expired", "CDSE_USERNAME": "user", "CDSE_PASSWORD": "secret"},
            ["refresh_token", "password"],
        ),
        (
            {"CDSE_REFRESH_TOKEN": "revoked", "CDSE_USERNAME": "user", "CDSE_PASSWORD": "secret"},
            ["refresh_token", "password"],
        ),
    ],
)
@pytest.mark.parametrize("access", [None, "", "expired"])
def test_without_a_valid_access_token_one_is_requested(
    platform: Sandbox, access: str | None, others: dict[str, str], expected: list[str]
) -> None:
    tokens = {
        "refresh": platform.mint_refresh(),
        "expired": platform.mint_refresh(-1),
        "revoked": platform.mint_refresh()[:-2],
    }
    environment = {name: tokens.get(value, value) for name, value in others.items()}
    if access is not None:
        environment["CDSE_ACCESS_TOKEN"] = platform.mint(-1) if access else ""
    assert not Token.parse(read(platform, **environment).access_token()).is_stale
    assert get_grants(platform) == expected


def test_a_one_time_code_is_used_at_once_and_only_once() -> None:
    with Sandbox(accounts=[Account(totp=("123456",))], token_life=1) as platform:
        credentials = read(
            platform, CDSE_USERNAME="user", CDSE_PASSWORD="secret", CDSE_TOTP="123456"
        )
        credentials.use_one_time_code()
        assert get_grants(platform) == ["password"]
        first = credentials.access_token()
        time.sleep(1)
        assert credentials.access_token() != first
        assert set(get_grants(platform)[1:]) == {"refresh_token"}


def test_a_wrong_password(platform: Sandbox) -> None:
    credentials = read(platform, CDSE_USERNAME="user", CDSE_PASSWORD="hunter2-hunter2")
    with pytest.raises(CredentialsError, match="Invalid user credentials") as caught:
        credentials.access_token()
    assert "hunter2" not in str(caught.value)


def test_an_expired_token_that_cannot_be_renewed(platform: Sandbox) -> None:
    """The platform decides: the token is sent, and only its refusal ends the run."""
    token = platform.mint(-5)
    credentials = read(platform, CDSE_ACCESS_TOKEN=token)
    assert credentials.access_token() == token
    with pytest.raises(CredentialsError, match=r"token expired at 20.* UTC\. Set a new") as caught:
        credentials.refused(token, time.time())
    assert token not in str(caught.value)


def test_the_clock_of_the_platform_tells_whether_a_token_has_expired(platform: Sandbox) -> None:
    valid = platform.mint(-5)
    credentials = read(platform, CDSE_ACCESS_TOKEN=valid)
    credentials.refused(valid, time.time() - 100)
    assert credentials.access_token() == valid
    expired = platform.mint(600)
    with pytest.raises(CredentialsError, match="clock is 17 minutes behind"):
        read(platform, CDSE_ACCESS_TOKEN=expired).refused(expired, time.time() + 1000)


def test_an_expired_refresh_token(platform: Sandbox) -> None:
    refresh = platform.mint_refresh(-5)
    with pytest.raises(CredentialsError, match="Token is not active") as caught:
        read(platform, CDSE_REFRESH_TOKEN=refresh).access_token()
    assert refresh not in str(caught.value)
    assert get_grants(platform) == ["refresh_token"]


def test_an_expired_token_ends_the_run_at_once(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    run = stage_in(platform.item_url(new.name), CDSE_ACCESS_TOKEN=platform.mint(-5))
    assert run.code == 77
    assert "expired at 20" in run.reason
    assert "clock" not in run.reason
    assert [x.status for x in platform.log.of("download")] == [401]


def test_secrets_of_a_program_are_struck() -> None:
    Credentials(Trust(), access_token="an-opaque-token", username="user", password="the password")
    assert strike("an-opaque-token, the password") == "[secret], [secret]"


# What people paste around a token, or scripts leave there.
DECORATED = {
    "quotes": '"{}"',
    "typographic quotes": "\N{LEFT DOUBLE QUOTATION MARK}{}\N{RIGHT DOUBLE QUOTATION MARK}",
    "single quotes": "'{}'",
    "Bearer": "Bearer {}",
    "bearer": "bearer  {}",
    "header": "'Authorization: Bearer {}'",
    "quotes after Bearer": 'Bearer "{}"',
    "comma": "{},",
    "quotes and comma": '"{}",',
    "carriage return": "{}\r\n",
    "answer": '{{"access_token": "{0}", "refresh_token": "{0}", "expires_in": 600}}',
    "quoted answer": '\'{{"access_token":"{0}","refresh_token":"{0}"}}\'\n',
}


@pytest.mark.parametrize("name", ["CDSE_ACCESS_TOKEN", "CDSE_REFRESH_TOKEN"])
@pytest.mark.parametrize("decoration", DECORATED)
def test_what_is_pasted_around_a_token_is_removed(
    platform: Sandbox, decoration: str, name: str
) -> None:
    token = platform.mint() if name == "CDSE_ACCESS_TOKEN" else platform.mint_refresh()
    credentials = read(platform, **{name: DECORATED[decoration].format(token)})
    access = credentials.access_token()
    assert (access == token) == (name == "CDSE_ACCESS_TOKEN")
    forms = [x.body.decode() for x in platform.log.of("identity")]
    assert [token in form for form in forms] == [True] * (name == "CDSE_REFRESH_TOKEN")


@pytest.mark.parametrize("name", ["CDSE_ACCESS_TOKEN", "CDSE_REFRESH_TOKEN"])
@pytest.mark.parametrize(
    "value",
    [
        *("null", '"null"', "None", "undefined", "$CDSE_ACCESS_TOKEN", "${TOKEN}", "$(cat token)"),
        *("{}", '{"error": "invalid_grant"}', '{"access_token', "[]", '""', "Bearer", "Bearer "),
        *('{"access_token": null, "refresh_token": null}', "a\nb", "a b", "hidden§", "{" * 100_000),
    ],
    ids=lambda value: value[:20],
)
def test_what_cannot_be_a_token_is_refused(platform: Sandbox, name: str, value: str) -> None:
    with pytest.raises(CredentialsError, match=name) as caught:
        read(platform, **{name: value})
    message = str(caught.value)
    assert caught.value.exit_code == 77
    assert "hidden" not in message
    assert "\n" not in message
    assert len(message) < 300
    assert len(platform.log) == 0


@pytest.mark.parametrize(("value", "code"), [('"Bearer {}",', 0), ("null", 77), ("$TOKEN", 77)])
def test_the_command_takes_decorated_tokens(
    stage_in: StageIn, platform: Sandbox, new: Path, value: str, code: int
) -> None:
    token = platform.mint()
    run = stage_in(platform.item_url(new.name), CDSE_ACCESS_TOKEN=value.format(token))
    assert run.code == code, run.log
    shown = {x.header("Authorization") for x in platform.log.of("download", "*$value")}
    assert shown == ({f"Bearer {token}"} if code == 0 else set())
    assert code == 0 or "CDSE_ACCESS_TOKEN" in run.reason


@pytest.mark.parametrize(
    "fault",
    [
        *("status=503", "html", "reset=start", "redirect={stranger}"),
        """body='{"access_token": "not a token"}'""",
        r"""body='{"access_token": "half-a-pair-\ud800"}'""",
        """body='[["access_token", "in-an-array"]]'""",
        "body=[[1,2]]",
    ],
)
def test_a_token_endpoint_that_fails(platform: Sandbox, fault: str) -> None:
    platform.faults.add(f"on=identity {fault}")
    refresh = platform.mint_refresh()
    with pytest.raises(TemporaryError) as caught:
        read(platform, CDSE_REFRESH_TOKEN=refresh).access_token()
    assert refresh not in str(caught.value)
    assert not platform.log.of("stranger")


def test_a_token_is_renewed_once_for_all_threads(platform: Sandbox) -> None:
    """Each of four threads needs a token at the same time, and later learns of its rejection."""
    platform.faults.add("on=identity stall=0.2")
    credentials = read(platform, CDSE_REFRESH_TOKEN=platform.mint_refresh())
    with ThreadPoolExecutor(4) as pool:
        (token,) = {*pool.map(lambda _: credentials.access_token(), range(4))}
    assert get_grants(platform) == ["refresh_token"]
    for _ in range(4):
        credentials.refused(token, time.time())
        assert credentials.access_token() != token
    assert get_grants(platform) == ["refresh_token"] * 2
    first, second = (x.body for x in platform.log.of("identity"))
    assert first != second  # each answer has a new refresh token, and the old one may be revoked


def test_a_token_is_renewed_once_for_all_workers(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    """Tokens are valid for two seconds here, and the product takes longer."""
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
    assert 3 <= len(get_grants(platform)) <= lasted / 1.7 + 1
    assert len({x.header("Authorization") for x in exchanges}) == len(get_grants(platform))


def test_a_rejected_token_is_renewed(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    """Even if it claims to be valid for years."""
    rejected = platform.mint(life=1e8, aud=[])
    run = stage_in(
        platform.item_url(new.name),
        CDSE_ACCESS_TOKEN=rejected,
        CDSE_USERNAME="user",
        CDSE_PASSWORD="secret",
    )
    assert run.code == 0, run.log
    assert get_grants(platform) == ["password"]


def test_a_token_expires_during_the_run(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    platform.limits = Limits(connections=4, rate=30_000)
    run = stage_in(platform.item_url(new.name), CDSE_ACCESS_TOKEN=platform.mint(2))
    assert run.code == 77
    assert "expired at 20" in run.reason
    assert "CDSE_REFRESH_TOKEN" in run.reason


SECRETS = {"CDSE_USERNAME": "user", "CDSE_PASSWORD": "secret-of-the-test"}


def test_each_secret_is_sent_only_to_its_endpoint(
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
    assert Token.parse(access.stdout.strip()).kind == "Bearer"
    refresh = cdse_token(platform, "--refresh", **user)
    assert Token.parse(refresh.stdout.strip()).is_refresh_token

    wrong = cdse_token(platform, CDSE_USERNAME="user", CDSE_PASSWORD="wrong")
    assert (wrong.returncode, wrong.stdout) == (77, "")
    assert "Invalid user credentials" in wrong.stderr


def test_a_refresh_token_that_was_not_issued(platform: Sandbox) -> None:
    """The shell would take an empty output for the token."""
    platform.faults.add("""on=identity body='{"access_token": "0123456789"}'""")
    failed = cdse_token(platform, "--refresh", CDSE_USERNAME="user", CDSE_PASSWORD="secret")
    assert (failed.returncode, failed.stdout) == (75, "")
    assert "no refresh token" in failed.stderr


def test_cdse_token_prompts(platform: Sandbox) -> None:
    """The terminal does not show the password."""
    script = r"""
import os, pty, sys
answers = {b"User": b"user", b"Password": b"secret", b"One-time": b""}
text = b""
def answer(fd):
    global text
    read = os.read(fd, 1024)
    text += read
    if text.endswith(b": "):  # the space comes after the terminal has been switched
        for question, reply in answers.items():
            if question in text:
                os.write(fd, reply + b"\n")
        text = b""
    return read
sys.exit(os.waitstatus_to_exitcode(pty.spawn([sys.argv[1]], answer)))
"""
    shown = subprocess.run(
        [sys.executable, "-c", script, Path(sys.executable).with_name("cdse-token")],
        env={"PATH": os.environ["PATH"], **platform.environment},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    *_, token = shown.stdout.split()
    assert Token.parse(token).kind == "Bearer"
    assert "secret" not in shown.stdout
