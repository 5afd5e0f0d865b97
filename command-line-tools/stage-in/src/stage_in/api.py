"""The functions that other Python code calls."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pystac


def download_and_extract_file(item: "pystac.Item", access_token: str) -> str:
    """Fetch the zip of a product and unpack it, verified, in the current folder.

    A SAFE folder that is there already is returned as it is, if it is whole. `CDSE_TRUSTED_HOSTS`
    and `CDSE_IDENTITY_URL` count, other variables don't.

    Args:
        item: the platform's STAC item.
        access_token: of an account of the platform.

    Returns:
        The path of the SAFE folder, relative to the current one.

    Raises:
        StageInError: of the kind that the failure is.
    """
    from stage_in.staging import stage_zip
    from stage_in.transfer.credentials import Credentials
    from stage_in.transfer.trust import Trust

    trust = Trust.from_environment(os.environ)
    credentials = Credentials.from_environment({"CDSE_ACCESS_TOKEN": access_token}, trust)
    return str(stage_zip(item, Path(), trust, credentials))
