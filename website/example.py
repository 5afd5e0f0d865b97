"""An item that was really staged, fit for a page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

_ORIGIN = re.compile(r"http://127\.0\.0\.1:\d+")
_SHORT_LIST = re.compile(r"\[\s+([^\[\]{}]{1,80}?)\s+\]")
# What depends on the version of the library that encodes the sandbox's images.
_CODED = re.compile(r'("file:size": )\d+|("file:checksum": "(?:1620|d50110))[0-9a-f]+')


def stage(folder: Path) -> Path:
    """Stage a product from the sandbox.

    Args:
        folder: an empty one.

    Returns:
        The item's file.
    """
    from sandbox.product import NEW, make_product
    from sandbox.server import Sandbox

    safe = make_product(folder, NEW)
    with Sandbox([safe]) as platform:
        environment = os.environ | platform.environment | {"CDSE_ACCESS_TOKEN": platform.mint()}
        subprocess.run(
            [
                sys.executable,
                "-m",
                "app.app",
                "--quiet",
                "--input-item",
                platform.item_url(safe.name),
            ],
            cwd=folder,
            env=environment,
            check=True,
            timeout=120,
        )
    (item,) = folder.glob("catalog/*/*.json")
    return item


def write(fields: dict[str, Any]) -> str:
    """Return JSON as a person would write it: short lists in one line, the platform's own name."""
    text = json.dumps(fields, indent=2, ensure_ascii=False)
    text = _SHORT_LIST.sub(lambda match: f"[{' '.join(match[1].split())}]", text)
    return _ORIGIN.sub("https://stac.dataspace.copernicus.eu", text)


def mask(text: str) -> str:
    """Return a page without the digits that another version of a codec changes."""
    return _CODED.sub(lambda match: f"{match[1] or match[2]}…", text)
