import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio
from lxml import etree

from sandbox.field import BANDS, RESOLUTION, LandCover
from sandbox.product import NEW, OLD, Recipe, make_product

ERAS = {"old": OLD, "new": NEW}
DIGESTS = {"MD5": hashlib.md5, "SHA3-256": hashlib.sha3_256}

# rasterio 1.4 multiplies transforms with *, and affine 3 warns about that.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Recipe, Path]]:
    """A product of each era, and one of which a part has no data."""
    recipes = {**ERAS, "partial": replace(NEW, nodata=True, seed=1, pixels=384)}
    folder = tmp_path_factory.mktemp("products")
    return {name: (recipe, make_product(folder / name, recipe)) for name, recipe in recipes.items()}


@pytest.fixture(params=["old", "new", "partial"])
def product(request: pytest.FixtureRequest, products: dict) -> tuple[Recipe, Path]:
    return products[request.param]


def create_item(safe: Path, monkeypatch: pytest.MonkeyPatch):
    from stactools.sentinel2.stac import create_item

    # stactools looks for band names in the whole path, including that of the temporary folder.
    monkeypatch.chdir(safe.parent)
    return create_item(safe.name)


def contents(safe: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(safe)): path.read_bytes() for path in safe.rglob("*") if path.is_file()
    }


# -- the folder


def test_manifest_lists_the_files(product: tuple[Recipe, Path]):
    recipe, safe = product
    objects = etree.parse(safe / "manifest.safe").findall("dataObjectSection/dataObject")

    listed = set()
    for entry in objects:
        stream = entry.find("byteStream")
        href, checksum = stream.find("fileLocation").get("href"), stream.find("checksum")
        content = (safe / href).read_bytes()
        digest = DIGESTS[checksum.get("checksumName")](content).hexdigest()
        assert href.startswith("./")
        assert int(stream.get("size")) == len(content)
        assert checksum.text == (digest.upper() if recipe.upper_case_digests else digest)
        listed.add(href.removeprefix("./"))

    assert len({entry.get("ID") for entry in objects}) == len(objects) == len(listed)
    assert len(objects) == (97 if recipe.masks == "gml" else 59)
    unlisted = {"manifest.safe", "HTML/star_bg.jpg"}
    if recipe.masks == "gml":
        unlisted.add("rep_info/S2_User_Product_Level-1C_Metadata.xsd")
    assert set(contents(safe)) == listed | unlisted
    assert (safe / "rep_info").is_dir()


@pytest.mark.parametrize("era", ERAS)
def test_equal_recipes_give_equal_bytes(era: str, tmp_path: Path):
    recipe = replace(ERAS[era], pixels=192)
    one = make_product(tmp_path / "one", recipe)
    two = make_product(tmp_path / "two", recipe)

    assert contents(one) == contents(two)


def test_existing_folder(tmp_path: Path):
    (tmp_path / NEW.name).mkdir()

    with pytest.raises(FileExistsError):
        make_product(tmp_path, NEW)


def test_files_named_in_the_metadata_exist(product: tuple[Recipe, Path]):
    recipe, safe = product
    info = etree.parse(safe / "MTD_MSIL1C.xml")
    tile = etree.parse(safe / recipe.granule / "MTD_TL.xml")

    images = [f"{node.text}.jp2" for node in info.iter("IMAGE_FILE")]
    others = [node.text for node in tile.iter("MASK_FILENAME", "PVI_FILENAME")]
    assert len(images) == 14
    assert len(others) == (67 if recipe.masks == "gml" else 28)
    for name in images + others:
        assert (safe / name).is_file()


# -- metadata


@pytest.mark.parametrize(("baseline", "schema"), [("05.10", "psd-14"), ("05.11", "psd-15")])
def test_namespace_follows_the_baseline(baseline: str, schema: str, tmp_path: Path):
    recipe = replace(NEW, baseline=baseline, pixels=192)
    safe = make_product(tmp_path, recipe)

    for path in ("MTD_MSIL1C.xml", f"{recipe.granule}/MTD_TL.xml"):
        assert etree.parse(safe / path).getroot().nsmap["n1"].startswith(f"https://{schema}.")


