import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import requests

from sandbox.faults import PAGE, Fault, Faults
from sandbox.server import Sandbox
from tests.sandbox.client import Client


def body_of(raw: bytes) -> bytes:
    return raw.partition(b"\r\n\r\n")[2]


# -- which requests are affected


def test_times_after_and_path(sandbox: Sandbox, client: Client) -> None:
    rule = sandbox.faults.add("status=503 on=download path=*B04.jp2* times=2 after=1")
    assert client.get(client.zip).status_code == 200
    statuses = [client.get(client.band).status_code for _ in range(4)]
    assert statuses == [200, 503, 503, 200]
    assert (rule.seen, rule.used) == (4, 2)


def test_service(sandbox: Sandbox, safe: Path) -> None:
    sandbox.faults.add(Fault(on="stac", status=500, body="broken", headers={"X-A": "b"}))
    response = requests.get(sandbox.item_url(safe.name), timeout=10)
    assert (response.status_code, response.text) == (500, "broken")
    assert response.headers["X-A"] == "b"
    assert requests.get(sandbox.item_url(safe.name, "legacy"), timeout=10).ok


@pytest.mark.parametrize(("chance", "expected"), [(0, 0), (0.02, 100), (0.5, 2500), (1, 5000)])
def test_chance(chance: float, expected: int) -> None:
    rule = Faults().add(Fault(chance=chance))
    for number in range(5000):
        rule.affects(f"/{number % 50}")
    assert abs(rule.used - expected) <= 0.1 * expected + 40 * (0 < chance < 1)


def test_seed_affects_the_same_requests_regardless_of_others() -> None:
    def draw(seed: int, others: int) -> list[bool]:
        faults = Faults(seed)
        faults.add("html chance=1%")
        rule = faults.add("status=500 chance=20%")
        found = []
        for _ in range(200):
            for other in range(others):
                rule.affects(f"/{other}")
            found.append(rule.affects("/band"))
        return found

    assert draw(1, 0) == draw(1, 3)
    assert draw(1, 0) != draw(2, 0)


def test_rules_draw_independently() -> None:
    faults = Faults()
    rules = [faults.add("status=500 chance=20%"), faults.add("status=500 chance=20%")]
    affected = [{n for n in range(200) if rule.affects("/")} for rule in rules]
    assert affected[0] != affected[1]


def test_removed_rules(sandbox: Sandbox, client: Client) -> None:
    rule = sandbox.faults.add(Fault(status=500))
    sandbox.faults.add(Fault(status=502))
    assert client.get(client.band).status_code == 500
    sandbox.faults.remove(rule)
    assert client.get(client.band).status_code == 502
    assert [rule.fault.status for rule in sandbox.faults.rules] == [502]
    sandbox.faults.clear()
    assert client.get(client.band).status_code == 200


# -- replaced responses


def test_retry_after(sandbox: Sandbox, client: Client) -> None:
    sandbox.faults.add("status=429 retry-after=3 times=1")
    sandbox.faults.add("status=503 retry-after=date+60")
    assert client.get(client.band).headers["Retry-After"] == "3"
    before = int(time.time())
    date = parsedate_to_datetime(client.get(client.band).headers["Retry-After"])
    assert before + 60 <= date.timestamp() <= time.time() + 60


def test_redirect(sandbox: Sandbox, client: Client) -> None:
    sandbox.faults.add("redirect={stranger}{path} status=307 times=1")
    response = client.get(client.band)
    assert response.status_code == 307
    expected = client.band.replace(sandbox.download, sandbox.stranger)
    assert response.headers["Location"] == expected
    sandbox.faults.add("redirect={path}")
    with pytest.raises(requests.TooManyRedirects):
        client.get(client.band, allow_redirects=True)


def test_other_content(sandbox: Sandbox, client: Client) -> None:
    sandbox.faults.add("html times=1")
    sandbox.faults.add("empty times=1")
    sandbox.faults.add(Fault(body=b"\x00\x01"))
    responses = [client.get(client.band) for _ in range(3)]
    assert [response.status_code for response in responses] == [200] * 3
    assert [response.content for response in responses] == [PAGE, b"", b"\x00\x01"]
    assert responses[0].headers["Content-Type"].startswith("text/html")


# -- altered bodies


@pytest.mark.parametrize(("position", "end"), [("1000", 1000), ("50%", 11_500), ("-1", -1)])
def test_cut(sandbox: Sandbox, client: Client, content: bytes, position: str, end: int) -> None:
    sandbox.faults.add(f"cut={position}")
    raw, was_reset = client.get_raw(client.band)
    assert f"Content-Length: {len(content)}\r\n".encode() in raw
    assert body_of(raw) == content[:end]
    assert not was_reset


