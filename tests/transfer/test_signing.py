"""The keys of the object store: where they come from, and where requests are signed with them."""

import pytest
import requests

from stage_in.errors import CredentialsError, StageInError, UsageError, VerificationError
from stage_in.secrets import strike
from stage_in.transfer.access import Access
from stage_in.transfer.signing import S3Keys, SigningAuth
from stage_in.transfer.trust import S3_ENDPOINTS

CDSE = {"CDSE_S3_ACCESS_KEY": "cdse", "CDSE_S3_SECRET_KEY": "secret-1"}
AWS = {"AWS_ACCESS_KEY_ID": "aws", "AWS_SECRET_ACCESS_KEY": "secret-2", "AWS_SESSION_TOKEN": "t=="}
PROXY = {"AWS_ENDPOINT_URL_S3": "https://Proxy.example:443/"}


def read(*, required: bool = False, **variables: str) -> S3Keys | None:
    return S3Keys.from_environment(variables, required=required)


@pytest.mark.parametrize(
    ("variables", "required", "access_key", "endpoints"),
    [
        (CDSE, False, "cdse", S3_ENDPOINTS),
        (CDSE | AWS, False, "cdse", S3_ENDPOINTS),
        (CDSE | AWS | PROXY, False, "cdse", ("https://proxy.example",)),
        (AWS | PROXY, False, "aws", ("https://proxy.example",)),
        (
            AWS | {"AWS_ENDPOINT_URL": "http://10.0.0.1:9000/s3/"},
            False,
            "aws",
            ("http://10.0.0.1:9000/s3",),
        ),
        (AWS, True, "aws", S3_ENDPOINTS),
        (AWS | {"AWS_ENDPOINT_URL": f"{S3_ENDPOINTS[0]}/"}, False, "aws", S3_ENDPOINTS),
        (AWS | {"AWS_ENDPOINT_URL": S3_ENDPOINTS[1]}, False, "aws", S3_ENDPOINTS[::-1]),
        (AWS, False, None, ()),
        (PROXY, False, None, ()),
        (PROXY | {"AWS_ACCESS_KEY_ID": "of something else"}, False, None, ()),
        ({"CDSE_S3_ACCESS_KEY": "", "CDSE_S3_SECRET_KEY": ""}, False, None, ()),
        ({"CDSE_S3_ACCESS_KEY": "\n"} | AWS | PROXY, False, "aws", ("https://proxy.example",)),
    ],
)
def test_keys_and_endpoint(
    variables: dict[str, str], required: bool, access_key: str | None, endpoints: tuple[str, ...]
) -> None:
    keys = read(required=required, **variables)
    assert (keys and keys.access_key) == access_key
    assert (keys.endpoints if keys else ()) == endpoints
    if keys:
        assert keys.session_token == ("t==" if access_key == "aws" else "")
        assert "secret-" not in repr(keys)
        assert "t==" not in repr(keys)


@pytest.mark.parametrize("endpoint", S3_ENDPOINTS)
def test_an_endpoint_of_the_platform_allows_no_more_connections(endpoint: str) -> None:
    """Its documentation tells users of AWS tools to name it."""
    Access.from_environment(AWS | PROXY).check_connections(32)
    access = Access.from_environment(AWS | {"AWS_ENDPOINT_URL_S3": endpoint})
    access.check_connections(4)
    with pytest.raises(UsageError, match="at most 4 connections"):
        access.check_connections(5)


def test_secrets_are_struck_from_messages() -> None:
    read(required=True, AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="qN8/vT3+xR7zK1", **PROXY)
    read(**AWS | PROXY | {"AWS_SESSION_TOKEN": "FwoGZXIvYXdzEJr4n8t0k3n=="})
    assert "vT3" not in strike("found qN8/vT3+xR7zK1 in a message")
    assert "YXdz" not in strike("found FwoGZXIvYXdzEJr4n8t0k3n== in a message")


def test_the_region_of_the_environment_comes_first() -> None:
    keys = read(**AWS, **PROXY, AWS_REGION="eodata")
    assert keys is not None
    assert keys.regions == ("eodata", "default")


def test_white_space_around_values_is_ignored() -> None:
    """A file that holds a value often ends with a line break."""
    endpoint = {"AWS_ENDPOINT_URL_S3": "https://proxy.example/s3/\n"}
    keys = read(**AWS, **endpoint, AWS_REGION=" \n", AWS_DEFAULT_REGION="eodata\n")
    assert keys is not None
    assert keys.endpoints == ("https://proxy.example/s3",)
    assert keys.regions == ("eodata", "default")


@pytest.mark.parametrize(
    ("variables", "kind", "words"),
    [
        ({}, CredentialsError, "CDSE_S3_ACCESS_KEY"),
        ({"CDSE_S3_ACCESS_KEY": "x"}, CredentialsError, "CDSE_S3_SECRET_KEY"),
        (CDSE | {"CDSE_S3_SECRET_KEY": "a b-hidden"}, CredentialsError, "ASCII"),
        (CDSE | {"CDSE_S3_SECRET_KEY": "(secret-1234"}, CredentialsError, "placeholder"),
        (CDSE | {"AWS_ENDPOINT_URL_S3": "eodata.example"}, UsageError, "AWS_ENDPOINT_URL"),
        (CDSE | {"AWS_ENDPOINT_URL_S3": "https://u:hidden@a.example"}, UsageError, "AWS_ENDPOINT"),
        (CDSE | {"AWS_ENDPOINT_URL_S3": "https://a.example/?x=hidden"}, UsageError, "query"),
        (CDSE | {"AWS_REGION": "default/hidden"}, UsageError, "AWS_REGION"),
        (CDSE | {"AWS_DEFAULT_REGION": "a\nhidden"}, UsageError, "AWS_DEFAULT_REGION"),
    ],
)
def test_variables_that_can_not_be_used(
    variables: dict[str, str], kind: type[StageInError], words: str
) -> None:
    with pytest.raises(kind, match=words) as failed:
        read(required=True, **variables)
    assert "hidden" not in str(failed.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://eodata.cloudferro.com/eodata/x",
        "http://eodata.dataspace.copernicus.eu/eodata/x",
        "https://eodata.dataspace.copernicus.eu:8443/eodata/x",
        "https://eodata.dataspace.copernicus.eu.example/eodata/x",
        "https://zipper.dataspace.copernicus.eu/eodata/x",
    ],
)
def test_nothing_is_signed_for_another_origin(url: str) -> None:
    keys = read(**CDSE)
    assert keys is not None
    request = requests.Request("GET", url, auth=SigningAuth(keys, "default"))
    with pytest.raises(VerificationError, match="No request was sent"):
        request.prepare()
