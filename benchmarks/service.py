"""The sandbox in a process of its own, so that what it takes counts for nobody."""

import multiprocessing
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.product import MEGABYTE
from sandbox.limits import Limits
from sandbox.log import Exchange
from sandbox.server import Sandbox

_DAY = 86_400.0


@dataclass(frozen=True)
class Traffic:
    """What the sandbox has seen since it was last asked to forget.

    Attributes:
        sent: bytes of all bodies.
        most_open: downloads that were under way at once, at most, refused ones among them.
        fastest: bytes per second of the fastest download of 1 MB or more; None if none was.
        refused: downloads that were answered by 429.
    """

    sent: int
    most_open: int
    fastest: float | None
    refused: int


@dataclass(frozen=True)
class Address:
    """Where a product is, and how to get at it.

    Attributes:
        name: name of the product, with `.SAFE`.
        item: URL of its STAC item in the new API.
        archive: URL of its zip at the catalogue, which redirects to the download service.
        environment: the variables that a contestant needs.
    """

    name: str
    item: str
    archive: str
    environment: dict[str, str]


class Service:
    """The platform with one product, for as long as the context lasts."""

    def __init__(self, safe: Path) -> None:
        """Prepare it.

        Args:
            safe: the SAFE folder to serve.
        """
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._theirs = theirs
        self._process = context.Process(target=_serve, args=(theirs, safe), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        self._theirs.close()
        self.address: Address = self._ours.recv()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ours.close()
        self._process.join()
        self._process.close()

    def reset(self, limits: Limits) -> None:
        """Forget what was, and grant this from now on."""
        self._ask(limits)

    def get_traffic(self) -> Traffic:
        """Return what has been sent since the last reset, once nothing is under way."""
        traffic: Traffic = self._ask(None)
        return traffic

    def _ask(self, question: Limits | None) -> Any:
        self._ours.send(question)
        return self._ours.recv()


def _serve(connection: Connection, safe: Path) -> None:
    # Ctrl-C reaches this process too; it ends when the other end of the pipe does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Sandbox([safe], token_life=_DAY) as sandbox:
        product = sandbox.products[0]
        product.archive()
        connection.send(
            Address(
                product.name,
                sandbox.item_url(product.name),
                f"{sandbox.catalogue}/odata/v1/Products({product.uuid})/$value",
                {"CDSE_ACCESS_TOKEN": sandbox.mint(), **sandbox.environment},
            )
        )
        while True:
            try:
                question = connection.recv()
            except EOFError:
                return
            if question is None:
                connection.send(_summarise(sandbox))
            else:
                sandbox.limits = question
                sandbox.log.clear()
                connection.send(None)


def _summarise(sandbox: Sandbox) -> Traffic:
    exchanges = list(sandbox.log)
    return Traffic(
        sum(x.sent for x in exchanges),
        sandbox.log.most_open("download", "*/$value"),
        max(filter(None, map(_get_rate, exchanges)), default=None),
        sum(x.status == 429 for x in exchanges),
    )


def _get_rate(exchange: Exchange) -> float | None:
    if exchange.first is None or exchange.closed is None or exchange.sent < MEGABYTE:
        return None
    return exchange.sent / (exchange.closed - exchange.first)
