"""What the environment grants: an account, keys of the object store, a mounted archive."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from stage_in.errors import UsageError
from stage_in.transfer.credentials import Credentials
from stage_in.transfer.quota import MAX_CONNECTIONS
from stage_in.transfer.signing import S3Keys
from stage_in.transfer.trust import Trust

_EODATA = "CDSE_EODATA"


@dataclass(frozen=True)
class Access:
    """The ways to a product that the environment opens.

    Attributes:
        trust: which hosts may receive the access token.
        credentials: provide the access token; None if there are none, or another way is chosen.
        s3: the keys of the object store, or None.
        eodata: the folder of a mounted archive, or None.
    """

    trust: Trust
    credentials: Credentials | None = None
    s3: S3Keys | None = None
    eodata: Path | None = None

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str],
        transport: str = "auto",
        access_token: str | None = None,
    ) -> Self:
        """Read what the environment has for a transport.

        Args:
            environment: the environment variables.
            transport: one of `settings.TRANSPORTS`.
            access_token: used in place of all credentials in the environment.

        Raises:
            CredentialsError: there is no way to a product, or a variable can't be a secret.
            UsageError: a variable has a value that can't be used.
        """
        trust = Trust.from_environment(environment)
        eodata = s3 = credentials = None
        if transport in {"auto", "mount"} and environment.get(_EODATA):
            eodata = Path(environment[_EODATA])
        if transport == "mount" and eodata is None:
            raise UsageError(
                f"{_EODATA} is not set. Set it to the path of a mounted archive, such as /eodata, "
                "or choose another --transport"
            )
        if access_token is not None:
            environment = {"CDSE_ACCESS_TOKEN": access_token}
        if transport in {"auto", "s3"}:
            s3 = S3Keys.from_environment(environment, required=transport == "s3")
        has_another_way = s3 is not None or eodata is not None
        if not has_another_way or Credentials.are_in(environment):
            credentials = Credentials.from_environment(environment, trust)
        return cls(trust, credentials, s3, eodata)

    def check_connections(self, connections: int) -> None:
        """Check that a number of connections is within the quota of the platform.

        Raises:
            UsageError: it is larger, and the environment names no other service of S3.
        """
        if connections > MAX_CONNECTIONS and not (self.s3 and self.s3.are_for_another_service):
            raise UsageError(
                f"the platform allows at most {MAX_CONNECTIONS} connections, not {connections}. "
                "More are possible only over S3, to an endpoint of another service that you name "
                "in AWS_ENDPOINT_URL_S3"
            )
