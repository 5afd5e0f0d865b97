import base64
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from click.testing import CliRunner

from sandbox.__main__ import main
from sandbox.faults import PAGE, Fault, Faults
from sandbox.limits import Limits
from sandbox.server import Sandbox
from sandbox.tokens import Account

BAND = "GRANULE/L1C_T32TQM_A026889_20200815T100442/IMG_DATA/T32TQM_20200815T100031_B04.jp2"


def ask(sandbox: Sandbox, url: str, **options: Any) -> requests.Response:
    """GET with a good token, redirects not followed."""
    headers = {"Authorization": f"Bearer {sandbox.mint()}"} | options.pop("headers", {})
    return requests.get(url, headers=headers, allow_redirects=False, timeout=10, **options)


def node(sandbox: Sandbox, path: str = "") -> str:
    """URL of a file or folder of the product; of the product itself for an empty path."""
    product = sandbox.products[0]
    names = [product.name, *path.split("/")] if path else []
    steps = "".join(f"/Nodes({name})" for name in names)
    return f"{sandbox.download}/odata/v1/Products({product.uuid}){steps}"


def band(sandbox: Sandbox) -> str:
    """URL of the bytes of one band."""
    return f"{node(sandbox, BAND)}/$value"


def raw(sandbox: Sandbox, url: str, wait: float = 5) -> tuple[bytes, bool]:
    """All that comes back on a connection, and whether it was reset."""
    parts = urlsplit(url)
    request = (
        f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Authorization: Bearer {sandbox.mint()}\r\nConnection: close\r\n\r\n"
    )
    found = b""
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=wait) as connection:
        connection.sendall(request.encode())
        try:
            while data := connection.recv(65536):
                found += data
        except ConnectionResetError:
            return found, True
    return found, False


def sent(answer: bytes) -> bytes:
    """The body of a raw answer."""
    return answer.partition(b"\r\n\r\n")[2]


class TestItems:
    def test_new(self, sandbox: Sandbox, safe: Path) -> None:
        name = safe.name.removesuffix(".SAFE")
        answer = requests.get(sandbox.item_url(safe.name), timeout=10)
        item = answer.json()
        assert answer.headers["Content-Type"] == "application/geo+json"
        assert (item["id"], item["stac_version"], item["collection"]) == (
            name,
            "1.1.0",
            "sentinel-2-l1c",
        )
        assert len(item["assets"]) == 21
        assert item["bbox"] == [11.7, 44.1, 13.2, 45.2]
        assert item["geometry"]["coordinates"][0][0] == [11.8, 45.1]
        assert item["properties"]["datetime"] == "2020-08-15T10:00:31.024Z"
        assert item["properties"]["grid:code"] == "MGRS-32TQM"
        identity = item["properties"]["auth:schemes"]["oidc"]["openIdConnectUrl"]
        assert identity.startswith(sandbox.identity)

    def test_assets_of_the_new(self, sandbox: Sandbox, safe: Path) -> None:
        assets = sandbox.item(safe.name)["assets"]
        red = assets["B04"]
        assert re.fullmatch("1620[0-9a-f]{64}", red["file:checksum"])
        assert red["file:size"] == (safe / BAND).stat().st_size
        assert red["file:local_path"] == f"{safe.name}/{BAND}"
        bucket = f"s3://eodata/Sentinel-2/MSI/L1C_N0500/2020/08/15/{safe.name}"
        assert red["href"] == f"{bucket}/{BAND}"
        assert red["auth:refs"] == ["s3"]
        assert red["alternate"]["https"]["href"] == band(sandbox)
        assert red["alternate"]["https"]["auth:refs"] == ["oidc"]
        assert red["raster:offset"] == -0.1
        assert assets["B01"]["proj:transform"] == [60, 0, 699960, 0, -60, 5000040]
        assert re.fullmatch("d50110[0-9a-f]{32}", assets["safe_manifest"]["file:checksum"])
        assert re.fullmatch("d50120[0-9a-f]{64}", assets["datastrip_metadata"]["file:checksum"])
        assert assets["thumbnail"]["href"].startswith(sandbox.stranger)
        product = assets["Product"]
        assert product["href"] == f"{node(sandbox)}/$value"
        assert isinstance(product["storage:refs"], str)
        assert product["file:size"] == sandbox.products[0].archive().size

    def test_legacy(self, sandbox: Sandbox, safe: Path) -> None:
        item = requests.get(sandbox.item_url(safe.name, "legacy"), timeout=10).json()
        assert (item["id"], item["stac_version"]) == (safe.name, "1.0.0")
        assert set(item["assets"]) == {"QUICKLOOK", "PRODUCT"}
        product = item["assets"]["PRODUCT"]
        assert product["type"] == "application/octet-stream"
        assert product["href"] == f"{node(sandbox)}/$value".replace(
            sandbox.download, sandbox.catalogue
        )
        assert product["alternate"]["s3"]["href"].startswith("/eodata/Sentinel-2/MSI/")

    @pytest.mark.parametrize("generation", ["new", "legacy"])
    def test_unknown(self, sandbox: Sandbox, generation: Any) -> None:
        answer = requests.get(sandbox.item_url("S2A_MSIL1C_other", generation), timeout=10)
        assert answer.status_code == 404
        assert answer.json()

    def test_overridden(self, sandbox: Sandbox, safe: Path) -> None:
        item = sandbox.item(safe.name) | {"id": "edited"}
        url = sandbox.override_item(safe.name, "new", item)
        assert requests.get(url, timeout=10).json() == item

    def test_without_metadata(self, tmp_path: Path) -> None:
        folder = tmp_path / "bare.SAFE"
        folder.mkdir()
        with Sandbox([folder]) as sandbox:
            assert requests.get(sandbox.item_url("bare"), timeout=10).json()["geometry"] is None


