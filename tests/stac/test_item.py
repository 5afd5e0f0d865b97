"""The item, compared with the product."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pystac
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from sandbox.granule import granule_metadata
from sandbox.metadata import product_metadata
from sandbox.product import NEW, OLD, Recipe, make_product
from sandbox.server import Sandbox
from stage_in.errors import ProductError
from stage_in.safe.bands import BANDS
from stage_in.safe.images import Images
from stage_in.stac.item import create_item
from tests.conftest import PIXELS, StageIn, slow_after
from tests.editing import MANIFEST, PRODUCT, find, open_folder, reseal
from tests.stac.conftest import Make
from tests.stac.items import Fields, get_bands, get_common_band, get_eo_and_raster, make_item

# -- radiometry

CONTRADICTIONS = {
    # Each band has another offset, one of them 0 and one positive. Real products have -1000.
    "offsets": Recipe(
        offsets=(-1000, -950, 0, -1100, -870, -1230, -640, -720, -990, 5, -410, -1300, -330),
        quantification=8000,
        tile_id_baseline="02.09",
        nodata=True,
        pixels=PIXELS,
    ),
    "no offsets": replace(OLD, quantification=12_000, tile_id_baseline="05.11", pixels=PIXELS),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_reflectance_computed_from_the_item(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A hundred points of each band are compared with the formula of the landscape."""
    recipe = CONTRADICTIONS[name]
    safe = make_product(tmp_path_factory.mktemp("products"), recipe)
    with Sandbox([safe]) as platform:
        run = StageIn(platform, tmp_path)(platform.item_url(safe.name))
    assert run.code == 0, run.log

    (item,) = pystac.Catalog.from_file(str(tmp_path / "catalog/catalog.json")).get_items()
    random = np.random.default_rng(42)
    seen = set()
    for asset in item.assets.values():
        if "data" not in asset.roles:
            continue
        fields = asset.extra_fields
        rows, columns = random.integers(0, fields["proj:shape"], (100, 2)).T
        with rasterio.open(asset.get_absolute_href()) as image:
            assert list(image.shape) == fields["proj:shape"]
            numbers = image.read(1)[rows, columns].astype(float)
        to_ground = rasterio.Affine(*fields["proj:transform"][:6])
        x, y = to_ground @ (columns + 0.5, rows + 0.5)

        for found in (get_eo_and_raster(fields), get_common_band(fields)):
            band, values = found
            truth = recipe.field.reflectance(band, x, y)
            assert ((numbers == values["nodata"]) == np.isnan(truth)).all()
            valid = ~np.isnan(truth)
            assert valid.sum() > 40
            reflectance = numbers * values["scale"] + values["offset"]
            half = values["scale"] / 2 + 1e-9
            assert np.abs(reflectance - truth)[valid].max() <= half
            seen.add((band, values["offset"]))
    assert {band for band, _ in seen} == set(BANDS)
    assert len(seen) == len(BANDS)
    assert len({offset for _, offset in seen}) == (13 if name == "offsets" else 1)


# -- completeness


@pytest.mark.parametrize("recipe", [NEW, OLD], ids=["new", "old"])
def test_every_file_has_size_and_digest(make: Make, recipe: Recipe) -> None:
    safe = make(recipe)
    item = make_item(safe)
    listed = {
        stream.find("fileLocation").get("href"): stream.find("checksum").get("checksumName")
        for stream in etree.parse(safe / MANIFEST).iter("byteStream")
    }
    prefix = f"./{safe.name}/"
    hrefs = {asset["href"] for asset in item["assets"].values()}
    # Four reports of the datastrip have the names of those of the granule.
    twins = {href for href in listed if re.fullmatch(r"\./DATASTRIP/.*/(?!RAD)[A-Z_]+\.xml", href)}
    twins -= {href for href in twins if href.endswith("MTD_DS.xml")}
    assert len(twins) == 4
    assert hrefs == {
        *(prefix + href.removeprefix("./") for href in listed if href not in twins),
        *(f"{prefix}{MANIFEST}", "./thumbnail.png"),
    }
    for asset in item["assets"].values():
        content = (safe.parent / asset["href"]).read_bytes()
        assert asset["file:size"] == len(content)
        code, name = ("1620", "sha3_256")
        if listed.get(asset["href"].replace(prefix, "./")) == "MD5":
            code, name = ("d50110", "md5")
        assert asset["file:checksum"] == code + hashlib.new(name, content).hexdigest()
        assert asset["roles"]
        assert asset["title"]
        assert asset["type"]


