"""Give each 64 x 64 pixel tile of a staged product a land cover, by its reflectance."""

from enum import IntEnum
from pathlib import Path
from typing import Any

import click
import numpy as np
import pystac
import rasterio
from numpy.typing import NDArray
from pystac.extensions.classification import Classification, ClassificationExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import RasterExtension
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

TILE = 64  # pixels along a tile's side, on the grid of the finest band: 640 m
ROWS = 16 * TILE  # rows that are read at once: those of one block of a Level-1C image

BANDS = ("blue", "green", "red", "nir", "swir16", "cirrus")  # as the item names them

Tiles = NDArray[np.float64]
Grid = dict[str, Any]  # crs, transform, width and height of an image


class LandCover(IntEnum):
    """The classes, by their values in the raster."""

    NODATA = 0
    WATER = 1
    VEGETATION = 2
    BARE = 3
    BUILT = 4
    CLOUD = 5
    SNOW = 6


COLOURS = {
    LandCover.NODATA: "000000",
    LandCover.WATER: "2b6cb0",
    LandCover.VEGETATION: "2f855a",
    LandCover.BARE: "c69c6d",
    LandCover.BUILT: "c53030",
    LandCover.CLOUD: "f7fafc",
    LandCover.SNOW: "90cdf4",
}


def read_tiles(asset: pystac.Asset, grid: Grid) -> Tiles:
    """Read a band's mean reflectance by tile.

    Args:
        asset: a band, of whatever resolution, with scale, offset and nodata in `raster:bands`.
        grid: of the pixels that tiles are counted on.

    Returns:
        Top-of-atmosphere reflectance, of shape (rows of tiles, columns of tiles); NaN where less
        than half of a tile has data. Tiles at the lower and right edge may be smaller.
    """
    bands = RasterExtension.ext(asset).bands
    if not bands or (scale := bands[0].scale) is None:
        raise click.ClickException(f"expected a scale of the band {asset.title}, found none")
    offset, nodata = bands[0].offset or 0.0, int(bands[0].nodata or 0)
    strips = []
    with (
        rasterio.open(asset.get_absolute_href()) as source,
        WarpedVRT(source, resampling=Resampling.nearest, **grid) as image,
    ):
        for top in range(0, image.height, ROWS):
            window = Window(0, top, image.width, min(ROWS, image.height - top))
            strips.append(_average(image.read(1, window=window), nodata))
    return np.concatenate(strips) * scale + offset


