"""What stactools-sentinel2 does besides its work stays inside."""

import gc
from pathlib import Path

import pytest
from pystac.stac_io import DefaultStacIO, StacIO
from stactools.core.io.xml import XmlElement

from stage_in.errors import ProductError
from stage_in.stac.stactools_item import create_stactools_item
from tests.editing import MANIFEST, PRODUCT, find, product_of


def documents(safe: Path) -> dict[str, bytes]:
    names = (MANIFEST, PRODUCT, find(safe, "MTD_TL.xml"))
    return {name: (safe / name).read_bytes() for name in names}


def test_pystac_reads_as_before(new: Path) -> None:
    class OwnIO(DefaultStacIO):
        pass

    before = type(StacIO.default())
    StacIO.set_default(OwnIO)
    try:
        create_stactools_item(product_of(new), documents(new))
        assert type(StacIO.default()) is OwnIO
        with pytest.raises(ProductError):
            create_stactools_item(product_of(new), {**documents(new), PRODUCT: b"<a/>"})
        assert type(StacIO.default()) is OwnIO
    finally:
        StacIO.set_default(before)


def test_items_share_nothing(new: Path, old: Path) -> None:
    first = create_stactools_item(product_of(new), documents(new))
    plain = first.to_dict(include_self_link=False)
    second = create_stactools_item(product_of(old), documents(old))
    for asset in second.assets.values():
        for bands in ("eo:bands", "raster:bands"):
            for band in asset.extra_fields.get(bands, []):
                band.clear()
    second.properties["providers"][0]["name"] = "nobody"
    second.links[0].target = "elsewhere"
    assert first.to_dict(include_self_link=False) == plain
    again = create_stactools_item(product_of(new), documents(new)).to_dict(include_self_link=False)
    again["properties"]["created"] = plain["properties"]["created"]
    assert again == plain


def test_documents_are_let_go(new: Path) -> None:
    """Also those that no item could be made of."""
    create_stactools_item(product_of(new), documents(new))
    with pytest.raises(ProductError):
        create_stactools_item(product_of(new), {**documents(new), PRODUCT: b"<a/>"})
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is XmlElement]


def test_only_what_was_checked_is_read(new: Path) -> None:
    content = documents(new)
    content[MANIFEST] = content[MANIFEST].replace(b"./MTD_MSIL1C.xml", b"./../../etc/passwd")
    with pytest.raises(ProductError, match="etc/passwd"):
        create_stactools_item(product_of(new), content)