@pytest.mark.parametrize("recipe", [NEW, OLD], ids=["new", "old"])
def test_only_bands_have_the_role_data(make: Make, recipe: Recipe) -> None:
    item = make_item(make(recipe))
    bands = get_bands(item)
    assert bands.keys() == set(BANDS)
    assert list(item["assets"])[:3] == ["coastal", "blue", "green"]
    assert {asset["gsd"] for asset in bands.values()} == {10, 20, 60}
    others = [asset for asset in item["assets"].values() if asset not in bands.values()]
    assert not [role for asset in others for role in asset["roles"] if role == "data"]
    assert [key for key, asset in item["assets"].items() if "eo:bands" in asset and asset in others]
    roles = {key: asset["roles"] for key, asset in item["assets"].items()}
    assert roles["visual"] == ["visual"]
    assert roles["preview"] == ["overview"]
    assert roles["thumbnail"] == ["thumbnail"]


def test_properties(make: Make) -> None:
    safe = make()
    item = make_item(safe)
    properties = item["properties"]
    expected = {
        "title": safe.name,
        "datetime": "2024-08-14T10:00:31.024000Z",
        "stage-in:sensing_time": "2024-08-14T10:06:46.266543Z",
        "created": "2024-08-14T11:52:31.000000Z",
        "license": "other",
        "gsd": 10,
        "platform": "sentinel-2a",
        "processing:level": "L1C",
        "processing:version": "05.11",
        "processing:facility": "2APS",
        "processing:datetime": "2024-08-14T11:52:31.000000Z",
        "sci:doi": "10.5270/S2_-742ikth",
        "s2:product_uri": safe.name,
        "eo:snow_cover": 0,
    }
    assert {key: properties[key] for key in expected} == expected
    assert properties["processing:software"].keys() == {"stage-in", "stactools-sentinel2"}
    assert properties["providers"][0]["name"] == "ESA"
    assert item["id"] == safe.stem
    assert not [key for key in properties if key in {"stage-in:partial", "stage-in:verified"}]


def test_an_old_product_has_no_doi(make: Make) -> None:
    item = make_item(make(OLD))
    assert "sci:doi" not in item["properties"]
    assert not [uri for uri in item["stac_extensions"] if "scientific" in uri]
    assert "eo:snow_cover" not in item["properties"]


@pytest.mark.parametrize("recipe", [NEW, OLD], ids=["new", "old"])
def test_no_two_assets_have_the_same_base_name(make: Make, recipe: Recipe) -> None:
    """Consumers copy assets side by side, so that one would overwrite the other."""
    safe = make(recipe)
    item = make_item(safe)
    names = [PurePosixPath(asset["href"]).name for asset in item["assets"].values()]
    assert len(set(names)) == len(names)
    paths = {asset["href"].removeprefix(f"./{safe.name}/") for asset in item["assets"].values()}
    for path in {*open_folder(safe).entries} - paths:
        assert path.startswith("DATASTRIP/")
        assert PurePosixPath(path).name in names


MASK_BANDS = {
    "classi": ["opaque_clouds", "cirrus_clouds", "snow_ice"],
    "detfoo": ["detector_footprint"],
    "qualit": [
        *("ancillary_lost", "ancillary_degraded", "msi_lost", "msi_degraded", "defective"),
        *("nodata", "partially_corrected_crosstalk", "saturated_l1a"),
    ],
}


