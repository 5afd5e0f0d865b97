"""The sandbox in a process of its own, so that what it takes counts for nobody."""

import multiprocessing
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from benchmarks.product import MEGABYTE
from sandbox.limits import Limits
from sandbox.log import Exchange
from sandbox.server import Sandbox

_DAY = 86_400.0

T = TypeVar("T")


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
    """The platform with some products, for as long as the context lasts.

    Attributes:
        address: where the first of the products is.
    """

    def __init__(self, safes: Sequence[Path], *, token_life: float = _DAY, seed: int = 0) -> None:
        """Prepare it.

        Args:
            safes: the SAFE folders to serve.
            token_life: life of access tokens in seconds.
            seed: what the chances of faults are drawn from.
        """
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._theirs = theirs
        self._lock = threading.Lock()
        self._process = context.Process(
            target=_serve, args=(theirs, safes, token_life, seed), daemon=True
        )

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
        self.ask(partial(_reset, limits))

    def get_traffic(self) -> Traffic:
        """Return what has been sent since the last reset, once nothing is under way."""
        return self.ask(_summarise)

    def ask(self, question: Callable[[Sandbox], T]) -> T:
        """Return what a function of the sandbox returns in the sandbox's process.

        Args:
            question: of a module's top level, or `partial` of such.
        """
        with self._lock:
            self._ours.send(question)
            answer: T = self._ours.recv()
        return answer


def _serve(connection: Connection, safes: Sequence[Path], token_life: float, seed: int) -> None:
    # Ctrl-C reaches this process too; it ends when the other end of the pipe does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Sandbox(safes, token_life=token_life, seed=seed) as sandbox:
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
            connection.send(question(sandbox))


def _reset(limits: Limits, sandbox: Sandbox) -> None:
    sandbox.limits = limits
    sandbox.log.clear()


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
