"""AWS Signature Version 4 in the Authorization header, as a server verifies it.

The signature is computed here from the specification (AWS, "Create a signed AWS API request") and
not with the library that clients sign with, so that an error of that library cannot pass unseen.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import parse_qsl, quote, unquote

from aiohttp import web

MAX_CLOCK_SKEW = timedelta(minutes=15)


@dataclass(frozen=True)
class Key:
    """A pair of S3 keys of a user.

    Attributes:
        access: The access key.
        secret: The secret key.
        session: Session token that requests must carry; None for keys without one, with which
            Ceph ignores any token.
        region: Region that requests must be signed for; None for any, which Ceph accepts, too.
        user: The user's name, by which connections and requests are counted.
        expires: When they expire; None for never.
    """

    access: str = "SANDBOXKEY"
    secret: str = "sandbox/secret+key"
    session: str | None = None
    region: str | None = None
    user: str = "user"
    expires: datetime | None = None

    @property
    def is_expired(self) -> bool:
        """Whether they have expired."""
        return self.expires is not None and self.expires <= datetime.now(UTC)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that hand these keys to a client."""
        if self.session is None:
            return {"CDSE_S3_ACCESS_KEY": self.access, "CDSE_S3_SECRET_KEY": self.secret}
        return {
            "AWS_ACCESS_KEY_ID": self.access,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_SESSION_TOKEN": self.session,
            "AWS_REGION": self.region or "default",
        }


class SignatureError(Exception):
    """A request is refused.

    Attributes:
        status: HTTP status.
        code: Code of the S3 error.
    """

    def __init__(self, code: str, status: int = 403) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<access>[^/]+)/(?P<scope>(?P<day>\d{8})/(?P<region>[^/]+)/s3"
    r"/aws4_request),\s*SignedHeaders=(?P<names>[a-z0-9;-]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_TIME = "%Y%m%dT%H%M%SZ"


def check(request: web.BaseRequest, keys: dict[str, Key]) -> Key:
    """Return the key that a request is signed with.

    Raises:
        SignatureError: The request is not signed, or not as one of the keys requires.
    """
    authorization = request.headers.get("Authorization")
    if authorization is None:
        raise SignatureError("AccessDenied")
    match = _AUTHORIZATION.fullmatch(authorization)
    if match is None:
        raise SignatureError("InvalidArgument", 400)
    key = keys.get(match["access"])
    if key is None or key.is_expired:
        raise SignatureError("InvalidAccessKeyId")
    names = match["names"].split(";")
    stamp = request.headers.get("x-amz-date", "")
    payload = request.headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    try:
        time = datetime.strptime(stamp, _TIME).replace(tzinfo=UTC)
    except ValueError as error:
        raise SignatureError("AccessDenied") from error
    if abs(datetime.now(UTC) - time) > MAX_CLOCK_SKEW:
        raise SignatureError("RequestTimeTooSkewed")
    if "host" not in names or not stamp.startswith(match["day"]):
        raise SignatureError("AccessDenied")
    if key.region not in (None, match["region"]):
        raise SignatureError("AuthorizationHeaderMalformed", 400)
    digest = sha256(_canonical(request, names, payload).encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{match['scope']}\n{digest}"
    signer = f"AWS4{key.secret}".encode()
    for part in match["scope"].split("/"):
        signer = hmac.digest(signer, part.encode(), "sha256")
    signature = hmac.digest(signer, text.encode(), "sha256").hex()
    if not hmac.compare_digest(signature, match["signature"]):
        raise SignatureError("SignatureDoesNotMatch")
    if key.session is not None:
        session = request.headers.get("x-amz-security-token")
        if session is None:
            raise SignatureError("InvalidAccessKeyId")
        if session != key.session or "x-amz-security-token" not in names:
            raise SignatureError("InvalidToken", 400)
    return key


def _canonical(request: web.BaseRequest, names: list[str], payload: str) -> str:
    path, _, query = request.raw_path.partition("?")
    pairs = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in parse_qsl(query, keep_blank_values=True)
    )
    headers = "".join(
        f"{name}:{','.join(' '.join(x.split()) for x in request.headers.getall(name, []))}\n"
        for name in names
    )
    return "\n".join(
        [
            request.method,
            quote(unquote(path), safe="/-_.~"),
            "&".join(f"{name}={value}" for name, value in pairs),
            headers,
            ";".join(names),
            payload,
        ]
    )