def test_masks_have_data_types_and_names_of_bands(make: Make) -> None:
    """Without them, readers take an image for one without names, in 32-bit floating point."""
    safe = make()
    item = make_item(safe)
    masks = {key: asset for key, asset in item["assets"].items() if "mask" in asset["roles"]}
    assert len(masks) == 27
    for key, asset in masks.items():
        names = MASK_BANDS[key.split("_")[1]]
        assert [band["name"] for band in asset["bands"]] == names
        assert "eo:bands" not in asset
        with rasterio.open(safe.parent / asset["href"]) as image:
            assert image.count == len(names)
            expected = [
                {"data_type": kind, "spatial_resolution": image.res[0]} for kind in image.dtypes
            ]
            assert asset["raster:bands"] == expected
            assert asset["gsd"] == image.res[0]
    assert not [band for asset in masks.values() for band in asset["bands"] if "nodata" in band]


def test_a_mask_with_another_number_of_bands_has_no_names(make: Make) -> None:
    """Names that belong to other bands would be worse than none."""
    safe = make()
    (safe / find(safe, "MSK_CLASSI_B00.jp2")).write_bytes(
        (safe / find(safe, "MSK_DETFOO_B01.jp2")).read_bytes()
    )
    reseal(safe)
    mask = make_item(safe)["assets"]["mask_classi_b00"]
    assert mask["raster:bands"] == [{"data_type": "uint8", "spatial_resolution": 60}]
    assert not [band for band in mask.get("bands", []) if "name" in band]


# -- metadata that the schema does not require


def set_text(path: str, text: str) -> Callable[[etree._ElementTree], None]:
    """Return a change that sets the text of one element."""

    def change(tree: etree._ElementTree) -> None:
        (element,) = tree.iterfind(path)
        element.text = text

    return change


def remove(path: str) -> Callable[[etree._ElementTree], None]:
    """Return a change that removes all elements at a path."""

    def change(tree: etree._ElementTree) -> None:
        elements = tree.findall(path)
        assert elements
        for element in elements:
            element.getparent().remove(element)

    return change


MEANS = ".//Mean_Viewing_Incidence_Angle_List"
OPTIONAL = {
    "cloud cover": (
        *("MTD_TL.xml", set_text(".//CLOUDY_PIXEL_PERCENTAGE", "NaN")),
        {"eo:cloud_cover"},
    ),
    "snow cover": (
        *("MTD_TL.xml", set_text(".//SNOW_PIXEL_PERCENTAGE", " NaN ")),
        {"eo:snow_cover"},
    ),
    "degraded": (
        *("MTD_TL.xml", set_text(".//DEGRADED_MSI_DATA_PERCENTAGE", "NaN")),
        {"s2:degraded_msi_data_percentage"},
    ),
    "empty list": (
        *("MTD_TL.xml", remove(f"{MEANS}/Mean_Viewing_Incidence_Angle")),
        {"view:azimuth", "view:incidence_angle"},
    ),
    "no list": ("MTD_TL.xml", remove(MEANS), {"view:azimuth", "view:incidence_angle"}),
    "orbit direction": (
        *(PRODUCT, remove(".//SENSING_ORBIT_DIRECTION")),
        {"sat:orbit_state"},
    ),
}


@pytest.mark.parametrize("what", OPTIONAL)
def test_values_that_a_product_lacks_are_left_out(make: Make, what: str) -> None:
    """The schema allows these. Everything else in the item stays as it was."""
    name, change, lost = OPTIONAL[what]
    safe = make()
    whole = make_item(safe)
    assert lost <= whole["properties"].keys()
    tree = etree.parse(safe / find(safe, name))
    change(tree)
    tree.write(safe / find(safe, name), xml_declaration=True, encoding="UTF-8")
    reseal(safe)
    item = make_item(safe)
    assert item["properties"] == {
        key: value for key, value in whole["properties"].items() if key not in lost
    }
    changed = {"safe_manifest", "product_metadata", "granule_metadata"}
    for key, asset in whole["assets"].items():
        assert key in changed or item["assets"][key] == asset
    for key in ("geometry", "bbox", "links"):
        assert item[key] == whole[key]