class TestDownload:
    def test_catalogue_redirects(self, sandbox: Sandbox) -> None:
        for url in (f"{node(sandbox)}/$value", band(sandbox)):
            asked = url.replace(sandbox.download, sandbox.catalogue)
            answer = ask(sandbox, asked)
            assert (answer.status_code, answer.headers["Location"]) == (301, url)

    def test_token_is_lost_on_the_way(self, sandbox: Sandbox) -> None:
        asked = f"{node(sandbox)}/$value".replace(sandbox.download, sandbox.catalogue)
        headers = {"Authorization": f"Bearer {sandbox.mint()}"}
        answer = requests.get(asked, headers=headers, timeout=10)
        assert (answer.status_code, answer.json()["code"]) == (401, "DAT-ZIP-604")

    def test_a_file(self, sandbox: Sandbox, safe: Path) -> None:
        answer = ask(sandbox, band(sandbox), headers={"Range": "bytes=5-9"})
        assert answer.status_code == 200
        assert answer.content == (safe / BAND).read_bytes()
        assert answer.headers["Content-Length"] == str(len(answer.content))
        assert "B04.jp2" in answer.headers["Content-Disposition"]

    def test_an_empty_file_and_an_empty_folder(self, sandbox: Sandbox) -> None:
        assert ask(sandbox, f"{node(sandbox, 'rep_info/empty.xsd')}/$value").content == b""
        assert ask(sandbox, f"{node(sandbox, 'HTML')}/$value").status_code == 404

    def test_token_in_the_query(self, sandbox: Sandbox) -> None:
        answer = requests.get(band(sandbox), params={"token": sandbox.mint()}, timeout=10)
        assert answer.status_code == 200

    def test_head(self, sandbox: Sandbox) -> None:
        headers = {"Authorization": f"Bearer {sandbox.mint()}"}
        answer = requests.head(f"{node(sandbox)}/$value", headers=headers, timeout=10)
        size = sandbox.products[0].archive().size
        assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(size))

    @pytest.mark.parametrize(
        ("asked", "got"),
        [("bytes=5-9", (5, 10)), ("bytes=100-", (100, None)), ("bytes=-7", (-7, None))],
    )
    @pytest.mark.parametrize("whole", [True, False])
    def test_ranges(
        self, sandbox: Sandbox, asked: str, got: tuple[int, int | None], whole: bool
    ) -> None:
        sandbox.ranges = True
        url = f"{node(sandbox)}/$value" if whole else band(sandbox)
        full = ask(sandbox, url)
        part = ask(sandbox, url, headers={"Range": asked, "If-Range": full.headers["ETag"]})
        assert part.status_code == 206
        assert part.content == full.content[slice(*got)]
        start = got[0] % len(full.content)
        end = start + len(part.content) - 1
        assert part.headers["Content-Range"] == f"bytes {start}-{end}/{len(full.content)}"

    def test_ranges_that_cannot_be(self, sandbox: Sandbox) -> None:
        sandbox.ranges = True
        assert ask(sandbox, band(sandbox), headers={"Range": "bytes=9999999-"}).status_code == 416
        stale = {"Range": "bytes=5-9", "If-Range": '"another"'}
        assert ask(sandbox, band(sandbox), headers=stale).status_code == 200


