"""The object store, and that it answers as Ceph does.

The same requests go to the sandbox, to Ceph, and to Ceph through the sandbox that injects faults.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from lxml import etree
from requests_aws4auth import AWS4Auth

from sandbox.limits import Limits
from sandbox.server import Sandbox
from sandbox.sigv4 import Key
from sandbox.store import ServedProduct
from tests.ceph import KEY, ceph, upload
from tests.sandbox.client import BAND

ODD = "odd x+y~(1)é.txt"
CEPH = pytest.mark.slow
SERVERS = ["sandbox", pytest.param("ceph", marks=CEPH), pytest.param("proxy", marks=CEPH)]


@dataclass(frozen=True)
class Bucket:
    """A client of the bucket of a server.

    Attributes:
        origin: Origin of the server.
        key: The keys.
        product: The product's key.
        platform: The sandbox, if it is or is in front of the server.
    """

    origin: str
    product: str
    key: Key = field(default_factory=Key)
    platform: Sandbox | None = None

    def request(
        self, path: str = "", method: str = "GET", region: str = "default", **options: Any
    ) -> requests.Response:
        """Send a request for a file of the product, or for the bucket without a path."""
        url = f"{self.origin}/eodata/"
        if path:
            url += quote(f"{self.product}/{path}")
        key = options.pop("key", self.key)
        auth = AWS4Auth(
            key.access,
            key.secret,
            region,
            "s3",
            session_token=key.session or options.pop("session", None),
        )
        options = {"auth": auth, "timeout": 10} | options
        return requests.request(method, url, **options)

    def list(self, **query: Any) -> requests.Response:
        """Request a listing."""
        return self.request(params={"list-type": 2, "prefix": f"{self.product}/"} | query)


def code(response: requests.Response) -> str | None:
    """Return the code of an error."""
    if response.ok or not response.content:
        return None
    return etree.fromstring(response.content).findtext("Code")


def texts(response: requests.Response, name: str) -> list[str]:
    """Return the texts of the elements of a listing that have this name."""
    return [x.text or "" for x in etree.fromstring(response.content).iter(f"{{*}}{name}")]


@pytest.fixture(scope="module")
def real(safe: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """Ceph with the product's objects."""
    with ceph(tmp_path_factory.mktemp("ceph")) as origin:
        product = ServedProduct(safe)
        upload(origin, product, **{ODD: b"odd"})
        yield Bucket(origin, product.s3_key, KEY)


@pytest.fixture
def bucket(request: pytest.FixtureRequest, sandbox: Sandbox) -> Bucket:
    server = getattr(request, "param", "sandbox")
    product = sandbox.products[0].s3_key
    if server == "ceph":
        real: Bucket = request.getfixturevalue("real")
        return real
    if server == "proxy":
        sandbox.s3.upstream = request.getfixturevalue("real").origin
        return Bucket(sandbox.origins["s3"], product, KEY, sandbox)
    sandbox.s3.objects[f"{product}/{ODD}"] = b"odd"
    return Bucket(sandbox.origins["s3"], product, platform=sandbox)


@pytest.mark.parametrize("bucket", SERVERS, indirect=True)
@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (None, slice(None)),
        ("bytes=0-9", slice(0, 10)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-5", slice(-5, None)),
        ("bytes=1000-99999999", slice(1000, None)),
        ("nonsense", slice(None)),
    ],
)
def test_get(bucket: Bucket, content: bytes, selection: str | None, expected: slice) -> None:
    response = bucket.request(BAND, headers={"Range": selection} if selection else {})
    part = content[expected]
    assert response.content == part
    assert response.headers["Content-Length"] == str(len(part))
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["ETag"].startswith('"')
    assert response.status_code == (200 if len(part) == len(content) else 206)
    if response.status_code == 206:
        start = content.index(part)
        assert (
            response.headers["Content-Range"]
            == f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        )