@pytest.mark.parametrize("recipe", [NEW, OLD], ids=["new", "old"])
def test_no_property_is_null(make: Make, recipe: Recipe) -> None:
    """Unlike an absent one, a null violates the schemas of most extensions."""
    item = make_item(make(recipe))
    assert [key for key, value in item["properties"].items() if value is None] == []


# -- partial and unverified


def test_a_partial_product(make: Make) -> None:
    safe = make()
    whole = make_item(safe)
    kept = {"red", "nir", "safe_manifest", "product_metadata", "granule_metadata"}
    hrefs = {asset["href"] for key, asset in whole["assets"].items() if key in kept}
    for path in open_folder(safe).entries:
        if f"./{safe.name}/{path}" not in hrefs:
            (safe / path).unlink()
    with pytest.raises(ProductError, match="is missing in"):
        make_item(safe)
    (safe.parent / "thumbnail.png").unlink()
    item = make_item(safe, partial=True)
    assert item["properties"]["stage-in:partial"] is True
    assert item["assets"] == {key: whole["assets"][key] for key in whole["assets"] if key in kept}
    assert not (safe.parent / "thumbnail.png").exists()


@pytest.mark.parametrize("name", [MANIFEST, PRODUCT, "MTD_TL.xml"])
def test_a_partial_product_needs_its_metadata(make: Make, name: str) -> None:
    safe = make()
    folder = open_folder(safe, partial=True)
    (safe / find(safe, name)).unlink()
    with Images() as images, pytest.raises(ProductError, match=name):
        create_item(folder, images)


def test_an_unverified_product(make: Make) -> None:
    safe = make()
    item = make_item(safe, verified=False)
    assert item["properties"]["stage-in:verified"] is False
    with_digest = {key for key, asset in item["assets"].items() if "file:checksum" in asset}
    assert with_digest == {"safe_manifest", "thumbnail"}
    assert all("file:size" in asset for asset in item["assets"].values())


# -- satellites and baselines

ERAS = [
    *(("02.06", OLD), ("03.01", OLD), ("04.00", NEW), ("05.13", NEW)),
    *(("02.09", OLD), ("03.00", OLD)),
    *((baseline, NEW) for baseline in ("05.00", "05.09", "05.10", "05.11")),
]


@pytest.mark.parametrize(
    ("baseline", "era"), slow_after(2, ERAS), ids=[baseline for baseline, _ in ERAS]
)
def test_every_satellite_and_baseline(make: Make, baseline: str, era: Recipe) -> None:
    for satellite in "ABCD":
        item = make_item(make(era, satellite=satellite, baseline=baseline, pixels=60))
        assert item["properties"]["platform"] == f"sentinel-2{satellite.lower()}"
        assert item["properties"]["processing:version"] == baseline
        for asset in get_bands(item).values():
            assert asset["raster:bands"][0]["offset"] == (-0.1 if era is NEW else 0)


def test_a_product_and_its_reprocessing_have_two_ids(make: Make) -> None:
    ids = {make_item(make(baseline=baseline))["id"] for baseline in ("05.10", "05.11")}
    assert len(ids) == 2


# -- changed metadata: a correct item, or none


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Fields]:
    """A product, and its correct item."""
    recipe = replace(NEW, pixels=60)
    folder = tmp_path_factory.mktemp("small") / "catalog" / recipe.name.removesuffix(".SAFE")
    safe = make_product(folder, recipe)
    return safe, make_item(safe)