def _average(numbers: NDArray[np.uint16], nodata: int) -> Tiles:
    """Average digital numbers by tile, without those that are no data."""
    rows, columns = (-(-length // TILE) for length in numbers.shape)
    padding = [(0, rows * TILE - numbers.shape[0]), (0, columns * TILE - numbers.shape[1])]

    def add_up(values: NDArray[Any]) -> Tiles:
        parts = np.pad(values, padding).reshape((rows, TILE, columns, TILE))
        return np.asarray(parts.sum(axis=(1, 3)), np.float64)

    valid = numbers != nodata
    count, total, size = add_up(valid), add_up(numbers * valid), add_up(np.ones_like(valid))
    means = np.full(count.shape, np.nan)
    np.divide(total, count, out=means, where=count >= size / 2)
    return means


def classify(reflectance: dict[str, Tiles]) -> NDArray[np.uint8]:
    """Classify tiles by spectral indices; the first rule that holds decides.

    NDSI for snow, with its customary bound of 0.4 (Hall et al., 1995), NDWI for water (McFeeters,
    1996), NDVI for vegetation, the bare soil index for bare ground. All other bounds are a
    demonstration's: chosen by hand, and validated against nothing. What no rule takes is built.

    Args:
        reflectance: top-of-atmosphere, by name of BANDS, each of shape (rows, columns) of tiles,
            NaN where there are no data.

    Returns:
        Values of LandCover, of the same shape.
    """
    blue, green, red = (reflectance[name] for name in ("blue", "green", "red"))
    nir, swir, cirrus = (reflectance[name] for name in ("nir", "swir16", "cirrus"))
    rules = {
        LandCover.NODATA: np.isnan(blue + green + red + nir + swir + cirrus),
        LandCover.SNOW: (_index(green, swir) > 0.4) & (nir > 0.2),
        LandCover.CLOUD: (cirrus > 0.01) | ((blue > 0.3) & (red > 0.25)),
        LandCover.WATER: (_index(green, nir) > 0.1) & (nir < 0.15),
        LandCover.VEGETATION: _index(nir, red) > 0.3,
        LandCover.BARE: _index(swir + red, nir + blue) > 0.1,
    }
    return np.select(list(rules.values()), list(rules), LandCover.BUILT).astype(np.uint8)


def _index(one: Tiles, other: Tiles) -> Tiles:
    """Normalise a difference; 0 where both are nothing."""
    total = one + other
    return np.divide(one - other, total, out=np.zeros_like(total), where=total > 0)


def write_raster(classes: NDArray[np.uint8], grid: Grid, path: Path) -> None:
    """Write the classes as a cloud-optimised GeoTIFF with a colour table.

    Args:
        classes: values of LandCover, of shape (rows, columns) of tiles.
        grid: of the pixels that tiles are counted on.
        path: the file.
    """
    height, width = classes.shape
    transform = grid["transform"] @ rasterio.Affine.scale(TILE)
    place = {"width": width, "height": height, "crs": grid["crs"], "transform": transform}
    data = {"dtype": "uint8", "count": 1, "nodata": LandCover.NODATA}
    with rasterio.open(path, "w", driver="COG", compress="DEFLATE", **place, **data) as target:
        target.write(classes, 1)
        target.write_colormap(1, {c: tuple(bytes.fromhex(COLOURS[c])) for c in LandCover})


def describe(source: pystac.Item, path: Path) -> pystac.Item:
    """Describe the raster by an item of the same time and place as the product's."""
    item = pystac.Item(
        id=f"{source.id}_LANDCOVER",
        geometry=source.geometry,
        bbox=source.bbox,
        datetime=source.datetime,
        properties={"title": f"Land cover by tiles of {TILE} x {TILE} pixels of {source.id}"},
    )
    asset = pystac.Asset(path.name, "Land cover", media_type=pystac.MediaType.COG, roles=["data"])
    item.add_asset("landcover", asset)
    if via := source.get_single_link("via"):
        item.add_link(pystac.Link("derived_from", via.href, via.media_type, source.id))
    with rasterio.open(path) as raster:
        projection = ProjectionExtension.ext(asset, add_if_missing=True)
        projection.apply(
            code=str(raster.crs), shape=list(raster.shape), transform=list(raster.transform)[:6],
        )  # fmt: skip
    ClassificationExtension.ext(asset, add_if_missing=True).classes = [
        Classification.create(cover, name=cover.name.lower(), color_hint=COLOURS[cover].upper())
        for cover in LandCover
    ]
    return item


@click.command()
@click.option(
    "--staged",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the catalog.json of one staged product",
)
@click.option(
    "--output-dir",
    default="landcover",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of the catalog that is written",
)
def main(staged: Path, output_dir: Path) -> None:
    """Classify the tiles of a staged Sentinel-2 Level-1C product"""  # noqa: D415
    source = next(pystac.Catalog.from_file(str(staged / "catalog.json")).get_items())
    if missing := set(BANDS) - source.assets.keys():
        raise click.ClickException(
            f"expected the bands {', '.join(BANDS)} in {staged}, found no {', '.join(missing)}: "
            "stage them, too"
        )
    with rasterio.open(source.assets["blue"].get_absolute_href()) as finest:
        grid = {name: finest.profile[name] for name in ("crs", "transform", "width", "height")}
    classes = classify({name: read_tiles(source.assets[name], grid) for name in BANDS})

    catalog = pystac.Catalog("landcover", "Land cover of Sentinel-2 Level-1C products, by tiles")
    folder = output_dir / f"{source.id}_LANDCOVER"
    folder.mkdir(parents=True)
    path = folder / "landcover.tif"
    write_raster(classes, grid, path)
    catalog.add_item(describe(source, path))
    catalog.normalize_and_save(str(output_dir), pystac.CatalogType.SELF_CONTAINED)
    for cover, tiles in zip(*np.unique(classes, return_counts=True), strict=True):
        click.echo(f"{LandCover(cover).name.lower():11} {tiles} tiles", err=True)


if __name__ == "__main__":
    main()