def test_cut_without_length(sandbox: Sandbox, client: Client, content: bytes) -> None:
    sandbox.faults.add("cut=1000 framing=close")
    response = client.get(client.band)
    assert "Content-Length" not in response.headers
    assert "Transfer-Encoding" not in response.headers
    assert response.content == content[:1000]


@pytest.mark.parametrize("framing", ["close", "chunked"])
def test_framing(sandbox: Sandbox, client: Client, content: bytes, framing: str) -> None:
    sandbox.faults.add(f"framing={framing}")
    response = client.get(client.band)
    assert "Content-Length" not in response.headers
    assert response.content == content


@pytest.mark.parametrize(("position", "end"), [("middle", 11_500), ("last", -1), ("100", 100)])
def test_reset(sandbox: Sandbox, client: Client, content: bytes, position: str, end: int) -> None:
    sandbox.faults.add(f"reset={position}")
    raw, was_reset = client.get_raw(client.band)
    assert was_reset
    assert body_of(raw) == content[:end]


def test_reset_before_the_response(sandbox: Sandbox, client: Client) -> None:
    sandbox.faults.add("reset=start")
    assert client.get_raw(client.band) == (b"", True)


def test_stall_before_the_response(sandbox: Sandbox, client: Client) -> None:
    sandbox.faults.add("stall=0.3 times=1")
    start = time.monotonic()
    assert client.get(client.band, stream=True).status_code == 200
    assert time.monotonic() - start >= 0.3


def test_stall_in_the_body(sandbox: Sandbox, client: Client) -> None:
    sandbox.faults.add("stall=60 at=1000")
    with client.get(client.band, stream=True) as response:
        assert len(response.raw.read(1000)) == 1000
        assert sandbox.log.wait(lambda x: x.sent == 1000).closed is None
    exchange = sandbox.log.wait(lambda x: x.closed is not None)
    assert (exchange.sent, exchange.complete) == (1000, False)


def test_slow(sandbox: Sandbox, client: Client, content: bytes) -> None:
    sandbox.faults.add(Fault(slow=len(content) / 0.3))
    start = time.monotonic()
    assert client.get(client.band).content == content
    assert time.monotonic() - start >= 0.3


def test_corrupt(sandbox: Sandbox, client: Client, content: bytes) -> None:
    sandbox.faults.add("corrupt=50% times=1")
    sandbox.faults.add("corrupt=last times=1")
    found = client.get(client.band).content
    assert len(found) == len(content)
    differing = [at for at, pair in enumerate(zip(found, content, strict=True)) if len({*pair}) > 1]
    assert differing == [len(content) // 2, len(content) - 1]


def test_long(sandbox: Sandbox, client: Client, content: bytes) -> None:
    sandbox.faults.add("long=5")
    raw, _ = client.get_raw(client.band)
    assert f"Content-Length: {len(content)}\r\n".encode() in raw
    assert body_of(raw) == content + bytes(5)
    sandbox.faults.add("framing=close")
    assert client.get(client.band).content == content + bytes(5)


def test_gzip(sandbox: Sandbox, client: Client, content: bytes) -> None:
    sandbox.faults.add("gzip")
    response = client.get(client.band)
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.content == content


def test_two_faults_in_one_body(sandbox: Sandbox, client: Client, content: bytes) -> None:
    sandbox.faults.add("corrupt=0")
    sandbox.faults.add("cut=10 times=1")
    raw, _ = client.get_raw(client.band)
    assert body_of(raw) == bytes([content[0] ^ 0xFF]) + content[1:10]


def test_errors_are_not_altered(sandbox: Sandbox, client: Client) -> None:
    rule = sandbox.faults.add("corrupt=0 times=1")
    sandbox.faults.add("status=503 times=1")
    assert client.get(client.band).status_code == 503
    assert client.get(client.band, token="").status_code == 401
    assert rule.used == 0


# -- rules in text form


def test_parse() -> None:
    text = "status=503 on=download path='*B04 *' times=2 header=X-A:b retry_after=1 html=no"
    assert Fault.parse(text) == Fault(
        on="download", path="*B04 *", times=2, status=503, headers={"X-A": "b"}, retry_after=1
    )
    assert Fault.parse("cut=10").cut == 10
    assert Fault.parse("cut=0.1").cut == 0.1
    assert Fault.parse("cut=10%").cut == 0.1
    assert Fault.parse("cut=1 chance=2%").chance == Fault.parse("cut=1 chance=0.02").chance


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour=red", "found 'colour'"),
        ("cut=half", "'half' is not a valid cut"),
        ("framing=oval", "'oval' is not a valid framing"),
        ("on=moon", "found 'moon'"),
        ("html chance=often", "'often' is not a valid chance"),
        ("html chance=2", "a chance from 0 to 1, found 2"),
        ("503", "found '503'"),
    ],
)
def test_malformed_rules(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fault.parse(text)
