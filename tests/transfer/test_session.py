"""Hosts whose name can't be resolved."""

import socket
from typing import NoReturn

import pytest

from sandbox.server import Sandbox
from stage_in.errors import TemporaryError, UnknownHostError
from stage_in.transfer.auth import NoAuth
from stage_in.transfer.session import Session


def break_resolver(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def fail(*arguments: object) -> NoReturn:
        raise socket.gaierror(code, "says the resolver")

    monkeypatch.setattr(socket, "getaddrinfo", fail)


@pytest.mark.parametrize("proxy", ["", "http://proxy.example:3128"])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (socket.EAI_NONAME, UnknownHostError),
        (socket.EAI_AGAIN, TemporaryError),
        (socket.EAI_FAIL, TemporaryError),
    ],
)
def test_names(
    monkeypatch: pytest.MonkeyPatch, proxy: str, code: int, kind: type[TemporaryError]
) -> None:
    """Only the answer that there is no such host means that; the resolver may be out of reach."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    break_resolver(monkeypatch, code)
    with pytest.raises(TemporaryError, match="says the resolver") as caught:
        Session().open("https://stac.example/x", NoAuth())
    assert type(caught.value) is kind


def test_a_host_that_has_answered_exists(
    platform: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the network is down, some systems answer as if there were no such host."""
    with Session() as session:
        session.open(platform.stac, NoAuth()).close()
        session.close()
        break_resolver(monkeypatch, socket.EAI_NONAME)
        with pytest.raises(TemporaryError) as caught:
            session.open(platform.stac, NoAuth())
    assert type(caught.value) is TemporaryError
