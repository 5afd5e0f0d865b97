"""What a user may choose, and what holds where nothing was chosen."""

from dataclasses import dataclass

from stage_in.transfer.quota import CONNECTIONS

TRANSPORTS = ("nodes", "zip")
PATIENCE = 600  # seconds


@dataclass(frozen=True)
class Settings:
    """What a user may choose.

    Attributes:
        bands: which to stage, `TCI` for the true colour image; None for the whole product.
        transport: one of TRANSPORTS.
        connections: to the platform at once, at most.
        patience: seconds without news after which a run ends with TemporaryError.
        verify: whether digests are checked; sizes always are.
        bar: whether to show a progress bar.
    """

    bands: frozenset[str] | None = None
    transport: str = TRANSPORTS[0]
    connections: int = CONNECTIONS
    patience: float = PATIENCE
    verify: bool = True
    bar: bool = False
