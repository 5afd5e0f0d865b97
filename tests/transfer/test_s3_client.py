"""Requests to an object store: endpoints, regions, ranges, and what each refusal means."""

import time
from collections.abc import Iterator

import pytest

from sandbox.faults import Fault
from sandbox.server import Sandbox
from sandbox.sigv4 import Key
from stage_in.errors import (
    BusyError,
    CredentialsError,
    NotFoundError,
    RefusedError,
    StageInError,
    TemporaryError,
    UnauthorizedError,
    VerificationError,
)
from stage_in.transfer import signing
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.pacing import Pacing
from stage_in.transfer.s3_client import MAX_REFUSALS, S3Client
from stage_in.transfer.s3_status import SlowDownError
from stage_in.transfer.signing import S3Keys

CONTENT = bytes(range(256))


@pytest.fixture
def platform() -> Iterator[Sandbox]:
    with Sandbox([], keys=[Key()]) as platform:
        platform.s3.objects["a file"] = CONTENT
        yield platform


def make_client(platform: Sandbox, **variables: str) -> S3Client:
    environment = platform.s3_environment() | variables
    keys = S3Keys.from_environment(environment, required=True)
    assert keys is not None
    return S3Client(keys, "eodata", Pacing(4), connections=4, stall_timeout=5)


def read(client: S3Client, start: int = 0, end: int | None = None, key: str = "a file") -> bytes:
    with client.get(key, Arrivals(), start, end, len(CONTENT)) as body:
        return b"".join(body)


def test_objects_and_parts_of_them(platform: Sandbox) -> None:
    client = make_client(platform)
    assert read(client) == CONTENT
    assert read(client, 10) == CONTENT[10:]
    assert read(client, 0, 100) == CONTENT[:100]
    assert read(client, 20, 30) == CONTENT[20:30]
    assert not client.ignores_ranges


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("status=403 empty", UnauthorizedError),
        ("status=500", TemporaryError),
        ("reset=start", TemporaryError),
    ],
)
def test_both_endpoints_of_the_platform_are_tried(
    platform: Sandbox, monkeypatch: pytest.MonkeyPatch, fault: str, kind: type[StageInError]
) -> None:
    """Each failure leads to the other endpoint, which is then kept."""
    endpoint = platform.origins["s3"]
    other = endpoint.replace("127.0.0.1", "localhost")
    monkeypatch.setattr(signing, "S3_ENDPOINTS", (endpoint, other))
    client = make_client(platform, AWS_ENDPOINT_URL_S3="")
    platform.faults.add(f"{fault} on=s3 times=1")
    with pytest.raises(kind):
        read(client)
    assert read(client) == CONTENT
    assert read(client) == CONTENT
    hosts = [(exchange.header("Host") or "").split(":")[0] for exchange in platform.log.of("s3")]
    assert hosts == ["127.0.0.1", "localhost", "localhost"]


def test_the_other_region_is_tried(platform: Sandbox) -> None:
    platform.s3.keys["SANDBOXKEY"] = Key(region="default")
    client = make_client(platform, AWS_REGION="eodata")
    with pytest.raises(UnauthorizedError, match="AuthorizationHeaderMalformed"):
        read(client)
    assert read(client) == CONTENT
    assert read(client) == CONTENT


def refuse(client: S3Client) -> StageInError:
    with pytest.raises(UnauthorizedError) as refused:
        read(client)
    return client.explain(refused.value)


def test_keys_are_wrong_after_five_refusals_in_a_row(platform: Sandbox) -> None:
    client = make_client(platform, CDSE_S3_SECRET_KEY="another")
    *first, last = [refuse(client) for _ in range(MAX_REFUSALS)]
    assert {type(failure) for failure in first} == {TemporaryError}
    assert type(last) is CredentialsError
    assert "SignatureDoesNotMatch" in str(last)
    assert "CDSE_S3_ACCESS_KEY" in str(last)


