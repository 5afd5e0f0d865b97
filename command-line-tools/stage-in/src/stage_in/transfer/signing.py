"""The keys of the object store, and the requests that are signed with them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import requests
from requests.auth import AuthBase

from stage_in.errors import CredentialsError, ProductError, UsageError, VerificationError
from stage_in.secrets import register
from stage_in.transfer.credentials import read_secret
from stage_in.transfer.trust import S3_ENDPOINTS, check_encryption
from stage_in.urls import get_origin, redact

DEFAULT_REGION = "default"  # CDSE documentation, APIs, S3
_CDSE_KEYS = ("CDSE_S3_ACCESS_KEY", "CDSE_S3_SECRET_KEY")
_AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_KEY = re.compile(r"[!-~]+")  # what a header and a signature can hold
_REGION = re.compile(r"[A-Za-z0-9._-]+")  # it is one of the parts that slashes separate


@dataclass(frozen=True)
class S3Keys:
    """The keys of the object store, and where they may be used.

    Attributes:
        access_key: names the key pair; it is sent with each request.
        secret_key: signs the requests; it is never sent.
        session_token: belongs to temporary keys, or is "".
        variable: the environment variable that the access key comes from.
        endpoint: the URL that the environment names, or "".
        regions: the regions that signatures are made for, the likeliest first.
    """

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    variable: str = _CDSE_KEYS[0]
    endpoint: str = ""
    regions: tuple[str, ...] = (DEFAULT_REGION,)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], *, required: bool) -> Self | None:
        """Read the keys from environment variables.

        `AWS_ACCESS_KEY_ID` may belong to another object store. It counts if the environment names
        an endpoint, too, or if S3 is required.

        Args:
            environment: the variables.
            required: whether the user has chosen S3.

        Returns:
            The keys; None if there are none.

        Raises:
            CredentialsError: keys are required and there are none, one of a pair is missing, or a
                variable can't be a key.
            UsageError: the endpoint is not a URL, or the region is not a name.
        """
        _, url = _find(environment, _ENDPOINTS)
        pairs = [_CDSE_KEYS, _AWS_KEYS] if url or required else [_CDSE_KEYS]
        pair = next((pair for pair in pairs if any(_find(environment, pair))), None)
        if pair is _AWS_KEYS and not required and not all(map(environment.get, pair)):
            pair = None
        if pair is None:
            if required:
                raise CredentialsError(
                    "there are no keys for S3. Set CDSE_S3_ACCESS_KEY and CDSE_S3_SECRET_KEY to a "
                    "key pair of your Copernicus Data Space account"
                )
            return None
        access_key, secret_key = (_read_key(environment, name) for name in pair)
        session_token = read_secret(environment, "AWS_SESSION_TOKEN") if pair is _AWS_KEYS else ""
        register(secret_key, session_token)
        endpoint = _read_endpoint(url) if url else ""
        if session_token:
            check_encryption(" or ".join(_ENDPOINTS), endpoint, "the session token")
        name, region = _find(environment, _REGIONS)
        if region and not _REGION.fullmatch(region):
            raise UsageError(
                f"{name} must be the name of a region, with only letters, digits, dots, hyphens "
                "and underscores, but has other characters"
            )
        return cls(
            access_key,
            secret_key,
            session_token,
            pair[0],
            endpoint,
            tuple(dict.fromkeys([region or DEFAULT_REGION, DEFAULT_REGION])),
        )

    @property
    def are_for_another_service(self) -> bool:
        """Whether the environment names an endpoint that is none of the platform's."""
        return bool(self.endpoint) and self.endpoint not in S3_ENDPOINTS

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The URLs below which objects are requested, in the order in which they are tried."""
        if self.are_for_another_service:
            return (self.endpoint,)
        return tuple(sorted(S3_ENDPOINTS, key=lambda endpoint: endpoint != self.endpoint))


class SigningAuth(AuthBase):
    """Signs a request with the keys of the object store (AWS Signature Version 4).

    The secret key is not sent, but the session token is. So a request to an origin that is neither
    the platform's nor named by the user is refused.
    """

    def __init__(self, keys: S3Keys, region: str) -> None:
        self._keys = keys
        self._region = region

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the signature if the origin is trusted.

        Raises:
            VerificationError: the origin is not trusted.
        """
        # Only runs with keys need it.
        from requests_aws4auth import AWS4Auth

        # This is the URL as it will be sent, after requests has rewritten it.
        url = request.url or ""
        if get_origin(url) not in {get_origin(endpoint) for endpoint in self._keys.endpoints}:
            raise VerificationError(
                f"the host of {redact(url)} is neither an S3 endpoint of the platform nor the one "
                "that the environment names. No request was sent there"
            )
        keys = self._keys
        # It changes while it signs, so each request has its own.
        sign = AWS4Auth(
            keys.access_key,
            keys.secret_key,
            self._region,
            "s3",
            session_token=keys.session_token or None,
        )
        signed: requests.PreparedRequest = sign(request)
        return signed


def _find(environment: Mapping[str, str], names: Sequence[str]) -> tuple[str, str]:
    """Return the first variable that is set, and its value without surrounding white space."""
    values = ((name, environment.get(name, "").strip()) for name in names)
    return next((found for found in values if found[1]), ("", ""))


def _read_key(environment: Mapping[str, str], name: str) -> str:
    key = read_secret(environment, name)
    if not _KEY.fullmatch(key):
        found = "other characters" if key else "none"
        raise CredentialsError(
            f"{name} must contain a key for S3, which has only printable ASCII characters, but "
            f"contains {found}. Set both keys of a pair"
        )
    return key


def _read_endpoint(url: str) -> str:
    """Return an endpoint in the form in which its requests are sent, so that signatures match."""
    try:
        origin = get_origin(url)
    except ProductError as error:
        raise UsageError(f"{' or '.join(_ENDPOINTS)}: {error}") from None
    path = url.partition("://")[2].partition("/")[2].rstrip("/")
    if re.search("[?#]", path):
        raise UsageError(
            f"{' or '.join(_ENDPOINTS)} must contain a URL without a query, but contains "
            f"{redact(url)}"
        )
    return f"{origin}/{path}" if path else origin
