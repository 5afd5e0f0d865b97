"""A second run verifies the output, and writes again what is missing beside the product."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.conftest import SameTree, StageIn, slow_after


def truncate(path: Path) -> None:
    path.write_bytes(b"")


def fill_with_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def edit_json(path: Path) -> None:
    fields = json.loads(path.read_text())
    fields["title"] = "mine"
    path.write_text(json.dumps(fields))


DAMAGES = [
    ("catalog.json", edit_json),
    ("*/*.json", truncate),
    ("*/thumbnail.png", fill_with_zeros),
    *(("catalog.json", damage) for damage in (Path.unlink, truncate, fill_with_zeros)),
    *(("*/*.json", damage) for damage in (Path.unlink, fill_with_zeros, edit_json)),
    *(("*/thumbnail.png", damage) for damage in (Path.unlink, truncate)),
]


@pytest.mark.parametrize(("name", "damage"), slow_after(1, DAMAGES))
def test_damaged_files_are_written_again(
    stage_in: StageIn,
    platform: Sandbox,
    new: Path,
    tmp_path: Path,
    assert_same_tree: SameTree,
    name: str,
    damage: Callable[[Path], None],
) -> None:
    item = platform.item_url(new.name)
    assert stage_in(item).code == 0
    output = stage_in.folder / "catalog"
    shutil.copytree(output, tmp_path / "first")
    (path,) = output.glob(name)
    damage(path)
    platform.log.clear()
    run = stage_in(item)
    assert run.code == 0, run.log
    assert f"Writing catalog/{path.relative_to(output)} again" in run.log
    assert platform.log.of("download") == []
    assert_same_tree(tmp_path / "first", output)
    assert [path.name for path in stage_in.folder.iterdir()] == ["catalog"]


def test_empty_folders_are_created_again(
    stage_in: StageIn, platform: Sandbox, new: Path, tmp_path: Path, assert_same_tree: SameTree
) -> None:
    item = platform.item_url(new.name)
    assert stage_in(item).code == 0
    output = stage_in.folder / "catalog"
    shutil.copytree(output, tmp_path / "first")
    removed = [
        folder for folder in output.rglob("*") if folder.is_dir() and not any(folder.iterdir())
    ]
    assert removed
    for folder in removed:
        folder.rmdir()
    assert stage_in(item).code == 0
    assert_same_tree(tmp_path / "first", output)


def test_a_run_without_verification_is_completed(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    item = platform.item_url(new.name)
    assert stage_in(item, "--no-verify").code == 0
    path = next((stage_in.folder / "catalog").glob("*/*.json"))
    assert json.loads(path.read_text())["properties"]["stage-in:verified"] is False
    platform.log.clear()
    run = stage_in(item)
    assert run.code == 0, run.log
    assert "stage-in:verified" not in json.loads(path.read_text())["properties"]
    assert platform.log.of("download") == []


def test_a_product_that_differs_is_left_alone(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    """Only files that can be derived from a verified product are written again."""
    item = platform.item_url(new.name)
    assert stage_in(item).code == 0
    output = stage_in.folder / "catalog"
    band = next(output.rglob("*_B04.jp2"))
    truncate(band)
    truncate(output / "catalog.json")
    run = stage_in(item)
    assert run.code == 73, run.log
    assert band.name in run.reason
    assert (output / "catalog.json").read_bytes() == b""


def test_a_part_of_a_complete_output_stays_complete(
    stage_in: StageIn, platform: Sandbox, new: Path, tmp_path: Path, assert_same_tree: SameTree
) -> None:
    item = platform.item_url(new.name)
    assert stage_in(item).code == 0
    shutil.copytree(stage_in.folder / "catalog", tmp_path / "first")
    assert stage_in(item, "--assets", "B04").code == 0
    assert_same_tree(tmp_path / "first", stage_in.folder / "catalog")


@pytest.mark.parametrize("name", slow_after(1, ["T*_B04.jp2", "MTD_MSIL1C.xml"]))
def test_a_foreign_file_beside_an_image_is_refused_and_kept(
    stage_in: StageIn, platform: Sandbox, new: Path, name: str
) -> None:
    """It changes what GDAL reads, but it may be the user's own."""
    item = platform.item_url(new.name)
    assert stage_in(item).code == 0
    (image,) = (stage_in.folder / "catalog").rglob(name)
    foreign = image.with_name(f"{image.name}.aux.xml")
    foreign.write_text("<PAMDataset/>")
    run = stage_in(item)
    assert run.code == 73, run.log
    assert foreign.name in run.reason
    assert foreign.is_file()
    foreign.unlink()
    assert stage_in(item).code == 0


def test_a_foreign_file_in_the_staging_folder_is_removed(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree
) -> None:
    item = platform.item_url(new.name)
    fault = platform.faults.add("on=download path=*_B12.jp2* status=503")
    assert stage_in(item, "--patience", "4").code == 75
    platform.faults.remove(fault)
    (image,) = (stage_in.folder / ".catalog.staging").rglob("T*_B04.jp2")
    image.with_name(f"{image.name}.ovr").write_bytes(b"x")
    run = stage_in(item)
    assert run.code == 0, run.log
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)


KEEP = {"STAGE_IN_KEEP_FOLDERS": "1"}


@pytest.mark.slow
def test_files_keep_empty_folders_if_the_user_wants_them(
    stage_in: StageIn, bare: Path, tmp_path: Path, assert_same_tree: SameTree
) -> None:
    """Nothing else differs. A later run accepts them, and writes none unless it is told to."""
    with Sandbox([bare]) as platform:
        own = replace(stage_in, platform=platform)
        item = platform.item_url(bare.name)
        assert own(item, "--output-dir", "plain").code == 0
        assert_same_tree(bare, own.folder / "plain" / bare.stem / bare.name)
        first = own(item, **KEEP)
        assert first.code == 0, first.log
        safe = own.folder / "catalog" / bare.stem / bare.name
        shutil.copytree(own.folder / "catalog", tmp_path / "first")
        platform.log.clear()
        runs = [own(item), own(item, **KEEP), own(item, STAGE_IN_KEEP_FOLDERS="0")]
        assert [run.code for run in runs] == [0, 0, 0]
        assert not [run.log for run in runs if "again:" in run.log]
        assert platform.log.of("download") == []
        assert_same_tree(tmp_path / "first", own.folder / "catalog")
        later = own(item, "--output-dir", "plain", **KEEP)
        assert later.code == 0, later.log
    assert_same_tree(tmp_path / "first", own.folder / "plain")
    kept = list(safe.rglob(".keep"))
    assert {path.parent.name for path in kept} == {"HTML", "rep_info"}
    assert "HTML/.keep, rep_info/.keep" in first.log
    for path in kept:
        path.unlink()
    assert_same_tree(bare, safe)


def test_other_values_of_the_variable_are_refused(stage_in: StageIn, new: Path) -> None:
    run = stage_in(stage_in.platform.item_url(new.name), STAGE_IN_KEEP_FOLDERS="yes")
    assert run.code == 2
    assert "STAGE_IN_KEEP_FOLDERS must be 0 or 1, but is 'yes'" in run.reason
    assert len(stage_in.platform.log) == 0
