"""The item of stactools-sentinel2, and the side effects that must not get out."""

import gc
from pathlib import Path

import pytest
from pystac import Item
from pystac.stac_io import DefaultStacIO, StacIO
from shapely.geometry import MultiPolygon, box, shape
from stactools.core.io.xml import XmlElement

from stage_in.errors import ProductError
from stage_in.safe.name import ProductName
from stage_in.stac.stactools_item import create_stactools_item
from tests.editing import MANIFEST, PRODUCT, find


def make_item(safe: Path, **replaced: bytes) -> Item:
    """Let stactools-sentinel2 make an item, after some of the documents were replaced."""
    documents = read_documents(safe)
    return create_stactools_item(ProductName.parse(safe.name), documents | replaced)


def read_documents(safe: Path) -> dict[str, bytes]:
    names = (MANIFEST, PRODUCT, find(safe, "MTD_TL.xml"))
    return {name: (safe / name).read_bytes() for name in names}


def test_pystac_reads_as_before(new: Path) -> None:
    class OwnIO(DefaultStacIO):
        pass

    before = type(StacIO.default())
    StacIO.set_default(OwnIO)
    try:
        make_item(new)
        assert type(StacIO.default()) is OwnIO
        with pytest.raises(ProductError):
            create_stactools_item(
                ProductName.parse(new.name), {**read_documents(new), PRODUCT: b"<a/>"}
            )
        assert type(StacIO.default()) is OwnIO
    finally:
        StacIO.set_default(before)


def test_items_share_nothing(new: Path, old: Path) -> None:
    first = make_item(new)
    plain = first.to_dict(include_self_link=False)
    second = make_item(old)
    for asset in second.assets.values():
        for bands in ("eo:bands", "raster:bands"):
            for band in asset.extra_fields.get(bands, []):
                band.clear()
    second.properties["providers"][0]["name"] = "nobody"
    second.links[0].target = "elsewhere"
    assert first.to_dict(include_self_link=False) == plain
    again = make_item(new).to_dict(include_self_link=False)
    again["properties"]["created"] = plain["properties"]["created"]
    assert again == plain


def test_documents_do_not_stay_in_memory(new: Path) -> None:
    """Those from which no item could be made do not stay, either."""
    make_item(new)
    with pytest.raises(ProductError):
        create_stactools_item(
            ProductName.parse(new.name), {**read_documents(new), PRODUCT: b"<a/>"}
        )
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is XmlElement]


def test_only_the_checked_documents_are_read(new: Path) -> None:
    manifest = read_documents(new)[MANIFEST]
    changed = manifest.replace(b"./MTD_MSIL1C.xml", b"./../../etc/passwd")
    with pytest.raises(ProductError, match="etc/passwd"):
        make_item(new, **{MANIFEST: changed})


# Rings of latitude and longitude across the antimeridian, clockwise as the platform's are.
ACROSS = {
    "in the north": [(46, 179), (46, 180), (46, -179), (45, -179), (45, 179)],
    "in the south": [(46, 179), (46, -179), (45, -179), (45, 180), (45, 179)],
    "in both": [(46, 179), (46, 180), (46, -179), (45, -179), (45, 180), (45, 179)],
    "first": [(46, 180), (46, -179), (45, -179), (45, 179), (46, 179)],
    "minus 180": [(46, 179), (46, -180), (46, -179), (45, -179), (45, 179)],
    "mixed signs": [(46, 179), (46, -180), (46, -179), (45, -179), (45, 180), (45, 179)],
}
WEST = [(46, 179), (46, 180), (45, 180), (45, 179)]
EAST = [(46, 180), (46, -179), (45, -179), (45, 180)]


def place(safe: Path, corners: list[tuple[int, int]]) -> Item:
    """Let stactools-sentinel2 make an item of a product with another footprint."""
    text = " ".join(f"{latitude} {longitude}" for latitude, longitude in [*corners, corners[0]])
    document = read_documents(safe)[PRODUCT]
    start, end = (document.index(part) for part in (b"<EXT_POS_LIST>", b"</EXT_POS_LIST>"))
    changed = document[:start] + f"<EXT_POS_LIST>{text}".encode() + document[end:]
    return make_item(safe, **{PRODUCT: changed})


@pytest.mark.parametrize("name", ACROSS)
@pytest.mark.parametrize("step", [1, -1], ids=["clockwise", "counter-clockwise"])
def test_a_footprint_with_a_vertex_at_180_degrees(new: Path, name: str, step: int) -> None:
    item = place(new, ACROSS[name][::step])
    # Where the ring has no vertex at 180°, the library adds one on a great circle.
    assert item.bbox == pytest.approx([179, 45, -179, 46], abs=0.005)
    assert item.geometry is not None
    footprint = shape(item.geometry)
    assert footprint.is_valid
    expected = MultiPolygon([box(179, 45, 180, 46), box(-180, 45, -179, 46)])
    assert footprint.symmetric_difference(expected).area < 0.01
    assert all(part.exterior.is_ccw for part in footprint.geoms)  # RFC 7946, section 3.1.6


@pytest.mark.parametrize("step", [1, -1], ids=["clockwise", "counter-clockwise"])
@pytest.mark.parametrize(
    ("corners", "bounds"), [(WEST, (179, 45, 180, 46)), (EAST, (-180, 45, -179, 46))]
)
def test_a_footprint_that_ends_at_180_degrees(
    new: Path, corners: list[tuple[int, int]], bounds: tuple[int, ...], step: int
) -> None:
    item = place(new, corners[::step])
    assert item.bbox == list(bounds)
    assert item.geometry is not None
    assert shape(item.geometry).equals(box(*bounds))


def test_its_failures_are_translated(new: Path) -> None:
    """The antimeridian library can't repair a footprint that spans the globe."""
    metadata = read_documents(new)[PRODUCT]
    changed = metadata.replace(b"EXT_POS_LIST>", b"EXT_POS_LIST>80 -170 -80 -170 ")
    assert changed != metadata
    with pytest.raises(ProductError, match=f"can't make a STAC item of .*{PRODUCT}") as error:
        make_item(new, **{PRODUCT: changed})
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 65


@pytest.mark.parametrize(
    ("name", "before", "after", "key"),
    [
        (PRODUCT, 'datatakeIdentifier="', 'datatakeIdentifier="&lt;script>', "s2:datatake_id"),
        (PRODUCT, 'datastripIdentifier="', f'datastripIdentifier="{"x" * 100}', "s2:datastrip_id"),
        (PRODUCT, "<DATATAKE_TYPE>", "<DATATAKE_TYPE>see https://evil/ ", "s2:datatake_type"),
        (
            *("MTD_TL.xml", "</Image_Content_QI>"),
            "<WATER_PERCENTAGE>1e300</WATER_PERCENTAGE></Image_Content_QI>",
            "s2:water_percentage",
        ),
        (
            *("MTD_TL.xml", "</Image_Content_QI>"),
            "<PRODUCT_TYPE>7</PRODUCT_TYPE></Image_Content_QI>",
            "s2:product_type",
        ),
    ],
)
def test_values_that_are_copied_are_bounded(
    new: Path, name: str, before: str, after: str, key: str
) -> None:
    path = find(new, name)
    text = (new / path).read_text()
    changed = text.replace(before, after)
    assert changed != text
    with pytest.raises(ProductError, match=key):
        make_item(new, **{path: changed.encode()})