class TestNodes:
    def listing(self, sandbox: Sandbox, path: str) -> dict[str, Any]:
        answer = requests.get(f"{node(sandbox, path)}/Nodes", timeout=10)
        assert answer.status_code == 200
        return {entry["Name"]: entry for entry in answer.json()["result"]}

    def test_root(self, sandbox: Sandbox, safe: Path) -> None:
        root = self.listing(sandbox, "")
        assert list(root) == [safe.name]
        assert root[safe.name] == {
            "Id": safe.name,
            "Name": safe.name,
            "ContentLength": 0,
            "ChildrenNumber": len(list(safe.iterdir())),
            "Nodes": {"uri": f"{node(sandbox)}/Nodes({safe.name})/Nodes"},
        }

    def test_whole_tree(self, sandbox: Sandbox, safe: Path) -> None:
        found = {}

        def walk(uri: str, path: str) -> None:
            for entry in requests.get(uri, timeout=10).json()["result"]:
                below = f"{path}/{entry['Name']}"
                found[below] = (entry["ContentLength"], entry["ChildrenNumber"])
                walk(entry["Nodes"]["uri"], below)

        walk(f"{node(sandbox)}/Nodes", "")
        expected = {f"/{safe.name}": (0, len(list(safe.iterdir())))}
        for path in safe.rglob("*"):
            inside = f"/{safe.name}/{path.relative_to(safe).as_posix()}"
            folder = path.is_dir()
            children = len(list(path.iterdir())) if folder else 0
            expected[inside] = (0 if folder else path.stat().st_size, children)
        assert found == expected

    @pytest.mark.parametrize(
        ("path", "status", "code"),
        [
            ("/odata/v1/Products({uuid})/Nodes('{name}')/Nodes", 400, "DAT-ZIP-104"),
            ("/odata/v1/Products({uuid})/Nodes({name}", 400, "DAT-ZIP-104"),
            ("/odata/v1/Products({uuid})/Nodes({name})/Nodes(..)/Nodes", 404, "DAT-ZIP-101"),
            ("/odata/v1/Products({uuid})/Nodes(other.SAFE)/Nodes", 404, "DAT-ZIP-101"),
            ("/odata/v1/Products({uuid[0]})/Nodes", 422, None),
            ("/odata/v1/Products(01234567-89ab-cdef-0123-456789abcdef)/Nodes", 404, "DAT-ZIP-101"),
        ],
    )
    def test_what_is_not_there(
        self, sandbox: Sandbox, path: str, status: int, code: str | None
    ) -> None:
        product = sandbox.products[0]
        url = sandbox.download + path.format(uuid=product.uuid, name=product.name)
        answer = requests.get(url, timeout=10)
        assert (answer.status_code, answer.json().get("code")) == (status, code)


class TestTokens:
    @pytest.mark.parametrize(
        ("make", "code"),
        [
            (lambda s: None, "DAT-ZIP-604"),
            (lambda s: "garbage", "DAT-ZIP-605"),
            (lambda s: "a.b.c", "DAT-ZIP-605"),
            (lambda s: s.mint()[:-4] + "AAAA", "DAT-ZIP-605"),
            (lambda s: s.mint_refresh(), "DAT-ZIP-605"),
            (lambda s: s.mint(life=-1), "DAT-ZIP-109"),
            (lambda s: s.mint(aud=["account"]), "DAT-ZIP-609"),
        ],
    )
    def test_refused(
        self, sandbox: Sandbox, make: Callable[[Sandbox], str | None], code: str
    ) -> None:
        token = make(sandbox)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        for url in (band(sandbox), f"{node(sandbox)}/$value"):
            answer = requests.get(url, headers=headers, timeout=10)
            assert (answer.status_code, answer.json()["code"]) == (401, code)

    def test_claims(self, sandbox: Sandbox) -> None:
        payload = sandbox.mint(life=60).split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        assert claims["typ"] == "Bearer"
        assert claims["azp"] == "cdse-public"
        assert "CLOUDFERRO_PUBLIC" in claims["aud"]
        assert 59 <= claims["exp"] - time.time() + 1 <= 61

    def test_they_age(self, sandbox: Sandbox) -> None:
        headers = {"Authorization": f"Bearer {sandbox.mint(life=0.3)}"}
        assert requests.get(band(sandbox), headers=headers, timeout=10).ok
        time.sleep(0.35)
        answer = requests.get(band(sandbox), headers=headers, timeout=10)
        assert answer.json()["message"] == "Token is expired"

    def grant(self, sandbox: Sandbox, **form: str) -> requests.Response:
        data = {"client_id": "cdse-public"} | form
        return requests.post(sandbox.token_url, data=data, timeout=10)

    def test_password_and_refresh(self, sandbox: Sandbox) -> None:
        first = self.grant(sandbox, grant_type="password", username="user", password="secret")
        assert first.json()["expires_in"] == 600
        refresh = first.json()["refresh_token"]
        for _ in range(2):  # it is not spent
            again = self.grant(sandbox, grant_type="refresh_token", refresh_token=refresh)
            headers = {"Authorization": f"Bearer {again.json()['access_token']}"}
            assert requests.get(band(sandbox), headers=headers, timeout=10).ok

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
    def test_not_granted(
        self, sandbox: Sandbox, form: dict[str, str], status: int, error: str, description: str
    ) -> None:
        answer = self.grant(sandbox, **form)
        assert answer.status_code == status
        assert answer.json() == {"error": error, "error_description": description}

    def test_aged_refresh_token(self, sandbox: Sandbox) -> None:
        aged = sandbox.mint_refresh(life=-1)
        answer = self.grant(sandbox, grant_type="refresh_token", refresh_token=aged)
        assert answer.status_code == 400
        assert answer.json()["error_description"] == "Token is not active"

    def test_a_code_is_spent_once(self, safe: Path) -> None:
        with Sandbox([safe], accounts=[Account("ada", "pw", totp=("123456",))]) as sandbox:
            form = {"grant_type": "password", "username": "ada", "password": "pw"}
            assert self.grant(sandbox, **form).status_code == 401
            assert self.grant(sandbox, **form, totp="123456").status_code == 200
            assert self.grant(sandbox, **form, totp="123456").status_code == 401

    def test_discovery(self, sandbox: Sandbox) -> None:
        url = f"{sandbox.identity}/auth/realms/CDSE/.well-known/openid-configuration"
        assert requests.get(url, timeout=10).json()["token_endpoint"] == sandbox.token_url


