"""Runs the command as ``python -m app.app``, and keeps the names that other code imports.

The code is in the package `stage_in`. Nothing else belongs here: another package called `app`
may shadow this one, and the command `stage-in` does not need it.
"""

from stage_in.api import download_and_extract_file
from stage_in.cli import main, run
from stage_in.sources.product import get_asset_href

__all__ = ["download_and_extract_file", "get_asset_href", "main", "run"]

if __name__ == "__main__":
    run()