def test_offsets_are_those_of_the_recipe(tmp_path: Path):
    offsets = tuple(range(-1000, -1013, -1))
    recipe = replace(NEW, offsets=offsets, quantification=20_000, pixels=192)
    safe = make_product(tmp_path, recipe)
    info = etree.parse(safe / "MTD_MSIL1C.xml")

    found = {int(n.get("band_id")): int(n.text) for n in info.iter("RADIO_ADD_OFFSET")}
    assert found == dict(enumerate(offsets))
    assert info.findtext(".//QUANTIFICATION_VALUE") == "20000"
    with rasterio.open(safe / f"{recipe.image('B8A')}.jp2") as dataset:
        x, y = dataset.xy(3, 5)
        stored = dataset.read(1)[3, 5]
    expected = recipe.field.reflectance("B8A", x, y) * 20_000 - offsets[BANDS.index("B8A")]
    assert stored == pytest.approx(expected, abs=0.5 + 1e-6)


def test_old_products_have_no_offsets(products: dict):
    info = etree.parse(products["old"][1] / "MTD_MSIL1C.xml")

    assert not list(info.iter("Radiometric_Offset_List", "RADIO_ADD_OFFSET"))


def test_tile_id_can_contradict_the_baseline(tmp_path: Path):
    recipe = replace(OLD, tile_id_baseline="05.00", pixels=192)
    safe = make_product(tmp_path, recipe)
    tile = etree.parse(safe / recipe.granule / "MTD_TL.xml")
    info = etree.parse(safe / "MTD_MSIL1C.xml")

    assert tile.findtext(".//TILE_ID").endswith("_N05.00")
    assert tile.findtext(".//DATASTRIP_ID").endswith("_N02.09")
    assert info.findtext(".//PROCESSING_BASELINE") == "02.09"


def test_sensing_time_differs_from_the_start_of_the_datatake(products: dict):
    recipe, safe = products["new"]
    tile = etree.parse(safe / recipe.granule / "MTD_TL.xml")

    sensing = datetime.fromisoformat(tile.findtext(".//SENSING_TIME"))
    assert timedelta(minutes=1) < sensing - recipe.sensing < timedelta(minutes=30)


# -- reading with other tools


@pytest.mark.parametrize("era", ["old", "new"])
def test_stactools(era: str, products: dict, monkeypatch: pytest.MonkeyPatch):
    recipe, safe = products[era]
    item = create_item(safe, monkeypatch)

    assert item.properties["proj:code"] == f"EPSG:{recipe.place.epsg}"
    assert item.properties["s2:product_uri"] == recipe.name
    assert item.properties["platform"] == "sentinel-2a"
    assert 0 < item.properties["eo:cloud_cover"] < 50
    assert len(item.assets) == 20
    for key, resolution in (("blue", 10), ("nir08", 20), ("coastal", 60), ("preview", 320)):
        asset = item.assets[key]
        with rasterio.open(safe.parent / asset.href) as dataset:
            assert asset.extra_fields["proj:shape"] == list(dataset.shape)
            assert asset.extra_fields["proj:transform"][:6] == list(dataset.transform)[:6]
            assert dataset.res == (resolution, resolution)
            assert dataset.crs.to_epsg() == recipe.place.epsg


