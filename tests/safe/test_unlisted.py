"""Which files a product may have although its manifest does not list them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stage_in.safe.unlisted import find_foreign, make_keepers, may_be_unlisted
from tests.editing import find, open_folder

BAND = "T32TQM_20240814T100031_B04"
# What GDAL, PROJ, QGIS, SNAP, Sen2Cor or a system picks up beside an image or in a folder.
BESIDE_AN_IMAGE = [
    *(f"{BAND}.jp2{suffix}" for suffix in (".aux.xml", ".ovr", ".msk", ".OVR", ".prj", ".gmlcov")),
    *(f"{BAND}.{suffix}" for suffix in ("j2w", "jp2w", "JGW", "wld", "prj", "tab", "qpj", "qml")),
    *(f"{BAND}.{suffix}" for suffix in ("aux", "imd", "IMD", "rpb", "pvl", "vrt", "ovr", "jpg")),
    *(f"{BAND}_{suffix}" for suffix in ("RPC.TXT", "rpc.txt", "metadata.txt")),
    *("README", "proj.ini", "proj.db", "gdalrc", "gdalvrt.vrt", "GDAL.xml", "Thumbs.db", "x.lnk"),
    *(f"{BAND}.JP2", f"{BAND}.jp2.", f"{BAND}.jp2/x.jpg", f"{BAND.lower()}.jp2", "x.jpg", "x.py"),
    *("AUX_ECMWFT", "S2A_x-ql.jpg"),
]
ELSEWHERE = [
    *("MTD_MSIL1C.xml.aux.xml", "MTD_MSIL2A.xml", "mtd_msil1c.xml", "MTD_DS.xml", "INSPIRE.xml"),
    *("proj.ini", ".gdal/gdalrc", "gdalrc", "sitecustomize.py", "x.qgs", "x.vrt", "x.tif", "x.jp2"),
    *(
        "S2A_x-ql.jpg.aux.xml",
        "S2A_x-ql.jgw",
        "S2A_x-ql.jpgw",
        "S2A_x.jp2",
        "x-ql.jpg",
        "S2A_é.jpg",
    ),
    *("HTML/x.aux.xml", "HTML/x.jpg.aux.xml", "HTML/x.jgw", "HTML/x.wld", "HTML/x.jpg.ovr"),
    *("HTML/x.html", "HTML/x.js", "HTML/x.tif", "HTML/x.vrt", "HTML/x.JPG", "HTML/x/x.jpg"),
    *("HTML/x.jpg ", "HTML/x.jpg\n", "HTML/.jpg", "HTML/ﬁ.jpg", "html/x.jpg", "HTML"),
    *("rep_info/x.xml", "rep_info/x.xsd.aux.xml", "rep_info/x/x.xsd", "rep_info/x.jp2"),
    *("GRANULE/L1C_x/MTD_TL.xml", "GRANULE/L1C_x/AUX_DATA/AUX_ECMWFT", "AUX_DATA/AUX_ECMWFT"),
    "preview/quick-look.png",
]
IN_AUX_DATA = ["AUX_ECMWFT.aux.xml", "AUX_ECMWFT.idx", "ECMWFT", "aux_ecmwft", "AUX_DATA/AUX_X"]


@pytest.mark.parametrize("bands", ["IMG_DATA", "QI_DATA"])
def test_no_unlisted_file_is_accepted_beside_an_image(new: Path, bands: str) -> None:
    entries = open_folder(new).entries
    folder = Path(find(new, "MTD_TL.xml")).parent / bands
    assert [name for name in BESIDE_AN_IMAGE if may_be_unlisted(f"{folder}/{name}", entries)] == []


def test_unlisted_files_of_other_kinds_are_not_accepted(new: Path) -> None:
    entries = open_folder(new).entries
    granule = Path(find(new, "MTD_TL.xml")).parent
    paths = [*ELSEWHERE, *(f"{granule}/AUX_DATA/{name}" for name in IN_AUX_DATA)]
    paths += [f"{granule}/{name}" for name in ("x.jpg", "MTD_TL.xml.aux.xml", "S2A_x-ql.jpg")]
    assert [path for path in paths if may_be_unlisted(path, entries)] == []


def test_unlisted_files_of_real_products_are_accepted(new: Path) -> None:
    entries = open_folder(new).entries
    granule = Path(find(new, "MTD_TL.xml")).parent
    for path in [
        f"{new.stem}-ql.jpg",
        *(
            "HTML/star_bg.jpg",
            "HTML/banner_1.png",
            "rep_info/S2_User_Product_Level-1C_Metadata.xsd",
        ),
        *(f"{granule}/AUX_DATA/{name}" for name in ("AUX_ECMWFT", "AUX_CAMSFO")),
    ]:
        assert may_be_unlisted(path, entries), path


def test_a_product_has_nothing_foreign(old: Path, new: Path) -> None:
    for safe in (old, new):
        assert find_foreign(safe, open_folder(safe).entries) == []


def test_foreign_files_folders_and_links_are_found(new: Path, tmp_path: Path) -> None:
    safe = tmp_path / new.name
    (safe / "HTML").mkdir(parents=True)
    (safe / "HTML/a.jpg").write_bytes(b"")
    (safe / "HTML/b.jpg").symlink_to(new / "HTML/star_bg.jpg")
    os.mkfifo(safe / "HTML/c.jpg")
    granule = str(Path(find(new, "MTD_TL.xml")).parent)
    (safe / granule).mkdir(parents=True)
    (safe / f"{granule}/AUX_DATA").symlink_to(new)
    (safe / "GRANULE/L1C_T32TQM_A000001_20240814T100442").mkdir()
    expected = {
        *("HTML/b.jpg", "HTML/c.jpg", f"{granule}/AUX_DATA"),
        "GRANULE/L1C_T32TQM_A000001_20240814T100442",
    }
    assert {*find_foreign(safe, open_folder(new).entries)} == expected


def test_file_that_keeps_a_folder_is_not_foreign(bare: Path) -> None:
    """It is the tool's own: a source that has such a file does not get it staged."""
    entries = open_folder(bare).entries
    keepers = make_keepers(bare, entries)
    assert keepers.keys() == {"HTML/.keep", "rep_info/.keep"}
    assert len({*keepers.values()}) == 2
    for path, content in keepers.items():
        (bare / path).write_bytes(content)
        assert not may_be_unlisted(path, entries)
    assert find_foreign(bare, entries) == []
    assert make_keepers(bare, entries) == keepers


