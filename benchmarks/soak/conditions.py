"""Under which conditions products are staged: what the platform grants, and what goes wrong."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from benchmarks.product import BANDS
from sandbox.limits import Limits
from sandbox.server import Generation, Sandbox
from sandbox.tokens import Account

CONNECTIONS = 4  # that the platform grants a user (CDSE documentation, Quotas)
RATE = 5_000_000  # bytes per second and connection
LATENCY = (0.005, 0.02)  # seconds
LAG = (0.05, 0.2)  # seconds
CHANGE_EVERY = 0.5  # seconds after which latency and lag are drawn anew
TOKEN_LIFE = 5.0  # seconds
FAULTS = 0.02  # of all requests, about

_ANYWHERE = (
    "status=404",
    "status=429 retry-after=1",
    "status=500",
    "status=502",
    "status=503 retry-after=1",
    "html",
    "empty",
    "reset=start",
    "reset=middle",
    "cut=50%",
    "stall=1.5",
    "stall=1.5 at=middle",
    "slow=100000",
    "gzip",
    "long=100",
)
# Who refuses a password is believed: the identity service refuses nobody here.
_WITH_TOKEN = ("status=401",)
# A byte that is another is found where there is a digest, or where it can't be read any more: in a
# file that the manifest lists, in a zip, in JSON. In a picture that nobody lists it is not.
_DIGESTED = ("*/Nodes(IMG_DATA)/*", "*/Products(????????-????-????-????-????????????)/$value")
_CORRUPT = "corrupt=middle"


def list_faults() -> Iterator[tuple[str, str]]:
    """List the kinds of faults, each with the words that let it strike one service."""
    places = {
        "download": (*_ANYWHERE, *_WITH_TOKEN, _CORRUPT),
        "catalogue": (*_ANYWHERE, *_WITH_TOKEN, _CORRUPT),
        "stac": (*_ANYWHERE, *_WITH_TOKEN, _CORRUPT),
        "identity": (*_ANYWHERE, _CORRUPT),
    }
    for service, kinds in places.items():
        for kind in kinds:
            words = f"{kind} on={service} chance={FAULTS / len(kinds):.6f}"
            if (service, kind) == ("download", _CORRUPT):
                yield from ((kind, f"{words} path={path}") for path in _DIGESTED)
            else:
                yield kind, words


@dataclass(frozen=True)
class Order:
    """How one product is to be staged.

    Attributes:
        number: counted from 0; the product's place among those that are served.
        era: masks and digests of the product: `new` or `old`.
        generation: of the STAC API that the item comes from: `new` or `legacy`.
        transport: `nodes` or `zip`.
        part: whether three bands are wanted, not the whole product.
        credentials: what renews the access token: `refresh`, `password`, `both`, or `instead`: a
            refresh token comes where the access token is expected.
    """

    number: int
    era: str
    generation: Generation
    transport: str
    part: bool
    credentials: str

    @property
    def options(self) -> list[str]:
        """The options of the command, without the item."""
        return [
            "--transport",
            self.transport,
            *(["--assets", ",".join(BANDS)] if self.part else []),
        ]

    def __str__(self) -> str:
        what = "part" if self.part else "whole"
        return f"{self.number + 1:4}  {self.era:3} {self.generation:6} {self.transport:5} {what:5}"


def make_orders(number: int, seed: int) -> list[Order]:
    """Return orders that take turns at all combinations, in an order that the seed decides."""
    combinations = list(
        product(
            ("new", "legacy"),
            ("nodes", "zip"),
            (False, True),
            ("refresh", "password", "both", "instead"),
        )
    )
    draw = random.Random(seed)
    orders: list[Order] = []
    while len(orders) < number:
        draw.shuffle(combinations)
        for generation, transport, part, credentials in combinations[: number - len(orders)]:
            era = "old" if len(orders) % 2 else "new"
            orders.append(Order(len(orders), era, generation, transport, part, credentials))
    return orders


@dataclass(frozen=True)
class Traffic:
    """What the sandbox has seen.

    Attributes:
        requests: all of them.
        connections: that they came over.
        downloads: files and zips that were sent whole.
        refused: downloads that were answered by 429, since all places were taken.
        renewals: access tokens that the identity service has given.
        most_granted: downloads that the user had open at once, at most.
        struck: how many requests each kind of fault has struck.
        sent: bytes of all bodies.
    """

    requests: int
    connections: int
    downloads: int
    refused: int
    renewals: int
    most_granted: int
    struck: dict[str, int]
    sent: int


# What follows runs in the sandbox's process.


def begin(seed: int, sandbox: Sandbox) -> None:
    """Grant what is granted, and let go wrong what goes wrong, from now on."""
    for _, words in list_faults():
        sandbox.faults.add(words)
    draw = random.Random(seed)
    _change_limits(draw, sandbox)

    def change() -> None:
        while True:
            time.sleep(CHANGE_EVERY)
            _change_limits(draw, sandbox)

    threading.Thread(target=change, name="weather", daemon=True).start()


def _change_limits(draw: random.Random, sandbox: Sandbox) -> None:
    latency, lag = draw.uniform(*LATENCY), draw.uniform(*LAG)
    sandbox.limits = Limits(CONNECTIONS, RATE, latency=latency, lag=lag)


def admit(order: Order, name: str, left: float, sandbox: Sandbox) -> tuple[str, dict[str, str]]:
    """Return where a product's item is, and the variables that a process needs to stage it.

    Args:
        order: how it is to be staged.
        name: of the product.
        left: seconds until the access token ends that it comes with.
        sandbox: whose token it is.
    """
    account = Account()
    access, refresh = sandbox.mint(left), sandbox.mint_refresh()
    password = {"CDSE_USERNAME": account.name, "CDSE_PASSWORD": account.password}
    variables = {
        "refresh": {"CDSE_ACCESS_TOKEN": access, "CDSE_REFRESH_TOKEN": refresh},
        "password": {"CDSE_ACCESS_TOKEN": access, **password},
        "both": {"CDSE_REFRESH_TOKEN": refresh, **password},
        "instead": {"CDSE_ACCESS_TOKEN": refresh},
    }[order.credentials]
    return sandbox.item_url(name, order.generation), {**sandbox.environment, **variables}


def summarise(sandbox: Sandbox) -> Traffic:
    """Tell what there was to be seen until now."""
    exchanges = sandbox.log.settle()
    struck: Counter[str] = Counter()
    for (kind, _), rule in zip(list_faults(), sandbox.faults.rules, strict=True):
        struck[kind] += rule.used
    downloads = [x for x in exchanges if x.role == "download" and x.path.endswith("/$value")]
    made_up = sum(rule.used for rule in sandbox.faults.rules if rule.fault.status == 429)
    return Traffic(
        requests=len(exchanges),
        connections=len({(x.role, x.port) for x in exchanges}),
        downloads=sum(x.status in (200, 206) and x.complete for x in downloads),
        refused=sum(x.status == 429 for x in exchanges) - made_up,
        renewals=sum(x.role == "identity" and x.status == 200 and x.complete for x in exchanges),
        most_granted=sandbox.most_granted,
        struck=dict(struck),
        sent=sum(x.sent for x in exchanges),
    )
