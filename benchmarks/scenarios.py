"""Under which conditions of the service is measured."""

from dataclasses import dataclass

from benchmarks.product import MEGABYTE
from sandbox.limits import Limits

CONNECTIONS = 4
RATE = 20 * MEGABYTE
"""Bytes per second and connection. With CONNECTIONS, what the CDSE documentation says (Quotas)."""


@dataclass(frozen=True)
class Scenario:
    """Conditions of the service.

    Attributes:
        key: short name, for the command line and the results.
        title: what they are.
        limits: what the sandbox grants.
    """

    key: str
    title: str
    limits: Limits


SCENARIOS = {
    scenario.key: scenario
    for scenario in (
        Scenario("limits", "(a) At the published limits", Limits(CONNECTIONS, RATE)),
        Scenario(
            "lag",
            "(b) With 200 ms to the first byte, and connections freed 1 s late",
            Limits(CONNECTIONS, RATE, latency=0.2, lag=1.0),
        ),
        Scenario("free", "(c) Unthrottled", Limits()),
    )
}
