"""Items as JSON."""

import atexit
import json
from functools import cache
from pathlib import Path
from typing import Any

from stage_in.safe.images import Images
from stage_in.stac.item import create_item
from stage_in.stac.thumbnail import THUMBNAIL
from tests.editing import open_folder

Fields = dict[str, Any]


@cache
def get_images() -> Images:
    """Start the process that reads images, one for all tests: loading its libraries takes long."""
    images = Images()
    atexit.register(images.__exit__, None, None, None)
    return images


def make_item(safe: Path, *, partial: bool = False, verified: bool = True) -> Fields:
    """Make the item of a product, as it is written to disk, and write its thumbnail."""
    folder = open_folder(safe, partial=partial, verified=verified)
    item, thumbnail = create_item(folder, get_images())
    if thumbnail is not None:
        (safe.parent / THUMBNAIL).write_bytes(thumbnail.content)
    return json.loads(json.dumps(item.to_dict(include_self_link=False)))


def get_bands(item: Fields) -> dict[str, Fields]:
    """Return the assets that are bands, by the band's name."""
    return {
        asset["eo:bands"][0]["name"]: asset
        for asset in item["assets"].values()
        if "data" in asset["roles"]
    }


def get_eo_and_raster(asset: Fields) -> tuple[str, Fields]:
    """Return a band's name and values as the extensions EO and raster have them."""
    (spectral,), (values,) = asset["eo:bands"], asset["raster:bands"]
    return spectral["name"], values


def get_common_band(asset: Fields) -> tuple[str, Fields]:
    """Return a band's name and values as `bands` of STAC 1.1 has them."""
    (band,) = asset["bands"]
    values = {name: band[f"raster:{name}"] for name in ("scale", "offset")}
    return band["name"], values | {"nodata": band["nodata"]}
