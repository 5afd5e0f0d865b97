"""``python -m website FOLDER``: put together what the site is built of."""

import shutil
import sys
from pathlib import Path

from website.pages import ROOT, build

HERE = ROOT / "website"


def main(folder: Path) -> None:
    """Write pages, settings and templates.

    Args:
        folder: where to.
    """
    build(folder / "docs")
    shutil.copy(HERE / "zensical.toml", folder)
    shutil.copytree(HERE / "overrides", folder / "overrides", dirs_exist_ok=True)
    (folder / "docs/assets").mkdir()
    for asset in (HERE / "assets").iterdir():
        shutil.copy(asset, folder / "docs/assets")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