@pytest.mark.parametrize("band", ["B01", "B02", "B8A", "B10", "B12"])
def test_pixels_agree_with_the_field(band: str, product: tuple[Recipe, Path]):
    recipe, safe = product
    tile = etree.parse(safe / recipe.granule / "MTD_TL.xml")
    size = tile.find(f".//Size[@resolution='{RESOLUTION[band]}']")
    with rasterio.open(safe / f"{recipe.image(band)}.jp2") as dataset:
        stored = dataset.read(1)
        assert dataset.shape == (int(size.findtext("NROWS")), int(size.findtext("NCOLS")))
        assert (dataset.transform.c, dataset.transform.f) == (recipe.place.ulx, recipe.place.uly)
        assert dataset.dtypes == ("uint16",)
        assert dataset.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "15"
        for row, column in ((0, 0), (7, 31), (dataset.height - 1, 3), (40, dataset.width // 2)):
            x, y = dataset.xy(row, column)
            reflectance = float(recipe.field.reflectance(band, x, y))
            expected = 0 if np.isnan(reflectance) else reflectance * 10_000 - recipe.offset(band)
            assert stored[row, column] == pytest.approx(expected, abs=0.5 + 1e-6)


# Only the subdatasets have a transform, the container has none.
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_gdal(product: tuple[Recipe, Path]):
    recipe, safe = product
    with rasterio.open(safe / "MTD_MSIL1C.xml") as container:
        subdatasets = container.subdatasets
        assert container.driver == "SENTINEL2"
        assert container.tags()["PRODUCT_URI"] == recipe.name

    assert len(subdatasets) == 4
    for subdataset, bands in zip(subdatasets, (4, 6, 3, 3), strict=True):
        with rasterio.open(subdataset) as dataset:
            assert dataset.count == bands
            assert dataset.crs.to_epsg() == recipe.place.epsg
            assert dataset.read(1).any()


def test_area_outside_the_swath_has_no_data(products: dict):
    recipe, safe = products["partial"]
    with rasterio.open(safe / f"{recipe.image('B03')}.jp2") as dataset:
        empty = dataset.read(1) == 0
    with rasterio.open(safe / recipe.mask("QUALIT", "B03")) as dataset:
        quality = dataset.read()
    with rasterio.open(safe / recipe.mask("DETFOO", "B03")) as dataset:
        detectors = dataset.read(1)

    assert empty.mean() == pytest.approx(0.4, abs=0.01)
    assert (quality[5] == empty).all()
    assert not np.delete(quality, 5, axis=0).any()
    assert ((detectors == 0) == empty).all()


def test_jp2_cloud_mask_agrees_with_the_field(products: dict):
    recipe, safe = products["new"]
    with rasterio.open(safe / recipe.mask("CLASSI")) as dataset:
        opaque, cirrus, snow = dataset.read()
        rows, columns = np.indices(dataset.shape)
        x = dataset.transform.c + (columns + 0.5) * 60
        y = dataset.transform.f - (rows + 0.5) * 60
    cover = recipe.field.land_cover(x, y)

    assert (opaque == (cover == LandCover.CLOUD)).all()
    assert (snow == (cover == LandCover.SNOW)).all()
    assert not cirrus.any()
    cloudy = etree.parse(safe / "MTD_MSIL1C.xml").findtext(".//Cloud_Coverage_Assessment")
    assert float(cloudy) == pytest.approx(100 * opaque.mean(), abs=1e-5)


def read_ring(element: etree._Element) -> np.ndarray:
    """Return the corners of the ring in an exterior or interior of GML."""
    return np.array(element.findtext(".//{*}posList").split(), float).reshape(-1, 2)


@pytest.mark.parametrize("nodata", [False, True])
def test_gml_cloud_mask_agrees_with_the_field(nodata: bool, tmp_path: Path):
    from shapely import Polygon, contains_xy, unary_union

    recipe = replace(OLD, pixels=576, nodata=nodata)
    safe = make_product(tmp_path, recipe)
    mask = etree.parse(safe / recipe.mask("CLOUDS"))
    polygons = [
        Polygon(read_ring(node.find("{*}exterior")), [*map(read_ring, node.findall("{*}interior"))])
        for node in mask.iter("{*}Polygon")
    ]
    centres = (np.arange(96) + 0.5) * 60
    x, y = np.meshgrid(recipe.place.ulx + centres, recipe.place.uly - centres)
    cloudy = recipe.field.land_cover(x, y) == LandCover.CLOUD

    inside = contains_xy(unary_union(polygons), x, y)
    assert cloudy.any()
    assert (inside == cloudy).mean() > 0.999