def test_only_the_file_that_the_tool_writes_keeps_a_folder(bare: Path) -> None:
    entries = open_folder(bare).entries
    for path, content in make_keepers(bare, entries).items():
        (bare / path).write_bytes(content)
    (bare / "HTML/.keep").write_bytes(b"other")
    (bare / "rep_info/S2_PDI_Level-1C.xsd").write_bytes(b"")
    assert sorted(find_foreign(bare, entries)) == ["HTML/.keep", "rep_info/.keep"]


def test_file_that_the_manifest_lists_keeps_its_content(bare: Path) -> None:
    entries = {*open_folder(bare).entries, "HTML/.keep"}
    (bare / "HTML/.keep").write_bytes(b"of the product")
    assert make_keepers(bare, entries).keys() == {"rep_info/.keep"}
    assert find_foreign(bare, entries) == []


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("manifest")])
def test_only_a_file_keeps_a_folder(bare: Path, make: Callable[[Path], object]) -> None:
    make(bare / "HTML/.keep")
    assert find_foreign(bare, open_folder(bare).entries) == ["HTML/.keep"]


def test_no_file_keeps_other_folders(bare: Path) -> None:
    granule = Path(find(bare, "MTD_TL.xml")).parent
    paths = [".keep", f"{granule}/.keep", f"{granule}/IMG_DATA/.keep", f"{granule}/QI_DATA/.keep"]
    for path in paths:
        (bare / path).write_bytes(b"")
    assert sorted(find_foreign(bare, open_folder(bare).entries)) == sorted(paths)