baselines = st.sampled_from(["02.06", "02.09", "03.01", "04.00", "05.00", "05.11", "05.13"])
offset_lists = st.none() | st.tuples(*[st.integers(-2000, 2000)] * len(BANDS))


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    product=st.fixed_dictionaries(
        {},
        optional={
            "baseline": baselines,
            "satellite": st.sampled_from("ABCD"),
            "tile": st.sampled_from(["32TQM", "32TQL", "33TUG", "32TQN"]),
            "offsets": offset_lists,
            "quantification": st.integers(1, 100_000),
        },
    ),
    granule=st.fixed_dictionaries(
        {},
        optional={
            "tile_id_baseline": baselines,
            "tile": st.sampled_from(["32TQM", "32TQL", "33TUG"]),
        },
    ),
)
def test_metadata_of_another_recipe(
    small: tuple[Path, Fields], product: Fields, granule: Fields
) -> None:
    """The two files are replaced by those of other products, of the same or of another name."""
    safe, truth = small
    recipe = replace(NEW, pixels=60)
    other = replace(recipe, **product)
    with _restored(safe):
        (safe / PRODUCT).write_bytes(product_metadata(other))
        (safe / recipe.granule / "MTD_TL.xml").write_bytes(
            granule_metadata(replace(recipe, **granule))
        )
        reseal(safe)
        if other.name != recipe.name or granule.get("tile", recipe.tile) != recipe.tile:
            with pytest.raises(ProductError):
                make_item(safe)
            return
        item = make_item(safe)
    for band, asset in get_bands(item).items():
        _, values = get_eo_and_raster(asset)
        assert values["scale"] == 1 / other.quantification
        assert values["offset"] == other.offset(band) / other.quantification
    for name in ("platform", "datetime", "grid:code", "proj:code", "processing:version"):
        assert item["properties"][name] == truth["properties"][name]


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(name=st.sampled_from([PRODUCT, "MTD_TL.xml"]), place=st.integers(0, 10**6))
def test_missing_parts(small: tuple[Path, Fields], name: str, place: int) -> None:
    """Without one element the item has fewer fields but the same values, or there is no item."""
    safe, truth = small
    path = safe / find(safe, name)
    tree = etree.parse(path)
    # Nothing of these comes into an item.
    ignored = {"VALUES", "GIPP_FILENAME", "MASK_FILENAME", "quality_check"}
    elements = [
        element
        for element in tree.iter()
        if element.getparent() is not None and element.tag not in ignored
    ]
    removed = elements[place % len(elements)]
    with _restored(safe):
        removed.getparent().remove(removed)
        tree.write(path, xml_declaration=True, encoding="UTF-8")
        reseal(safe)
        try:
            item = make_item(safe)
        except ProductError:
            return
    expected = json.dumps(truth)
    if removed.tag == "Radiometric_Offset_List":
        # Without this list the offsets are 0 by definition.
        expected = expected.replace('offset": -0.1', 'offset": 0.0')
    assert _comparable(item, item) == _comparable(json.loads(expected), item)


def _comparable(fields: Fields, item: Fields) -> Fields:
    """Reduce an item to the fields of another, without sizes and digests of the metadata."""
    properties = {k: v for k, v in fields["properties"].items() if k in item["properties"]}
    rels = {link["rel"] for link in item["links"]}
    assets = {
        key: {name: value for name, value in asset.items() if not name.startswith("file:")}
        for key, asset in fields["assets"].items()
    }
    return fields | {
        "assets": assets,
        "properties": properties,
        "links": [link for link in fields["links"] if link["rel"] in rels],
        "stac_extensions": [u for u in fields["stac_extensions"] if u in item["stac_extensions"]],
    }


@contextmanager
def _restored(safe: Path) -> Iterator[None]:
    """Restore the metadata of a product afterwards."""
    paths = [safe / find(safe, name) for name in (MANIFEST, PRODUCT, "MTD_TL.xml")]
    contents = [path.read_bytes() for path in paths]
    try:
        yield
    finally:
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