class TestLimits:
    def test_connections(self, sandbox: Sandbox) -> None:
        sandbox.limits = Limits(connections=2, retry_after=7)
        sandbox.faults.add(Fault(on="download", times=2, stall=30, at="middle"))
        held = [ask(sandbox, band(sandbox), stream=True) for _ in range(2)]
        refused = ask(sandbox, band(sandbox))
        assert refused.status_code == 429
        assert refused.json()["code"] == "DAT-ZIP-100"
        assert refused.headers["Retry-After"] == "7"
        headers = {"Authorization": f"Bearer {sandbox.mint(user='another')}"}
        assert requests.get(band(sandbox), headers=headers, timeout=10).ok
        for answer in held:
            answer.close()
        sandbox.log.settle()
        assert ask(sandbox, band(sandbox)).status_code == 200
        assert sandbox.most_granted == 2

    def test_one_after_the_other_is_one_at_a_time(self, sandbox: Sandbox) -> None:
        sandbox.limits = Limits(connections=1)
        statuses = [ask(sandbox, band(sandbox)).status_code for _ in range(50)]
        assert set(statuses) == {200}
        assert sandbox.log.most_open() == 1

    def test_lag(self, sandbox: Sandbox) -> None:
        sandbox.limits = Limits(connections=1, lag=0.3)
        assert ask(sandbox, band(sandbox)).status_code == 200
        refused = ask(sandbox, band(sandbox))
        assert refused.status_code == 429
        assert "Retry-After" not in refused.headers
        time.sleep(0.35)
        assert ask(sandbox, band(sandbox)).status_code == 200

    def test_rate(self, sandbox: Sandbox, safe: Path) -> None:
        size = (safe / BAND).stat().st_size
        sandbox.limits = Limits(rate=size / 0.4)
        start = time.monotonic()
        answer = ask(sandbox, band(sandbox))
        assert time.monotonic() - start >= 0.4
        assert answer.content == (safe / BAND).read_bytes()

    def test_rate_is_held_smoothly(self, sandbox: Sandbox) -> None:
        sandbox.limits = Limits(rate=50_000)
        start = time.monotonic()
        answer = ask(sandbox, band(sandbox), stream=True)
        gaps, last, passed = [], time.monotonic(), 0
        while chunk := answer.raw.read1(65536):
            now = time.monotonic()
            passed += len(chunk)
            assert passed <= 50_000 * (now - start) + 1
            gaps.append(now - last)
            last = now
        assert len(gaps) >= 8
        assert sorted(gaps)[len(gaps) // 2] < 0.1

    def test_latency(self, sandbox: Sandbox, safe: Path) -> None:
        sandbox.limits = Limits(latency=0.2)
        start = time.monotonic()
        requests.get(sandbox.item_url(safe.name), timeout=10)
        assert time.monotonic() - start >= 0.2


class TestFaults:
    def test_status_some_times(self, sandbox: Sandbox) -> None:
        rule = sandbox.faults.add("status=503 on=download path=*B04.jp2* times=2 after=1")
        assert ask(sandbox, f"{node(sandbox)}/$value").status_code == 200
        statuses = [ask(sandbox, band(sandbox)).status_code for _ in range(4)]
        assert statuses == [200, 503, 503, 200]
        assert (rule.seen, rule.used) == (4, 2)

    def test_chance(self, sandbox: Sandbox) -> None:
        rule = sandbox.faults.add("status=503 chance=30% times=20 after=10")
        statuses = [ask(sandbox, band(sandbox)).status_code for _ in range(110)]
        assert set(statuses[:10]) == {200}
        assert 10 <= statuses.count(503) <= 20
        assert (rule.seen, rule.used) == (110, statuses.count(503))

    @pytest.mark.parametrize(("chance", "struck"), [(0, 0), (0.02, 100), (0.5, 2500), (1, 5000)])
    def test_share_that_is_struck(self, chance: float, struck: int) -> None:
        rule = Faults().add(Fault(chance=chance))
        for number in range(5000):
            rule.strikes(f"/{number % 50}")
        assert abs(rule.used - struck) <= 0.1 * struck + 40 * (0 < chance < 1)

    def test_seed_strikes_the_same_requests_whatever_comes_between(self) -> None:
        def strike(seed: int, others: int) -> list[bool]:
            faults = Faults(seed)
            faults.add("html chance=1%")
            rule = faults.add("status=500 chance=20%")
            found = []
            for _ in range(200):
                for other in range(others):
                    rule.strikes(f"/{other}")
                found.append(rule.strikes("/band"))
            return found

        assert strike(1, 0) == strike(1, 3)
        assert strike(1, 0) != strike(2, 0)

    def test_rules_strike_independently(self) -> None:
        faults = Faults()
        rules = [faults.add("status=500 chance=20%"), faults.add("status=500 chance=20%")]
        struck = [{n for n in range(200) if rule.strikes("/")} for rule in rules]
        assert struck[0] != struck[1]

    def test_for_one_service(self, sandbox: Sandbox, safe: Path) -> None:
        sandbox.faults.add(Fault(on="stac", status=500, body="broken", headers={"X-A": "b"}))
        answer = requests.get(sandbox.item_url(safe.name), timeout=10)
        assert (answer.status_code, answer.text, answer.headers["X-A"]) == (500, "broken", "b")
        assert requests.get(sandbox.item_url(safe.name, "legacy"), timeout=10).ok

    def test_lifted(self, sandbox: Sandbox) -> None:
        rule = sandbox.faults.add(Fault(status=500))
        sandbox.faults.add(Fault(status=502))
        assert ask(sandbox, band(sandbox)).status_code == 500
        sandbox.faults.remove(rule)
        assert ask(sandbox, band(sandbox)).status_code == 502
        assert [rule.fault.status for rule in sandbox.faults.rules] == [502]
        sandbox.faults.clear()
        assert ask(sandbox, band(sandbox)).status_code == 200

    def test_retry_after(self, sandbox: Sandbox) -> None:
        sandbox.faults.add("status=429 retry-after=3 times=1")
        sandbox.faults.add("status=503 retry-after=date+60")
        assert ask(sandbox, band(sandbox)).headers["Retry-After"] == "3"
        date = parsedate_to_datetime(ask(sandbox, band(sandbox)).headers["Retry-After"])
        assert 55 <= date.timestamp() - time.time() <= 61

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirect(self, sandbox: Sandbox, status: int) -> None:
        sandbox.faults.add(f"redirect={{stranger}}{{path}} status={status}")
        answer = ask(sandbox, band(sandbox))
        assert answer.status_code == status
        assert answer.headers["Location"] == band(sandbox).replace(
            sandbox.download, sandbox.stranger
        )

    def test_redirect_to_itself(self, sandbox: Sandbox) -> None:
        sandbox.faults.add("redirect={path}")
        with pytest.raises(requests.TooManyRedirects):
            requests.get(band(sandbox), timeout=10)

    def test_redirect_to_a_file(self, sandbox: Sandbox) -> None:
        sandbox.faults.add("redirect=file:///etc/hostname")
        assert ask(sandbox, band(sandbox)).headers["Location"] == "file:///etc/hostname"

    def test_other_content(self, sandbox: Sandbox) -> None:
        sandbox.faults.add("html times=1")
        sandbox.faults.add("empty times=1")
        sandbox.faults.add(Fault(body=b"\x00\x01"))
        answers = [ask(sandbox, band(sandbox)) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert [answer.content for answer in answers] == [PAGE, b"", b"\x00\x01"]
        assert answers[0].headers["Content-Type"].startswith("text/html")

    def test_cut(self, sandbox: Sandbox, safe: Path) -> None:
        content = (safe / BAND).read_bytes()
        for position, length in (("1000", 1000), ("50%", len(content) // 2), ("-1", -1)):
            sandbox.faults.clear()
            sandbox.faults.add(f"cut={position}")
            answer, was_reset = raw(sandbox, band(sandbox))
            assert f"Content-Length: {len(content)}\r\n".encode() in answer
            assert sent(answer) == content[:length]
            assert not was_reset
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
            ask(sandbox, band(sandbox))

    def test_cut_without_length(self, sandbox: Sandbox, safe: Path) -> None:
        sandbox.faults.add("cut=1000 framing=close")
        answer = ask(sandbox, band(sandbox))
        assert "Content-Length" not in answer.headers
        assert "Transfer-Encoding" not in answer.headers
        assert answer.content == (safe / BAND).read_bytes()[:1000]

    @pytest.mark.parametrize("framing", ["close", "chunked"])
    def test_framing(self, sandbox: Sandbox, safe: Path, framing: str) -> None:
        sandbox.faults.add(f"framing={framing}")
        answer = ask(sandbox, band(sandbox))
        assert "Content-Length" not in answer.headers
        assert answer.content == (safe / BAND).read_bytes()

    def test_reset(self, sandbox: Sandbox, safe: Path) -> None:
        content = (safe / BAND).read_bytes()
        half = len(content) // 2
        for position, got in (("start", None), ("middle", half), ("last", -1), ("100", 100)):
            sandbox.faults.clear()
            sandbox.faults.add(f"reset={position}")
            answer, was_reset = raw(sandbox, band(sandbox))
            assert was_reset
            assert sent(answer) == (b"" if got is None else content[:got])
            assert bool(answer) == (got is not None)

    def test_stall_before_the_answer(self, sandbox: Sandbox) -> None:
        sandbox.faults.add("stall=0.3 times=1")
        start = time.monotonic()
        assert ask(sandbox, band(sandbox), stream=True).status_code == 200
        assert time.monotonic() - start >= 0.3

    def test_stall_in_the_body(self, sandbox: Sandbox, safe: Path) -> None:
        sandbox.faults.add("stall=0.3 at=1000")
        start = time.monotonic()
        with ask(sandbox, band(sandbox), stream=True) as answer:
            assert len(answer.raw.read(1000)) == 1000
            assert time.monotonic() - start < 0.3
            assert answer.raw.read() == (safe / BAND).read_bytes()[1000:]
        assert time.monotonic() - start >= 0.3

    def test_a_stall_that_outlasts_the_client(self, sandbox: Sandbox) -> None:
        sandbox.faults.add("stall=60 at=50%")
        headers = {"Authorization": f"Bearer {sandbox.mint()}"}
        with pytest.raises(requests.exceptions.ConnectionError, match="Read timed out"):
            requests.get(band(sandbox), headers=headers, timeout=0.2)
        exchange = sandbox.log.wait(lambda x: x.closed is not None)
        assert not exchange.complete

    def test_slow(self, sandbox: Sandbox, safe: Path) -> None:
        size = (safe / BAND).stat().st_size
        sandbox.faults.add(Fault(slow=size / 0.3))
        start = time.monotonic()
        assert len(ask(sandbox, band(sandbox)).content) == size
        assert time.monotonic() - start >= 0.3

    def test_corrupt(self, sandbox: Sandbox, safe: Path) -> None:
        content = (safe / BAND).read_bytes()
        sandbox.faults.add("corrupt=50% times=1")
        sandbox.faults.add("corrupt=last times=1")
        got = ask(sandbox, band(sandbox)).content
        assert len(got) == len(content)
        differing = [
            at for at, pair in enumerate(zip(got, content, strict=True)) if len({*pair}) > 1
        ]
        assert differing == [len(content) // 2, len(content) - 1]

    def test_too_long(self, sandbox: Sandbox, safe: Path) -> None:
        content = (safe / BAND).read_bytes()
        sandbox.faults.add("long=5")
        answer, _ = raw(sandbox, band(sandbox))
        assert f"Content-Length: {len(content)}\r\n".encode() in answer
        assert sent(answer) == content + bytes(5)
        sandbox.faults.add("framing=close")
        assert ask(sandbox, band(sandbox)).content == content + bytes(5)

    def test_gzip(self, sandbox: Sandbox, safe: Path) -> None:
        sandbox.faults.add("gzip")
        answer = ask(sandbox, band(sandbox))
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.content == (safe / BAND).read_bytes()

    def test_together(self, sandbox: Sandbox, safe: Path) -> None:
        sandbox.faults.add("corrupt=0")
        sandbox.faults.add("cut=10 times=1")
        answer, _ = raw(sandbox, band(sandbox))
        first = (safe / BAND).read_bytes()[:10]
        assert sent(answer) == bytes([first[0] ^ 0xFF]) + first[1:]

    def test_damage_waits_for_an_answer_worth_it(self, sandbox: Sandbox) -> None:
        rule = sandbox.faults.add("corrupt=0 times=1")
        sandbox.faults.add("status=503 times=1")
        assert ask(sandbox, band(sandbox)).status_code == 503
        assert requests.get(band(sandbox), timeout=10).status_code == 401
        assert rule.used == 0

    def test_from_another_thread(self, sandbox: Sandbox) -> None:
        thread = threading.Thread(target=sandbox.faults.add, args=("status=500",))
        thread.start()
        thread.join()
        assert ask(sandbox, band(sandbox)).status_code == 500

    def test_words(self) -> None:
        text = "status=503 on=download path='*B04 *' times=2 header=X-A:b retry_after=1 html=no"
        assert Fault.parse(text) == Fault(
            on="download",
            path="*B04 *",
            times=2,
            status=503,
            headers={"X-A": "b"},
            retry_after=1,
        )
        assert Fault.parse("cut=10").cut == 10
        assert Fault.parse("cut=0.1").cut == 0.1
        assert Fault.parse("cut=10%").cut == 0.1
        assert Fault.parse("cut=1 chance=2%").chance == Fault.parse("cut=1 chance=0.02").chance

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("colour=red", "found 'colour'"),
            ("cut=half", "'half' is no value of cut"),
            ("framing=oval", "'oval' is no value of framing"),
            ("on=moon", "found 'moon'"),
            ("html chance=often", "'often' is no value of chance"),
            ("html chance=2", "a chance from 0 to 1, found 2"),
            ("503", "found '503'"),
        ],
    )
    def test_words_not_understood(self, text: str, why: str) -> None:
        with pytest.raises(ValueError, match=why):
            Fault.parse(text)


class TestLog:
    def test_exchange(self, sandbox: Sandbox, safe: Path) -> None:
        answer = ask(sandbox, f"{band(sandbox)}?x=1", headers={"X-Secret": "hush"})
        (exchange,) = sandbox.log
        assert (exchange.role, exchange.method, exchange.status) == ("download", "GET", 200)
        assert exchange.path.endswith("/$value?x=1")
        assert exchange.header("x-secret") == "hush"
        assert exchange.holds("hush")
        assert not exchange.holds("other")
        assert exchange.user == "user"
        assert exchange.sent == len(answer.content)
        assert exchange.complete
        assert exchange.first is not None
        assert exchange.closed is not None
        assert exchange.opened <= exchange.first <= exchange.closed

    def test_body_of_a_grant(self, sandbox: Sandbox) -> None:
        data = {"grant_type": "password", "password": "p w&d"}
        requests.post(sandbox.token_url, data=data, timeout=10)
        (exchange,) = sandbox.log.of("identity", method="POST")
        assert exchange.holds("p w&d")

    def test_the_stranger_is_a_witness(self, sandbox: Sandbox) -> None:
        url = band(sandbox).replace(sandbox.download, sandbox.stranger)
        token = sandbox.mint()
        answer = requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=10)
        assert answer.headers["Content-Type"].startswith("text/html")
        assert sandbox.log.of("stranger")[0].holds(token)
        assert not sandbox.log.of("download")

    def test_a_client_that_goes_away(self, sandbox: Sandbox) -> None:
        sandbox.limits = Limits(rate=1000)
        answer = ask(sandbox, band(sandbox), stream=True)
        assert sandbox.log.now()[0].closed is None
        answer.close()
        exchange = sandbox.log.wait(lambda x: x.closed is not None)
        assert not exchange.complete
        assert exchange.sent < int(answer.headers["Content-Length"])

    def test_most_open(self, sandbox: Sandbox) -> None:
        sandbox.limits = Limits(latency=0.2)
        threads = [threading.Thread(target=ask, args=(sandbox, band(sandbox))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ask(sandbox, band(sandbox))
        assert sandbox.log.most_open() == 3
        sandbox.log.clear()
        assert len(sandbox.log) == 0

    def test_waiting_in_vain(self, sandbox: Sandbox) -> None:
        with pytest.raises(TimeoutError):
            sandbox.log.wait(lambda x: True, timeout=0.05)


class TestSandbox:
    def test_environment(self, sandbox: Sandbox) -> None:
        assert sandbox.environment == {
            "CDSE_TRUSTED_HOSTS": f"{sandbox.catalogue},{sandbox.stac},{sandbox.download}",
            "CDSE_IDENTITY_URL": sandbox.token_url,
        }
        assert len(set(sandbox.origins.values())) == 5
        assert all(x.startswith("http://127.0.0.1:") for x in sandbox.origins.values())

    def test_pages(self, sandbox: Sandbox, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_bytes(b"from disk")
        sandbox.pages["/x.json"] = b"{}"
        sandbox.pages["/list"] = [1]
        sandbox.pages["/file"] = file
        get = [requests.get(sandbox.stac + path, timeout=10) for path in sandbox.pages]
        assert [answer.content for answer in get] == [b"{}", b"[1]", b"from disk"]
        assert get[0].headers["Content-Type"] == "application/json"

    def test_a_service_that_is_down(self, sandbox: Sandbox, safe: Path) -> None:
        with requests.Session() as session:
            assert session.get(sandbox.item_url(safe.name), timeout=10).ok
            with sandbox.down("stac"), pytest.raises(requests.ConnectionError, match="refused"):
                session.get(sandbox.item_url(safe.name), timeout=10)
            assert session.get(sandbox.item_url(safe.name), timeout=10).ok

    def test_products_are_added(self, sandbox: Sandbox, tmp_path: Path) -> None:
        folder = tmp_path / "second.SAFE"
        folder.mkdir()
        assert requests.get(sandbox.item_url("second"), timeout=10).status_code == 404
        sandbox.add_product(folder)
        assert requests.get(sandbox.item_url("second"), timeout=10).ok
        with pytest.raises(NotADirectoryError):
            sandbox.add_product(tmp_path / "third.SAFE")

    def test_port_taken(self, sandbox: Sandbox) -> None:
        port = int(sandbox.catalogue.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            Sandbox(port=port).start()

    def test_starts_and_stops_at_once_and_without_a_trace(self, safe: Path) -> None:
        before = threading.active_count()
        start = time.monotonic()
        with warnings.catch_warnings(), Sandbox([safe]) as sandbox:
            warnings.simplefilter("error")
            assert time.monotonic() - start < 0.5
            sandbox.faults.add("stall=60 at=50%")
            answer = ask(sandbox, band(sandbox), stream=True)
            end = time.monotonic()
        assert time.monotonic() - end < 1
        answer.close()
        assert threading.active_count() == before


class TestCommand:
    @pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
    def test_runs_until_it_is_told_to_stop(self, safe: Path, tmp_path: Path, stop: int) -> None:
        ready = tmp_path / "ready"
        ready.write_text("of an earlier run")
        command = [sys.executable, "-W", "error", "-m", "sandbox", "--safe", str(safe)]
        with subprocess.Popen(
            [*command, "--ready", str(ready), "--fault", "status=503 path=*.SAFE", "--seed", "3"],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            end = time.monotonic() + 10
            while not (ready.exists() and "export" in ready.read_text()):
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.02)
            words = shlex.split(ready.read_text())
            variables = dict(word.split("=", 1) for word in words if word != "export")
            item = requests.get(variables["SANDBOX_ITEM"], timeout=10).json()
            legacy = requests.get(variables["SANDBOX_ITEM_LEGACY_1"], timeout=10)
            headers = {"Authorization": f"Bearer {variables['CDSE_ACCESS_TOKEN']}"}
            href = item["assets"]["B04"]["alternate"]["https"]["href"]
            content = requests.get(href, headers=headers, timeout=10).content
            process.send_signal(stop)
            said, complained = process.communicate(timeout=10)
        assert process.returncode == 0
        assert complained == ""
        assert variables["SANDBOX_ITEM"] in said
        assert Path(variables["SANDBOX_SAFE"]) == safe
        assert any(href.startswith(x) for x in variables["CDSE_TRUSTED_HOSTS"].split(","))
        assert content == (safe / BAND).read_bytes()
        assert legacy.status_code == 503

    def test_says_what_it_does_not_understand(self, safe: Path) -> None:
        result = CliRunner().invoke(main, ["--safe", str(safe), "--fault", "colour=red"])
        assert result.exit_code == 2
        assert "found 'colour'" in result.output
