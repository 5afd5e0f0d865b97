"""What all sections of the report share: the account, the product and the answers so far."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pystac

from benchmarks.live.probe import Answer, Prober
from benchmarks.live.runs import Run
from stage_in.errors import ProductError
from stage_in.safe.manifest import MANIFEST
from stage_in.sources.product import Product
from stage_in.transfer.auth import BearerAuth, TrustedAuth
from stage_in.transfer.credentials import Credentials
from stage_in.transfer.signing import S3Keys
from stage_in.transfer.trust import Trust

_ATTEMPTS = 10  # for a download slot


@dataclass
class Platform:
    """The platform as one account sees it.

    Attributes:
        environment: the environment variables of the runs.
        item_url: the URL of the product's STAC item.
        bands: the bands to stage.
        folder: an empty folder for the runs.
        max_zip: bytes of the largest zip that is downloaded.
        pause: seconds in which the platform forgets earlier downloads.
        trust: which hosts may receive the token.
        credentials: provide the token; None without an account.
        keys: the keys of the object store, or None.
        prober: makes single requests.
        found: the answers to the questions of the summary.
        document: the item as JSON.
        runs: the runs of the command, by transport.
    """

    environment: dict[str, str]
    item_url: str
    bands: Sequence[str]
    folder: Path
    max_zip: int
    pause: float
    trust: Trust
    credentials: Credentials | None
    keys: S3Keys | None
    prober: Prober = field(default_factory=Prober)
    found: dict[str, str] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    _item: pystac.Item | None = None

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] = os.environ, **fields: Any
    ) -> "Platform":
        """Read the account from the environment.

        Raises:
            CredentialsError: a variable can't be a secret.
            UsageError: a variable has a value that can't be used.
        """
        trust = Trust.from_environment(environment)
        credentials = None
        if Credentials.are_in(environment):
            credentials = Credentials.from_environment(environment, trust)
        keys = S3Keys.from_environment(environment, required=False)
        return cls(
            **fields,
            environment={**environment},
            trust=trust,
            credentials=credentials,
            keys=keys,
        )

    @property
    def transports(self) -> list[str]:
        """The transports for which the environment has what they need."""
        chosen = {
            "mount": self.environment.get("CDSE_EODATA"),
            "s3": self.keys,
            "nodes": self.credentials,
            "zip": self.credentials,
        }
        return [name for name, found in chosen.items() if found]

    @property
    def item(self) -> pystac.Item:
        """The item.

        Raises:
            ProductError: it was not received.
        """
        if self._item is None:
            raise ProductError("the item was not received")
        return self._item

    @item.setter
    def item(self, item: pystac.Item) -> None:
        self._item = item

    @property
    def product(self) -> Product:
        """The product of the item; errors are those of `item`."""
        return Product.from_item(self.item, self.trust.origins)

    @property
    def open_auth(self) -> TrustedAuth:
        """Sends requests to trusted hosts, without a token."""
        return TrustedAuth(self.trust)

    @property
    def token_auth(self) -> BearerAuth:
        """Sends the token to trusted hosts.

        Raises:
            ProductError: there is no account.
        """
        if self.credentials is None:
            raise ProductError("there is no token in the environment")
        return BearerAuth(self.trust, self.credentials)

    def download(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Request a file with the token, again and again until there is a slot for it.

        Raises:
            StageInError: as for `Prober.ask`.
        """
        for _ in range(_ATTEMPTS):
            answer = self.prober.ask(url, self.token_auth, headers)
            if not answer.is_busy:
                break
            time.sleep(self.pause / 2)
        return answer

    def get_node_url(self, path: str = MANIFEST) -> str:
        """Return the URL of a file of the product at the download service."""
        product = self.product
        names = [product.name.folder, *path.split("/")]
        nodes = "".join(f"/Nodes({name})" for name in names)
        return f"{product.origin}/odata/v1/Products({product.uuid}){nodes}/$value"
