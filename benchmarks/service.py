"""The sandbox in a process of its own, so that its CPU time and memory count for no contestant."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

from sandbox.limits import Limits
from sandbox.server import Sandbox


class Service:
    """A running sandbox, and what the benchmark needs to know of it."""

    def __init__(self, safes: Sequence[Path], **options: Any) -> None:
        self.sandbox = Sandbox(safes, **options).start()

    def prepare(self, limits: Limits) -> tuple[dict[str, str], dict[str, str]]:
        """Forget all traffic and change the limits; return URLs and variables for contestants."""
        product, *others = self.sandbox.products
        if not others:
            product.archive()
        items = [self.sandbox.item(product.name) for product in self.sandbox.products]
        self.sandbox.pages["/search"] = {"type": "FeatureCollection", "features": items}
        self.sandbox.limits = limits
        self.sandbox.restart_periods()
        self.sandbox.log.clear()
        archive = f"{self.sandbox.catalogue}/odata/v1/Products({product.uuid})/$value"
        return (
            {
                "item": self.sandbox.item_url(product.name),
                "items": " ".join(self.sandbox.item_url(x.name) for x in self.sandbox.products),
                "search": f"{self.sandbox.stac}/search",
                "name": product.name,
                "zip": archive,
                "s3": f"s3://eodata/{product.s3_key}",
            },
            {
                "CDSE_ACCESS_TOKEN": self.sandbox.mint(86_400),
                **self.sandbox.environment,
                **self.sandbox.s3_environment(),
            },
        )

    def get_traffic(self) -> dict[str, int]:
        """Return the bytes sent, the downloads open at the same time, and the answers 429."""
        log = self.sandbox.log
        exchanges = log.settle()
        return {
            "sent": sum(exchange.sent for exchange in exchanges),
            "most_open": max(log.most_open("download", "*/$value"), log.most_open("s3")),
            "refused": sum(exchange.status == 429 for exchange in exchanges),
        }


class _Manager(BaseManager):
    """Starts the other process and talks to it."""


@contextmanager
def serve(kind: type[Service], safes: Sequence[Path], **options: Any) -> Iterator[Any]:
    """Start a service of some kind in another process; the context's value is a proxy for it."""
    _Manager.register("create", kind)
    with _Manager(ctx=get_context("spawn")) as manager:
        yield manager.create(safes, **options)
