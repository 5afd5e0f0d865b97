"""How the soak stages products: what the platform grants, what fails, and the ways to stage."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import cycle, product
from pathlib import Path
from typing import NamedTuple

from benchmarks.product import BANDS, MEGABYTE
from benchmarks.service import Service
from sandbox.limits import Limits
from sandbox.product import NEW, OLD, make_product
from sandbox.server import Generation
from sandbox.tokens import Account

CONNECTIONS = 4  # downloads of one user at the same time
RATE = 5 * MEGABYTE  # bytes per second of each download
LATENCY = (0.005, 0.02)  # seconds
LAG = (0.05, 0.2)  # seconds
TOKEN_LIFE = 5.0  # seconds
FAULTS = 0.02  # share of the requests to each service that a fault strikes, about

_KINDS = (
    "status=401", "status=404", "status=429 retry-after=1", "status=500", "status=502",
    "status=503 retry-after=1", "html", "empty", "reset=start", "reset=middle", "cut=50%",
    "stall=1.5", "stall=1.5 at=middle", "slow=100000", "gzip", "long=100", "corrupt=middle",
)  # fmt: skip
# A corrupt byte is found where there is a digest or a CRC: in what a manifest lists, and in a zip.
_CHECKED = ("*/Nodes(IMG_DATA)/*", "*/Products(????????-????-????-????-????????????)/$value")


def list_faults() -> Iterator[str]:
    """List the sandbox's rules: each kind of fault on each service."""
    for kind, service in product(_KINDS, ("download", "catalogue", "stac", "identity")):
        rule = f"{kind} on={service} chance={FAULTS / len(_KINDS):.6f}"
        if (kind, service) == ("corrupt=middle", "download"):
            yield from (f"{rule} path={path}" for path in _CHECKED)
        # A client that the identity service refuses is right to give up.
        elif (kind, service) != ("status=401", "identity"):
            yield rule


class Order(NamedTuple):
    """How one product is to be staged."""

    number: int  # of the product
    generation: Generation  # of the STAC API that the item comes from
    transport: str
    bands_only: bool
    credentials: str  # what renews the access token; `exchange`: a refresh token in its place
    left: float  # seconds for which the first access token is valid

    @property
    def options(self) -> list[str]:
        """Options of the command, except the item."""
        bands = ["--assets", ",".join(BANDS)] if self.bands_only else []
        return ["--transport", self.transport, *bands]


def make_orders(number: int, seed: int) -> list[Order]:
    """Return orders that take turns at all combinations, in an order that the seed decides."""
    draw = random.Random(seed)
    credentials = ("refresh", "password", "both", "exchange")
    ways = [*product(("new", "legacy"), ("nodes", "zip"), (False, True), credentials)]
    draw.shuffle(ways)
    turns = zip(range(number), cycle(ways), strict=False)
    return [Order(index, *way, left=draw.uniform(0, TOKEN_LIFE)) for index, way in turns]


def make_products(folder: Path, number: int) -> list[Path]:
    """Make different products of half a megabyte, of the new and the old format in turns."""
    safes = []
    for index, era in zip(range(number), cycle((NEW, OLD)), strict=False):
        sensing = era.sensing + timedelta(hours=index)
        safes.append(make_product(folder, replace(era, pixels=192, seed=index, sensing=sensing)))
    return safes


class SoakService(Service):
    """A sandbox with faults, whose latency and lag change with each order."""

    def __init__(self, safes: Sequence[Path], seed: int) -> None:
        super().__init__(safes, token_life=TOKEN_LIFE, seed=seed)
        self._draw = random.Random(seed)
        self._rules = [
            (rule.partition(" on=")[0], self.sandbox.faults.add(rule)) for rule in list_faults()
        ]

    def admit(self, order: Order, name: str) -> tuple[str, dict[str, str]]:
        """Return the URL of a product's item, and the variables that staging it needs."""
        latency, lag = self._draw.uniform(*LATENCY), self._draw.uniform(*LAG)
        self.sandbox.limits = Limits(CONNECTIONS, RATE, latency=latency, lag=lag)
        access, refresh = self.sandbox.mint(order.left), self.sandbox.mint_refresh()
        password = {"CDSE_USERNAME": Account().name, "CDSE_PASSWORD": Account().password}
        variables = {
            "refresh": {"CDSE_ACCESS_TOKEN": access, "CDSE_REFRESH_TOKEN": refresh},
            "password": {"CDSE_ACCESS_TOKEN": access, **password},
            "both": {"CDSE_REFRESH_TOKEN": refresh, **password},
            "exchange": {"CDSE_ACCESS_TOKEN": refresh},
        }[order.credentials]
        item = self.sandbox.item_url(name, order.generation)
        return item, {**self.sandbox.environment, **variables}

    def get_traffic(self) -> dict[str, int]:
        """Return counts by their titles; the last ones are of requests that each fault struck."""
        log = self.sandbox.log.settle()
        struck: Counter[str] = Counter()
        for kind, rule in self._rules:
            struck[f"`{kind}`"] += rule.used
        renewed = sum(x.role == "identity" and x.status == 200 and x.complete for x in log)
        refused = sum(x.status == 429 for x in log)
        made_up = sum(rule.used for _, rule in self._rules if rule.fault.status == 429)
        return {
            "requests": len(log),
            "downloads refused (429) as no slot was free": refused - made_up,
            "downloads open at the same time, at most": self.sandbox.most_granted,
            "access tokens renewed": renewed,
            "requests struck by a fault": struck.total(),
            **struck,
        }