@pytest.mark.parametrize("bucket", SERVERS, indirect=True)
@pytest.mark.parametrize(
    ("options", "status", "expected"),
    [
        ({"headers": {"Range": "bytes=99999999-"}}, 416, "InvalidRange"),
        ({"headers": {"Range": "bytes=5-2"}}, 416, "InvalidRange"),
        ({"headers": {"Range": "bytes=0-3", "If-Range": '"other"'}}, 206, None),
        ({"path": "HTML/"}, 200, None),
        ({"path": "HTML"}, 404, "NoSuchKey"),
        ({"path": f"{BAND}/"}, 404, "NoSuchKey"),
        ({"path": "none"}, 404, "NoSuchKey"),
        ({"path": "none", "method": "HEAD"}, 404, None),
        ({"path": ODD}, 200, None),
        ({"method": "HEAD"}, 200, None),
        ({"region": "eodata"}, 200, None),
        ({"session": "ignored"}, 200, None),
        ({"key": Key("UNKNOWN")}, 403, "InvalidAccessKeyId"),
        ({"auth": None}, 403, "AccessDenied"),
        ({"auth": None, "headers": {"Authorization": "Bearer token"}}, 400, "InvalidArgument"),
        ({"minutes": 14}, 200, None),
        ({"minutes": -14}, 200, None),
        ({"minutes": 16}, 403, "RequestTimeTooSkewed"),
        ({"minutes": -16}, 403, "RequestTimeTooSkewed"),
    ],
)  # fmt: skip
def test_answers(
    bucket: Bucket, options: dict[str, Any], status: int, expected: str | None
) -> None:
    options = {"path": BAND, **options}
    if "minutes" in options:  # by which the client's clock is fast
        time = datetime.now(UTC) + timedelta(minutes=options.pop("minutes"))
        options["headers"] = {"x-amz-date": f"{time:%Y%m%dT%H%M%SZ}"}
    response = bucket.request(**options)
    assert (response.status_code, code(response)) == (status, expected)
    if not response.ok:
        assert response.headers["Content-Type"] == "application/xml"
        assert response.headers["x-amz-request-id"]


@pytest.mark.parametrize("bucket", SERVERS, indirect=True)
def test_signature_of_another_secret(bucket: Bucket) -> None:
    wrong = Key(bucket.key.access, "another")
    for path in (BAND, "none", ""):
        response = bucket.request(path, key=wrong)
        assert (response.status_code, code(response)) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("bucket", SERVERS, indirect=True)
def test_signature_of_another_request(bucket: Bucket) -> None:
    """It covers method, path, query and host, and nothing of it can be exchanged."""
    auth = AWS4Auth(bucket.key.access, bucket.key.secret, "default", "s3")
    url = f"{bucket.origin}/eodata/?list-type=2&prefix={bucket.product}"
    signed = requests.Request("GET", url, auth=auth).prepare()
    statuses = []
    with requests.Session() as session:
        for name, value in (
            ("url", url),
            ("url", f"{url}/manifest.safe"),
            ("url", url.replace("/?", "/a?")),
            ("method", "HEAD"),
        ):
            changed = signed.copy()
            setattr(changed, name, value)
            statuses.append(session.send(changed, timeout=10).status_code)
        changed = signed.copy()
        changed.headers["Host"] = "eodata.dataspace.copernicus.eu"
        statuses.append(session.send(changed, timeout=10).status_code)
    assert statuses == [200, 403, 403, 403, 403]


@pytest.mark.parametrize("bucket", SERVERS, indirect=True)
def test_head(bucket: Bucket, content: bytes) -> None:
    response = bucket.request(BAND, "HEAD")
    assert response.status_code == 200
    assert response.headers["Content-Length"] == str(len(content))
    assert response.content == b""


