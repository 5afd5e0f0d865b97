"""Assign a land cover class to each tile of 64 x 64 pixels of a staged product."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any

import click
import numpy as np
import pystac
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pystac.extensions.classification import Classification, ClassificationExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import RasterExtension
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

TILE = 64  # pixels along a side of a tile, on the 10 m grid
ROWS = 16 * TILE  # rows to read at once: one row of the blocks of a Level-1C image

BANDS = ("blue", "green", "red", "nir", "swir16", "cirrus")  # keys of the item's assets

Tiles = NDArray[np.float64]
Grid = dict[str, Any]  # crs, transform, width and height of an image


class LandCover(IntEnum):
    """The classes and their values in the raster."""

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
    """Read the mean reflectance of each tile in a band.

    Args:
        asset: The band, of any resolution, with scale, offset and nodata in `raster:bands`.
        grid: The grid of the pixels that form the tiles.

    Returns:
        Top-of-atmosphere reflectance, of shape (rows of tiles, columns of tiles). It is NaN where
        less than half of a tile has data. Tiles at the lower and right edge may be smaller.

    Raises:
        ClickException: The asset has no scale.
    """
    bands = RasterExtension.ext(asset).bands
    if not bands or (scale := bands[0].scale) is None:
        raise click.ClickException(f"expected a scale in raster:bands of {asset.title}, found none")
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
    """Return the mean of the valid digital numbers of each tile."""
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
    """Classify tiles by spectral indices; the first rule that matches decides.

    The rules use NDSI for snow (Hall et al., 1995), NDWI for water (McFeeters, 1996), NDVI for
    vegetation, and the bare soil index for bare ground. The thresholds were chosen by hand for this
    demonstration, so that most tiles with several classes get that of their largest part, and have
    not been validated. A tile that matches no rule is classified as built-up.

    Args:
        reflectance: Top-of-atmosphere reflectance by the names in BANDS, each of shape (rows,
            columns) of tiles, with NaN where there is no data.

    Returns:
        Values of LandCover, of the same shape.
    """
    blue, green, red = (reflectance[name] for name in ("blue", "green", "red"))
    nir, swir, cirrus = (reflectance[name] for name in ("nir", "swir16", "cirrus"))
    rules = {
        LandCover.NODATA: np.isnan(blue + green + red + nir + swir + cirrus),
        LandCover.SNOW: (_index(green, swir) > 0.1) & (nir > 0.2),
        LandCover.CLOUD: (cirrus > 0.007) | ((blue > 0.22) & (red > 0.2)),
        LandCover.WATER: (_index(green, nir) > 0) & (nir < 0.15),
        LandCover.VEGETATION: _index(nir, red) > 0.25,
        LandCover.BARE: _index(swir + red, nir + blue) > 0.065,
    }
    return np.select(list(rules.values()), list(rules), LandCover.BUILT).astype(np.uint8)


def _index(one: Tiles, other: Tiles) -> Tiles:
    """Return the normalised difference of two bands; 0 where both are 0."""
    total = one + other
    return np.divide(one - other, total, out=np.zeros_like(total), where=total > 0)


def write_raster(classes: NDArray[np.uint8], grid: Grid, path: Path) -> None:
    """Write the classes as a cloud-optimised GeoTIFF with a colour table.

    Args:
        classes: Values of LandCover, of shape (rows, columns) of tiles.
        grid: The grid of the pixels that form the tiles.
        path: The file to write.
    """
    height, width = classes.shape
    transform = grid["transform"] @ Affine.scale(TILE)
    georeference = {"width": width, "height": height, "crs": grid["crs"], "transform": transform}
    data = {"dtype": "uint8", "count": 1, "nodata": LandCover.NODATA}
    options = {"driver": "COG", "compress": "DEFLATE", **georeference, **data}
    with rasterio.open(path, "w", **options) as target:
        target.write(classes, 1)
        target.write_colormap(1, {c: tuple(bytes.fromhex(COLOURS[c])) for c in LandCover})


def describe(source: pystac.Item, path: Path) -> pystac.Item:
    """Return an item for the raster, with the time and geometry of the product's item."""
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


@contextmanager
def failing(what: str, remedy: str) -> Iterator[None]:
    """Report a file that can't be read or written in one line.

    Args:
        what: What can't be done.
        remedy: What the user can do.

    Raises:
        ClickException: It can't be done.
    """
    try:
        yield
    except (OSError, ValueError, pystac.STACError, RasterioError) as error:
        raise click.ClickException(f"can't {what}: {error}. {remedy}.") from error


def check_path(_context: click.Context, _option: click.Parameter, path: Path) -> Path:
    """Refuse a path that pystac can't open: it would take a part of it for a query or a fragment.

    Raises:
        BadParameter: It is such a path.
    """
    if found := set("#?\\") & set(str(path.absolute())):
        raise click.BadParameter(
            f"the path must not contain {' '.join(sorted(found))}, but is {path.absolute()}. "
            "Choose another folder."
        )
    return path


@click.command()
@click.option(
    "--staged",
    required=True,
    callback=check_path,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that contains the catalog.json of a staged product",
)
@click.option(
    "--output-dir",
    default="landcover",
    show_default=True,
    callback=check_path,
    type=click.Path(path_type=Path),
    help="Folder to write the catalog to",
)
def main(staged: Path, output_dir: Path) -> None:
    """Classify the tiles of a staged Sentinel-2 Level-1C product"""  # noqa: D415
    again = "Stage the product again"
    with failing(f"read the catalog {staged / 'catalog.json'}", again):
        source = next(pystac.Catalog.from_file(str(staged / "catalog.json")).get_items(), None)
    if source is None:
        raise click.ClickException(f"expected an item in {staged}, found none. {again}.")
    if missing := set(BANDS) - source.assets.keys():
        raise click.ClickException(
            f"expected the bands {', '.join(BANDS)} in {staged}, found no {', '.join(missing)}. "
            f"{again} with these bands."
        )
    with failing(f"read the bands in {staged}", again):
        with rasterio.open(source.assets["blue"].get_absolute_href()) as finest:
            grid = {name: finest.profile[name] for name in ("crs", "transform", "width", "height")}
        reflectance = {name: read_tiles(source.assets[name], grid) for name in BANDS}
    classes = classify(reflectance)

    catalog = pystac.Catalog("landcover", "Land cover of Sentinel-2 Level-1C products, by tiles")
    folder = output_dir / f"{source.id}_LANDCOVER"
    with failing(f"write to {output_dir}", "Remove it, or choose another --output-dir"):
        folder.mkdir(parents=True)
        path = folder / "landcover.tif"
        write_raster(classes, grid, path)
        catalog.add_item(describe(source, path))
        catalog.normalize_and_save(str(output_dir), pystac.CatalogType.SELF_CONTAINED)
    for cover, tiles in zip(*np.unique(classes, return_counts=True), strict=True):
        click.echo(f"{LandCover(cover).name.lower():11} {tiles} tiles", err=True)


if __name__ == "__main__":
    main()
