import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

from sandbox import limits
from sandbox.faults import Fault
from sandbox.limits import Limits, Sessions
from sandbox.server import Sandbox
from tests.sandbox.client import Client


def test_connections(sandbox: Sandbox, client: Client) -> None:
    sandbox.limits = Limits(connections=2, retry_after=7)
    sandbox.faults.add(Fault(on="download", times=2, stall=60, at="middle"))
    held = [client.get(client.band, stream=True) for _ in range(2)]
    refused = client.get(client.band)
    assert refused.status_code == 429
    assert refused.json()["code"] == "DAT-ZIP-100"
    assert refused.headers["Retry-After"] == "7"
    assert client.get(client.band, token=sandbox.mint(user="another")).ok
    for response in held:
        response.close()
    for number in range(2):
        sandbox.log.wait(lambda x, n=number: x.key == n + 1 and x.closed is not None)
    assert client.get(client.band).status_code == 200
    assert sandbox.most_granted == 2


def test_finished_download_does_not_count(sandbox: Sandbox, client: Client) -> None:
    sandbox.limits = Limits(connections=1)
    statuses = [client.get(client.band).status_code for _ in range(50)]
    assert set(statuses) == {200}
    assert sandbox.log.most_open() == 1


def test_finished_download_counts_during_the_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: now))
    sessions, granted = Sessions(), Limits(connections=1, lag=2)
    assert sessions.enter("user", granted)
    sessions.leave("user", granted)
    assert not sessions.enter("user", granted)
    now = 2.0
    assert sessions.enter("user", granted)


def test_rate(sandbox: Sandbox, client: Client, content: bytes) -> None:
    sandbox.limits = Limits(rate=len(content) / 0.4)
    start = time.monotonic()
    response = client.get(client.band)
    assert time.monotonic() - start >= 0.4
    assert response.content == content


def test_latency(sandbox: Sandbox, safe: Path) -> None:
    sandbox.limits = Limits(latency=0.2)
    start = time.monotonic()
    requests.get(sandbox.item_url(safe.name), timeout=10)
    assert time.monotonic() - start >= 0.2
