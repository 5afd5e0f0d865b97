"""Draw a staged product's true colour beside its land cover: picture.py STAGED LANDCOVER PNG."""

import sys
from pathlib import Path

import matplotlib
import numpy as np
import pystac
import rasterio
from matplotlib.patches import Patch
from matplotlib.pyplot import subplots
from pystac.extensions.classification import ClassificationExtension

MAX_SIDE = 600  # pixels along a side of the true colour image


def read_item(folder: Path) -> pystac.Item:
    """Read the only item of a catalog."""
    (item,) = pystac.Catalog.from_file(str(folder / "catalog.json")).get_items()
    return item


def main(staged: Path, landcover: Path, picture: Path) -> None:
    """Draw both images with the same extent."""
    matplotlib.use("Agg")
    asset = read_item(landcover).assets["landcover"]
    with rasterio.open(read_item(staged).assets["visual"].get_absolute_href()) as source:
        side = min(MAX_SIDE, source.width)
        colours = source.read(out_shape=(3, side, side)).transpose(1, 2, 0)
        bounds = source.bounds
    with rasterio.open(asset.get_absolute_href()) as raster:
        classes, extent = raster.read(1), raster.bounds
        table = np.array([raster.colormap(1)[value][:3] for value in range(256)], np.uint8)

    figure, (left, right) = subplots(1, 2, figsize=(9, 4.6), layout="constrained")
    left.imshow(colours, extent=(bounds.left, bounds.right, bounds.bottom, bounds.top))
    left.set_title("True colour")
    right.imshow(table[classes], extent=(extent.left, extent.right, extent.bottom, extent.top))
    right.set(xlim=(bounds.left, bounds.right), ylim=(bounds.bottom, bounds.top))
    right.set_title("Land cover by tiles of 64 x 64 pixels")
    for axes in (left, right):
        axes.set(xticks=[], yticks=[])
    present = np.unique(classes)
    figure.legend(
        handles=[
            Patch(facecolor=f"#{one.color_hint}", edgecolor="#718096", label=one.name)
            for one in ClassificationExtension.ext(asset).classes or []
            if one.value in present
        ],
        loc="outside lower center",
        ncols=7,
        frameon=False,
    )
    figure.savefig(picture, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
