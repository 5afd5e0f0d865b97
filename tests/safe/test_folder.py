"""A SAFE folder, compared with its manifest before an item is made of it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from stage_in.errors import ProductError
from tests.editing import MANIFEST, PRODUCT, find, open_folder, reseal


@pytest.fixture
def safe(new: Path, tmp_path: Path) -> Path:
    """A copy of a product, for a test to change."""
    return shutil.copytree(new, tmp_path / new.name)


def test_all_files_are_present(safe: Path) -> None:
    folder = open_folder(safe)
    assert folder.list_present() == [MANIFEST, *folder.entries]
    assert [*folder.read_metadata()] == [MANIFEST, PRODUCT, find(safe, "MTD_TL.xml")]


@pytest.mark.parametrize("name", ["T*_B05.jp2", "MTD_DS.xml"])
def test_missing_files(safe: Path, name: str) -> None:
    folder = open_folder(safe)
    path = find(safe, name)
    (safe / path).unlink()
    with pytest.raises(ProductError, match=f"{path} is missing in"):
        folder.list_present()
    partial = replace(folder, partial=True)
    assert partial.list_present() == [MANIFEST, *(p for p in folder.entries if p != path)]


@pytest.mark.parametrize("name", [MANIFEST, PRODUCT, "MTD_TL.xml"])
def test_metadata_are_needed_even_in_a_partial_product(safe: Path, name: str) -> None:
    folder = open_folder(safe, partial=True)
    (safe / find(safe, name)).unlink()
    with pytest.raises(ProductError, match=f"{name} in {safe.name} can't be read"):
        folder.read_metadata()


@pytest.mark.parametrize("partial", [False, True])
def test_a_file_of_another_size(safe: Path, partial: bool) -> None:
    folder = open_folder(safe, partial=partial)
    band = safe / find(safe, "T*_B05.jp2")
    size = band.stat().st_size
    band.write_bytes(band.read_bytes() + b"x")
    with pytest.raises(ProductError, match=rf"B05\.jp2 .* {size} bytes, but has {size + 1}"):
        folder.list_present()


@pytest.mark.parametrize(
    "name", [MANIFEST, PRODUCT, "MTD_TL.xml", "MTD_DS.xml", "INSPIRE.xml", "MSK_DEFECT_B01.gml"]
)
def test_a_doctype_in_any_file_is_refused(old: Path, tmp_path: Path, name: str) -> None:
    safe = shutil.copytree(old, tmp_path / old.name)
    path = safe / find(safe, name)
    head, _, rest = path.read_text().partition("?>")
    path.write_text(f'{head}?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>{rest}')
    if name != MANIFEST:
        reseal(safe)
    with pytest.raises(ProductError, match=f"{name} must not have a DOCTYPE"):
        open_folder(safe).list_present()


def test_two_granules_are_refused(safe: Path) -> None:
    folder = open_folder(safe)
    path = find(safe, "MTD_TL.xml")
    second = "GRANULE/L1C_T32TQL/MTD_TL.xml"
    entries = {**folder.entries, second: replace(folder.entries[path], path=second)}
    with pytest.raises(ProductError, match=r"one granule, but manifest\.safe lists 2"):
        replace(folder, entries=entries).read_metadata()