@pytest.mark.parametrize("bucket", SERVERS, indirect=True)
def test_pages_of_a_listing(bucket: Bucket, safe: Path) -> None:
    sizes, pages, token = {}, 0, {}
    while True:
        page = bucket.list(**{"max-keys": 7}, **token)
        assert page.status_code == 200
        assert texts(page, "Name") == ["eodata"]
        assert texts(page, "MaxKeys") == ["7"]
        keys = texts(page, "Key")
        assert texts(page, "KeyCount") == [str(len(keys))]
        sizes |= dict(zip(keys, map(int, texts(page, "Size")), strict=True))
        pages += 1
        following = texts(page, "NextContinuationToken")
        assert texts(page, "IsTruncated") == ["true" if following else "false"]
        if not following:
            break
        token = {"continuation-token": following[0]}
    expected = {
        f"{bucket.product}/{path.relative_to(safe).as_posix()}": path.stat().st_size
        for path in safe.rglob("*")
        if path.is_file()
    }
    expected |= {f"{bucket.product}/HTML/": 0, f"{bucket.product}/{ODD}": 3}
    assert sizes == expected
    assert list(sizes) == sorted(expected)
    assert pages == -(-len(expected) // 7)


@pytest.mark.parametrize("bucket", SERVERS, indirect=True)
@pytest.mark.parametrize(
    ("query", "status", "number"),
    [
        ({"prefix": "Sentinel-2/none"}, 200, 0),
        ({"max-keys": "0"}, 200, 0),
        ({"max-keys": "-1"}, 200, 0),
        ({"max-keys": "99999"}, 200, 23),
        ({"start-after": "Sentinel-3"}, 200, 0),
        ({"continuation-token": "zzz"}, 200, 0),
        ({"max-keys": "many"}, 400, None),
    ],
)
def test_listings(bucket: Bucket, query: dict[str, str], status: int, number: int | None) -> None:
    response = bucket.list(**query)
    assert response.status_code == status
    if number is None:
        assert code(response) == "InvalidArgument"
    else:
        assert len(texts(response, "Key")) == number
        assert texts(response, "IsTruncated") == ["false"]


@pytest.mark.parametrize("bucket", ["sandbox", pytest.param("proxy", marks=CEPH)], indirect=True)
class TestFaults:
    """Faults of the sandbox, and in front of Ceph."""

    @pytest.mark.parametrize(
        ("rule", "status", "expected"),
        [
            ("status=403 code=SignatureDoesNotMatch", 403, "SignatureDoesNotMatch"),
            ("status=403 empty", 403, None),
            ("status=404", 404, "NoSuchKey"),
            ("status=429 retry_after=1", 429, "TooManyRequests"),
            ("status=503", 503, "SlowDown"),
        ],
    )
    def test_refusals(self, bucket: Bucket, rule: str, status: int, expected: str | None) -> None:
        assert bucket.platform is not None
        bucket.platform.faults.add(f"{rule} on=s3 path=*B04.jp2 times=2")
        found = [bucket.request(path) for path in (BAND, "manifest.safe", BAND, BAND)]
        assert [x.status_code for x in found] == [status, 200, status, 200]
        assert code(found[0]) == expected
        assert ("Retry-After" in found[0].headers) == ("retry_after" in rule)

    def test_changed_bodies(self, bucket: Bucket, content: bytes) -> None:
        assert bucket.platform is not None
        faults, log = bucket.platform.faults, bucket.platform.log
        rule = faults.add("corrupt=100 on=s3")
        flipped = bytearray(content)
        flipped[100] ^= 0xFF
        assert bucket.request(BAND).content == flipped
        faults.remove(rule)
        rule = faults.add("cut=5000 on=s3")
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            bucket.request(BAND, headers={"Range": "bytes=0-9999"})
        faults.remove(rule)
        rule = faults.add("stall=30 at=5000 on=s3")
        with bucket.request(BAND, stream=True) as stalled:
            assert len(stalled.raw.read(5000)) == 5000
            log.wait(lambda x: x.sent == 5000 and x.closed is None)
        log.wait(lambda x: x.sent == 5000 and x.header("Range") is None and x.closed is not None)
        faults.remove(rule)
        faults.add("'header=Content-Range:bytes 1-4/9' on=s3")
        response = bucket.request(BAND, headers={"Range": "bytes=0-3"})
        assert response.headers["Content-Range"] == "bytes 1-4/9"
        seen = [(x.header("Range"), x.status, x.sent) for x in log.of("s3", f"*{BAND}", "GET")]
        assert seen == [
            (None, 200, len(content)),
            ("bytes=0-9999", 206, 5000),
            (None, 200, 5000),
            ("bytes=0-3", 206, 4),
        ]


def test_whole_body_for_a_range(bucket: Bucket, sandbox: Sandbox, content: bytes) -> None:
    sandbox.faults.add("whole on=s3")
    response = bucket.request(BAND, headers={"Range": "bytes=0-3"})
    assert response.status_code == 200
    assert response.content == content
    assert "Content-Range" not in response.headers


def test_session_token_and_region(bucket: Bucket, sandbox: Sandbox) -> None:
    key = Key("TEMPORARY", "secret", session="token", region="eodata")
    sandbox.s3.keys[key.access] = key
    assert bucket.request(BAND, key=key, region="eodata").ok
    found = [
        bucket.request(BAND, key=key),
        bucket.request(BAND, key=Key("TEMPORARY", "secret"), region="eodata"),
        bucket.request(BAND, key=Key("TEMPORARY", "secret", session="old"), region="eodata"),
    ]
    assert [(x.status_code, code(x)) for x in found] == [
        (400, "AuthorizationHeaderMalformed"),
        (403, "InvalidAccessKeyId"),
        (400, "InvalidToken"),
    ]


def test_environment(sandbox: Sandbox) -> None:
    endpoint = {"AWS_ENDPOINT_URL_S3": sandbox.origins["s3"]}
    assert sandbox.s3_environment() == endpoint | {
        "CDSE_S3_ACCESS_KEY": Key().access,
        "CDSE_S3_SECRET_KEY": Key().secret,
    }
    assert sandbox.s3_environment(Key("a", "b", "c", "eodata")) == endpoint | {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_SESSION_TOKEN": "c",
        "AWS_REGION": "eodata",
    }


def test_item_names_the_objects(bucket: Bucket, sandbox: Sandbox, safe: Path) -> None:
    folder = f"eodata/{bucket.product}"
    item = sandbox.item(safe.name)
    assert f"s3://{folder}/" in [x["href"] for x in item["links"] if x["rel"] == "enclosure"]
    assert item["assets"]["safe_manifest"]["href"] == f"s3://{folder}/manifest.safe"
    legacy = sandbox.item(safe.name, "legacy")
    assert legacy["assets"]["PRODUCT"]["alternate"]["s3"]["href"] == f"/{folder}"


def test_objects_besides_the_product(bucket: Bucket, sandbox: Sandbox) -> None:
    before = texts(bucket.list(), "Key")
    sandbox.s3.objects[f"{bucket.product}/../unlisted"] = b"more"
    sandbox.s3.objects[f"{bucket.product}/{BAND}"] = None
    sandbox.s3.markers = False
    changes = set(before) ^ set(texts(bucket.list(), "Key"))
    assert {x.removeprefix(f"{bucket.product}/") for x in changes} == {
        "../unlisted", BAND, "HTML/",
    }  # fmt: skip
    assert bucket.request(BAND).status_code == 404
    assert bucket.request("HTML/").status_code == 404


def test_limits(bucket: Bucket, sandbox: Sandbox, content: bytes) -> None:
    sandbox.limits = Limits(connections=2, lag=60)
    sandbox.faults.add("stall=60 at=middle on=s3 times=2")
    held = [bucket.request(BAND, stream=True) for _ in range(2)]
    refused = bucket.request(BAND)
    assert (refused.status_code, code(refused)) == (429, "TooManyRequests")
    for response in held:
        response.close()
    for number in range(2):
        sandbox.log.wait(lambda x, n=number: x.key == n + 1 and x.closed is not None)
    sandbox.limits = Limits(connections=2, lag=60, rate=len(content) / 0.4)
    start = time.monotonic()
    assert bucket.request(BAND).content == content
    assert time.monotonic() - start >= 0.4


def test_requests_per_window(bucket: Bucket, sandbox: Sandbox) -> None:
    now = 0.0
    sandbox._sessions._clock = lambda: now
    sandbox.limits = Limits(s3_requests=2, s3_window=1.5)
    found = [bucket.request("manifest.safe") for _ in range(3)]
    assert [x.status_code for x in found] == [200, 200, 429]
    assert [x.headers["x-ratelimit-limit"] for x in found] == ["2"] * 3
    assert [x.headers["x-ratelimit-remaining"] for x in found] == ["1", "0", "0"]
    assert found[-1].headers["x-ratelimit-reset"] == "2"
    now = 1.5
    assert bucket.request("manifest.safe").ok
