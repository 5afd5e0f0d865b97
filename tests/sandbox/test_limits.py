import time
from pathlib import Path

import pytest
import requests

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


def test_finished_download_counts_during_the_lag() -> None:
    now = 0.0
    sessions, granted = Sessions(clock=lambda: now), Limits(connections=1, lag=2)
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


class Connection:
    def __init__(self) -> None:
        self.closed = False

    def is_closing(self) -> bool:
        return self.closed


class TestFamily:
    """The ways of counting, on a clock that the test sets."""

    @pytest.fixture(autouse=True)
    def _clock(self) -> None:
        self.now = 0.0
        self.sessions = Sessions(clock=lambda: self.now)

    def download(self, granted: Limits, connection: Connection | None = None) -> bool:
        entered = self.sessions.enter("user", granted, connection)
        if entered:
            self.sessions.leave("user", granted)
        return entered

    def test_tick(self) -> None:
        granted = Limits(connections=1, tick=2)
        self.now = 0.5
        assert self.download(granted)
        self.now = 1.9
        assert not self.download(granted)
        self.now = 2.0
        assert self.download(granted)

    def test_refusals_count(self) -> None:
        granted = Limits(connections=1, lag=1, refusal_lag=3)
        assert self.download(granted)
        assert not self.download(granted)
        self.now = 2.0
        assert not self.download(granted)
        self.now = 5.0
        assert self.download(granted)

    def test_new_downloads_in_a_second(self) -> None:
        granted = Limits(new_per_second=2)
        assert self.download(granted)
        assert self.download(granted)
        assert not self.download(granted)
        self.now = 1.0
        assert self.download(granted)

    def test_connections_count_until_they_are_closed(self) -> None:
        granted = Limits(connections=1, count="connection", lag=5)
        first, second = Connection(), Connection()
        assert self.download(granted, first)
        assert self.download(granted, first)
        assert not self.download(granted, second)
        first.closed = True
        assert self.download(granted, second)

    def test_another_job_comes_and_goes(self) -> None:
        granted = Limits(connections=2, other_period=10, other_downloads=2)
        found = []
        for self.now in (0.0, 4.9, 5.1, 9.9, 10.1):
            found.append(self.download(granted))
        assert found == [False, False, True, True, False]

    def test_the_rate_is_shared(self) -> None:
        granted = Limits(rate=20.0, total_rate=40.0)
        rates = []
        for _ in range(4):
            self.sessions.enter("user", granted)
            rates.append(self.sessions.rate("user", granted))
        assert rates == [20.0, 20.0, pytest.approx(40 / 3), 10.0]
