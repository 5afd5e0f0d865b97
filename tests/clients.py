"""Clients of the transfer package, for tests that need no process."""

from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.auth import TokenSource
from stage_in.transfer.client import Client
from stage_in.transfer.pacing import Pacing
from stage_in.transfer.trust import Trust


class NoToken:
    """Credentials of a client that must not send a token."""

    def access_token(self) -> str:
        raise AssertionError("expected no request with a token, found one")

    def refused(self, token: str, now: float) -> None:
        raise AssertionError("expected no request with a token, found one that was refused")


def make_client(
    *trusted: str,
    tokens: TokenSource | None = None,
    pacing: Pacing | None = None,
    stall_timeout: float = 5.0,
    arrivals: Arrivals | None = None,
) -> Client:
    """Return a client.

    Args:
        trusted: origins that may receive the token, besides those of the platform.
        tokens: provides the token; by default a request for one is an error.
        pacing: limits the number of downloads; to one by default.
        stall_timeout: seconds without data after which a connection is closed.
        arrivals: counts the bytes.
    """
    trust = Trust.from_environment({"CDSE_TRUSTED_HOSTS": ",".join(trusted)})
    return Client(
        trust,
        tokens or NoToken(),
        pacing or Pacing(1),
        stall_timeout=stall_timeout,
        arrivals=arrivals,
    )
