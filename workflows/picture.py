"""Draw a staged product's true colour beside its land cover: picture.py STAGED LANDCOVER PNG."""

import sys
from pathlib import Path

import numpy as np
import pystac
import rasterio
from PIL import Image, ImageDraw, ImageFont
from pystac.extensions.classification import ClassificationExtension

SIDE = 480  # pixels along a side of each image
MARGIN = 16
TITLE = 30  # height of the titles
LEGEND = 40  # height of the legend
BOX = 14  # side of a colour in the legend


def read_item(folder: Path) -> pystac.Item:
    """Read the only item of a catalog."""
    (item,) = pystac.Catalog.from_file(str(folder / "catalog.json")).get_items()
    return item


def main(staged: Path, landcover: Path, picture: Path) -> None:
    """Draw both images with the same extent."""
    asset = read_item(landcover).assets["landcover"]
    with rasterio.open(read_item(staged).assets["visual"].get_absolute_href()) as source:
        colours = source.read().transpose(1, 2, 0)
        width = source.bounds.right - source.bounds.left
    with rasterio.open(asset.get_absolute_href()) as raster:
        classes = raster.read(1)
        table = np.array([raster.colormap(1)[value][:3] for value in range(256)], np.uint8)
        # The tiles at the edges reach beyond the product.
        shown = width / raster.res[0]

    canvas = Image.new("RGB", (2 * SIDE + 3 * MARGIN, SIDE + TITLE + LEGEND), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=16)
    left, right = MARGIN, SIDE + 2 * MARGIN
    canvas.paste(Image.fromarray(colours).resize((SIDE, SIDE), Image.Resampling.BOX), (left, TITLE))
    tiles = Image.fromarray(table[classes])
    tiles = tiles.resize((SIDE, SIDE), Image.Resampling.NEAREST, box=(0, 0, shown, shown))
    canvas.paste(tiles, (right, TITLE))
    for place, title in ((left, "True colour"), (right, "Land cover by tiles of 64 x 64 pixels")):
        draw.text((place + SIDE / 2, TITLE / 2), title, "black", font, anchor="mm")

    present = np.unique(classes)
    known = ClassificationExtension.ext(asset).classes or []
    kinds = [one for one in known if one.value in present]
    for number, one in enumerate(kinds):
        x = canvas.width * (number + 0.5) / len(kinds) - 45
        y = TITLE + SIDE + LEGEND / 2
        corners = (x, y - BOX / 2, x + BOX, y + BOX / 2)
        draw.rectangle(corners, f"#{one.color_hint}", outline="#718096")
        draw.text((x + BOX + 8, y), one.name or "", "black", font, anchor="lm")
    # 256 colours are enough, and take less than half of the space.
    canvas.quantize(256, dither=Image.Dither.NONE).save(picture, optimize=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
