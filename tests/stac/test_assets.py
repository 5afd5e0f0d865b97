"""The asset of each file."""

import pytest

from sandbox.manifest import listed_files
from sandbox.product import NEW, OLD, Recipe
from stage_in.safe.bands import BANDS
from stage_in.stac.assets import describe_file


@pytest.mark.parametrize("recipe", [NEW, OLD], ids=["new", "old"])
def test_every_file_of_the_manifest(recipe: Recipe) -> None:
    paths = [file.path for file in listed_files(recipe)]
    files = {path: describe_file(path) for path in paths}
    assert len({file.key for file in files.values()}) == len(paths)
    assert all(file.roles and "data" not in file.roles for file in files.values())
    assert all(file.title and file.media_type for file in files.values())

    masks = {file.key for file in files.values() if "mask" in file.roles}
    kinds = {"detfoo", "qualit"} if recipe is NEW else {"detfoo", "defect", "nodata"}
    assert {f"mask_{kind}_{band.lower()}" for kind in kinds for band in BANDS} <= masks
    assert len(masks) == (27 if recipe is NEW else 66)
    reports = [file for file in files.values() if "quality-report" in file.roles]
    assert len(reports) == 9


def test_an_unknown_file() -> None:
    file = describe_file("GRANULE/x/QI_DATA/NEW_THING.bin")
    assert file.key == "GRANULE/x/QI_DATA/NEW_THING.bin"
    assert file.roles == ("metadata",)
    assert file.media_type == "application/octet-stream"
