import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from sandbox import tokens
from sandbox.server import Sandbox
from sandbox.tokens import Account, Issuer
from tests.sandbox.client import Client


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda s: "", "DAT-ZIP-604"),
        (lambda s: "garbage", "DAT-ZIP-605"),
        (lambda s: "a.b.c", "DAT-ZIP-605"),
        (lambda s: s.mint()[:-4] + "AAAA", "DAT-ZIP-605"),
        (lambda s: s.mint_refresh(), "DAT-ZIP-605"),
        (lambda s: s.mint(life=-1), "DAT-ZIP-109"),
        (lambda s: s.mint(aud=["account"]), "DAT-ZIP-609"),
    ],
)
def test_refused_token(
    sandbox: Sandbox, client: Client, make: Callable[[Sandbox], str], code: str
) -> None:
    for url in (client.band, client.zip):
        response = client.get(url, token=make(sandbox))
        assert (response.status_code, response.json()["code"]) == (401, code)


def test_claims(sandbox: Sandbox) -> None:
    before = int(time.time() + 60)
    payload = sandbox.mint(life=60).split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert (claims["typ"], claims["azp"]) == ("Bearer", "cdse-public")
    assert "CLOUDFERRO_PUBLIC" in claims["aud"]
    assert before <= claims["exp"] <= time.time() + 60


def test_token_expires_after_a_fraction_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.9
    monkeypatch.setattr(tokens, "time", SimpleNamespace(time=lambda: now))
    issuer = Issuer("", [], 0.3, 3600)
    claims = issuer.read(issuer.mint())
    assert claims is not None
    assert not issuer.expired(claims)
    now += 0.3
    assert issuer.expired(claims)


def test_password_and_refresh(client: Client) -> None:
    first = client.grant(grant_type="password", username="user", password="secret")
    assert first.json()["expires_in"] == 600
    refresh = first.json()["refresh_token"]
    for _ in range(2):  # a refresh token can be used more than once
        again = client.grant(grant_type="refresh_token", refresh_token=refresh)
        assert client.get(client.band, token=again.json()["access_token"]).ok


@pytest.mark.parametrize(
    ("form", "status", "error", "description"),
    [
        ({}, 400, "invalid_request", "Missing form parameter: grant_type"),
        ({"grant_type": "other"}, 400, "unsupported_grant_type", "Unsupported grant_type"),
        (
            {"grant_type": "password", "username": "user", "password": "wrong"},
            401,
            "invalid_grant",
            "Invalid user credentials",
        ),
        (
            {"grant_type": "refresh_token", "refresh_token": "x"},
            400,
            "invalid_grant",
            "Invalid refresh token",
        ),
        (
            {"grant_type": "password", "client_id": "mine"},
            401,
            "invalid_client",
            "Invalid client or Invalid client credentials",
        ),
    ],
)
def test_refused_grant(
    client: Client, form: dict[str, str], status: int, error: str, description: str
) -> None:
    response = client.grant(**form)
    assert response.status_code == status
    assert response.json() == {"error": error, "error_description": description}


def test_expired_refresh_token(sandbox: Sandbox, client: Client) -> None:
    expired = sandbox.mint_refresh(life=-1)
    response = client.grant(grant_type="refresh_token", refresh_token=expired)
    assert response.status_code == 400
    assert response.json()["error_description"] == "Token is not active"


def test_one_time_code_works_once(safe: Path) -> None:
    with Sandbox([safe], accounts=[Account("ada", "pw", totp=("123456",))]) as sandbox:
        client = Client(sandbox)
        form = {"grant_type": "password", "username": "ada", "password": "pw"}
        assert client.grant(**form).status_code == 401
        assert client.grant(**form, totp="123456").status_code == 200
        assert client.grant(**form, totp="123456").status_code == 401