def test_keys_that_were_accepted_are_refused_for_a_while_only(platform: Sandbox) -> None:
    client = make_client(platform)
    read(client)
    platform.faults.add("status=403 code=InvalidAccessKeyId on=s3 times=9")
    assert {type(refuse(client)) for _ in range(9)} == {TemporaryError}
    assert read(client) == CONTENT


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("status=403 code=RequestTimeTooSkewed", CredentialsError, "clock"),
        ("status=403 code=AccessDenied", UnauthorizedError, "AccessDenied"),
        ("status=400 code=ExpiredToken", CredentialsError, "AWS_SESSION_TOKEN to new keys"),
        ("status=403 code=TokenRefreshRequired", CredentialsError, "has expired"),
        ("status=400 code=InvalidToken", UnauthorizedError, "InvalidToken"),
        ("status=400", RefusedError, "400"),
        ("status=501", RefusedError, "NotImplemented"),
        ("status=404", NotFoundError, "NoSuchKey"),
        ("status=429 retry_after=3", BusyError, "429"),
        ("status=503", SlowDownError, "SlowDown"),
        ("status=500", TemporaryError, "InternalError"),
        ("status=416", RefusedError, "InvalidRange"),
        ("redirect={stranger}/?a=b", RefusedError, r"30.*redirects to http://[^?]*/\. .*_URL_S3"),
        ("status=400 code=AuthorizationHeaderMalformed", UnauthorizedError, "AWS_REGION"),
        ("cut=50%", TemporaryError, "eodata"),
    ],
)
def test_failures(platform: Sandbox, fault: str, kind: type[StageInError], words: str) -> None:
    platform.faults.add(f"{fault} on=s3 times=1")
    client = make_client(platform)
    with pytest.raises(kind, match=words) as failed:
        read(client, 1)
    assert type(failed.value) is kind
    assert not platform.log.of("stranger")


@pytest.mark.parametrize(
    ("body", "length"),
    [
        ("<Error><Code>ExpiredToken</Code><Token-0>{long}</Token-0></Error>", 20_000),
        ("<Error><Token-0>{long}</Token-0><Code>ExpiredToken</Code></Error>", 20_000),
        ("<Error><Code>ExpiredToken</Code><Token-0>{long}</Token-0></Error>", 200_000),
    ],
)
def test_the_code_is_found_in_a_long_error(platform: Sandbox, body: str, length: int) -> None:
    """AWS repeats the session token, and the bytes that were to be signed in hexadecimal."""
    long = body.format(long="t" * length)
    platform.faults.add(Fault(status=400, body=long, on="s3", times=1))
    with pytest.raises(CredentialsError, match="has expired"):
        read(make_client(platform))


@pytest.mark.parametrize(
    "content_range", ["bytes 0-9/10", "bytes 16-19/256", "bytes 16-31/300", "bytes 16-31/*", ""]
)
def test_another_range_is_refused(platform: Sandbox, content_range: str) -> None:
    platform.faults.add(f"'header=Content-Range:{content_range}' on=s3 times=1")
    client = make_client(platform)
    with pytest.raises(VerificationError, match="must send"):
        read(client, 16, 32)
    assert read(client, 16, 32) == CONTENT[16:32]


def test_a_whole_object_in_place_of_a_part_is_noted(platform: Sandbox) -> None:
    platform.faults.add("whole on=s3")
    client = make_client(platform)
    assert read(client, 0, 16) == CONTENT
    assert client.ignores_ranges


@pytest.mark.parametrize(
    "fault", ["status=416", "status=400", "status=501", "header=Content-Range:"]
)
def test_parts_are_not_requested_where_ranges_are_refused(platform: Sandbox, fault: str) -> None:
    """The third attempt gets the whole object, so no file fails because of the proxy in between."""
    platform.faults.add(f"{fault} on=s3 times=2")
    client = make_client(platform)
    for _ in range(2):
        assert not client.ignores_ranges
        with pytest.raises(VerificationError):
            read(client, 16, 32)
    assert read(client, 16, 32) == CONTENT
    assert client.ignores_ranges


def test_a_range_that_is_refused_once_is_requested_again(platform: Sandbox) -> None:
    client = make_client(platform)
    for _ in range(3):
        platform.faults.add("status=416 on=s3 times=1")
        with pytest.raises(RefusedError):
            read(client, 16, 32)
        assert read(client, 16, 32) == CONTENT[16:32]
    assert not client.ignores_ranges


def test_requests_wait_until_the_limit_is_reset(platform: Sandbox) -> None:
    """The limit holds for the user, so it holds all downloads."""
    platform.faults.add("status=429 header=x-ratelimit-reset:1 on=s3 times=1")
    client = make_client(platform)
    started = time.monotonic()
    with pytest.raises(BusyError):
        read(client)
    assert read(client) == CONTENT
    assert time.monotonic() - started >= 1


def test_an_overloaded_service_gets_half_of_the_requests(platform: Sandbox) -> None:
    platform.faults.add("status=503 on=s3 times=1")
    client = make_client(platform)
    with pytest.raises(SlowDownError):
        read(client)
    with client.pacing.slot() as first, client.pacing.slot() as second:
        first(), second()
        assert not client.pacing._may_request()
    assert client.pacing._may_request()


@pytest.mark.parametrize("key", ["a+b c/ä&=?#%20.jp2", "~._-/(1)*'!@,;:$"])
def test_keys_with_odd_characters(platform: Sandbox, key: str) -> None:
    platform.s3.objects[key] = CONTENT
    client = make_client(platform)
    assert read(client, key=key) == CONTENT
    with client.list({"list-type": "2", "prefix": key}) as body:
        assert b"<KeyCount>1</KeyCount>" in body.read(10_000)
