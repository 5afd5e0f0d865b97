"""Stage Sentinel-2 Level-1C products from the Copernicus Data Space Ecosystem.

`stage` does what the command `stage-in` does. Importing this package loads no heavy library.
"""

from stage_in.api import download_and_extract_file, stage
from stage_in.errors import (
    CredentialsError,
    NotFoundError,
    OutputError,
    ProductError,
    StageInError,
    TemporaryError,
    UsageError,
)

__all__ = [
    "CredentialsError",
    "NotFoundError",
    "OutputError",
    "ProductError",
    "StageInError",
    "TemporaryError",
    "UsageError",
    "download_and_extract_file",
    "stage",
]
