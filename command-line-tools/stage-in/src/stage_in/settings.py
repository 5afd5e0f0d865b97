"""What a user may choose, with the defaults."""

from dataclasses import dataclass

from stage_in.transfer.quota import MAX_CONNECTIONS

TRANSPORTS = ("auto", "mount", "s3", "nodes", "zip")
PATIENCE = 600  # seconds


@dataclass(frozen=True)
class Settings:
    """What a user may choose.

    Attributes:
        bands: the bands to stage, `TCI` for the true colour image; None for the whole product.
        transport: one of TRANSPORTS.
        connections: maximum number of parallel downloads.
        patience: seconds without new data after which a run ends with TemporaryError.
        verify: whether digests are checked; sizes always are.
        keep_folders: whether a small file keeps each required folder that would be empty.
    """

    bands: frozenset[str] | None = None
    transport: str = TRANSPORTS[0]
    connections: int = MAX_CONNECTIONS
    patience: float = PATIENCE
    verify: bool = True
    keep_folders: bool = False
