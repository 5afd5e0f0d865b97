"""Each file's way from HTTP to disk: verified, retried and resumed, for the wanted bands."""

import json
import shutil
from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.conftest import SameTree, StageIn, slow_after
from tests.editing import PRODUCT, edit, find, unlist
from tests.sources.downloads import count_downloads


def test_a_corrupt_manifest_is_downloaded_again(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    manifest = (new / "manifest.safe").read_bytes()
    digest = manifest.index(b"SHA3-256") + 12
    platform.faults.add(f"on=download path=*manifest.safe* corrupt={digest} times=1")
    run = stage_in(platform.item_url(new.name))
    assert run.code == 0, run.log
    counts = count_downloads(platform)
    assert counts.pop("manifest.safe") == 2
    assert set(counts.values()) == {1}


def test_only_the_files_that_failed_are_downloaded_again(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    platform.faults.add("on=download path=*IMG_DATA*_B05.jp2* corrupt=0.5 times=1")
    platform.faults.add("on=download path=*MTD_TL.xml* status=500 times=2")
    platform.faults.add("on=download path=*IMG_DATA*_B11.jp2* status=401 times=1")
    assert stage_in(platform.item_url(new.name)).code == 0
    again = {path: times for path, times in count_downloads(platform).items() if times > 1}
    assert sorted((path[-10:], times) for path, times in again.items()) == [
        *((f"31_{band}.jp2", 2) for band in ("B05", "B11")),
        ("MTD_TL.xml", 3),
    ]


def test_a_second_run_resumes(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree
) -> None:
    fault = platform.faults.add("on=download path=*_B12.jp2* status=503")
    assert stage_in(platform.item_url(new.name), "--patience", "4").code == 75
    platform.faults.remove(fault)
    platform.log.clear()
    run = stage_in(platform.item_url(new.name))
    assert run.code == 0, run.log
    assert "Resuming" in run.log
    paths = set(count_downloads(platform))
    assert "manifest.safe" in paths
    assert not any(path.endswith(("31_B02.jp2", "31_B08.jp2")) for path in paths)
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)


@pytest.mark.parametrize("ranges", slow_after(1, [True, False]))
def test_a_cut_file_is_resumed_if_the_service_can(
    stage_in: StageIn, large: Path, assert_same_tree: SameTree, ranges: bool
) -> None:
    stage_in.platform.add_product(large)
    stage_in.platform.ranges = ranges
    stage_in.platform.faults.add("on=download path=*IMG_DATA*_B02.jp2* cut=0.9 times=1")
    run = stage_in(stage_in.platform.item_url(large.name))
    assert run.code == 0, run.log
    _, second = stage_in.platform.log.of("download", "*IMG_DATA*_B02.jp2*")
    size = next(large.rglob("IMG_DATA/*_B02.jp2")).stat().st_size
    start = int((second.header("Range") or "").removeprefix("bytes=").removesuffix("-"))
    assert 0.8 * size < start < size  # nearly all of the 90 % that arrived
    assert (second.status, second.sent) == ((206, size - start) if ranges else (200, size))
    assert_same_tree(large, stage_in.folder / "catalog" / large.stem / large.name)


@pytest.mark.parametrize(
    "content_range",
    slow_after(
        1,
        [
            *("bytes 0-9/10", "bytes x-y/z"),
            *("bytes 7-9/*", "items 1-2/3", "", f"bytes {'9' * 5000}-1/2"),
        ],
    ),
)
def test_another_part_of_the_file_is_not_used(
    stage_in: StageIn, large: Path, assert_same_tree: SameTree, content_range: str
) -> None:
    platform, new = stage_in.platform, large
    platform.add_product(large)
    path = "path=*IMG_DATA*_B02.jp2*"
    platform.faults.add(f"on=download {path} cut=0.9 times=1")
    platform.faults.add(
        f"on=download {path} status=206 body=xxx 'header=Content-Range:{content_range}' "
        "times=1 after=1"
    )
    run = stage_in(platform.item_url(new.name))
    assert run.code == 0, run.log
    *_, last = platform.log.of("download", "*IMG_DATA*_B02.jp2*")
    assert last.header("Range") is None
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)


def test_a_cut_file_without_digest_is_downloaded_from_its_start(
    stage_in: StageIn, large: Path, assert_same_tree: SameTree
) -> None:
    """Nothing would show that the two parts come from different files."""
    stage_in.platform.add_product(large)
    stage_in.platform.ranges = True
    stage_in.platform.faults.add("on=download path=*IMG_DATA*_B02.jp2* cut=0.9 times=1")
    run = stage_in(stage_in.platform.item_url(large.name), "--no-verify")
    assert run.code == 0, run.log
    requests = stage_in.platform.log.of("download", "*IMG_DATA*_B02.jp2*")
    assert [x.header("Range") for x in requests] == [None, None]
    assert_same_tree(large, stage_in.folder / "catalog" / large.stem / large.name)


@pytest.mark.parametrize("transport", ["nodes", "zip"])
def test_only_known_kinds_of_unlisted_files_are_staged(
    stage_in: StageIn, new: Path, tmp_path: Path, assert_same_tree: SameTree, transport: str
) -> None:
    """GDAL would read the side-car files as parts of the image."""
    safe = shutil.copytree(new, tmp_path / new.name)
    band = find(safe, "T*_B04.jp2")
    left_out = [
        *(f"{band}.aux.xml", f"{band}.ovr", f"{band.removesuffix('jp2')}j2w", "proj.ini"),
        *("GRANULE/L1C_x/MTD_DS.xml", "HTML/star_bg.jgw"),
    ]
    for path in [*left_out, "HTML/banner_1.png", f"{new.stem}-ql.jpg"]:
        (safe / path).parent.mkdir(exist_ok=True)
        (safe / path).write_bytes(b"nobody vouches for this")
    stage_in.platform.add_product(safe)
    run = stage_in(stage_in.platform.item_url(safe.name), "--transport", transport)
    assert run.code == 0, run.log
    (warning,) = (line for line in run.log.splitlines() if "Left out" in line)
    assert f"Left out {len(left_out)} files" in warning
    assert all(path in warning for path in left_out)
    assert "that manifest.safe lists, by digest, and 3 that it does not list, by size" in run.log
    for path in left_out:
        (safe / path).unlink()
    (safe / "GRANULE/L1C_x").rmdir()
    assert_same_tree(safe, stage_in.folder / "catalog" / new.stem / new.name)


@pytest.mark.parametrize("transport", slow_after(1, ["nodes", "zip"]))
def test_some_bands(stage_in: StageIn, platform: Sandbox, new: Path, transport: str) -> None:
    run = stage_in(
        platform.item_url(new.name), "--assets", "B04, nir,visual", "--transport", transport
    )
    assert run.code == 0, run.log
    safe = stage_in.folder / "catalog" / new.stem / new.name
    staged = {path.relative_to(safe) for path in safe.rglob("*") if path.is_file()}
    whole = {path.relative_to(new) for path in new.rglob("*") if path.is_file()}
    missing = {path.name for path in whole - staged}
    assert staged < whole
    bands = ("B01", "B02", "B03", "B05", "B06", "B07", "B8A", "B09", "B10", "B11", "B12")
    tile = f"T{new.name[39:44]}_{new.name[11:26]}"
    assert missing == {
        name
        for band in bands
        for name in (
            f"{tile}_{band}.jp2",
            f"MSK_DETFOO_{band}.jp2",
            f"MSK_QUALIT_{band}.jp2",
        )
    }
    item = json.loads((safe.parent / f"{new.stem}.json").read_text())
    images = {key for key, asset in item["assets"].items() if "jp2" in asset["href"]}
    assert {"red", "nir", "visual", "preview"} <= images
    assert not images & {"blue", "green", "coastal", "swir16"}
    assert ("The zip contains the whole product" in run.log) == (transport == "zip")
    if transport == "nodes":
        sent = sum(x.sent for x in platform.log.of("download", "*$value"))
        assert sent == sum((safe / path).stat().st_size for path in staged)

    # The catalog is complete for these bands or fewer, but not for more.
    assert stage_in(platform.item_url(new.name), "--assets", "red").code == 0
    more = stage_in(platform.item_url(new.name), "--assets", "B04,B05")
    assert more.code == 73
    assert "B05" in more.reason


UNDESCRIBABLE = {
    "zone": ("MTD_TL.xml", "EPSG:32632", "EPSG:32633"),
    "orbit": (PRODUCT, ">122<", ">123<"),
    "footprint": (PRODUCT, "<EXT_POS_LIST>", "<EXT_POS_LIST>91 11 "),
    # This is found only by making the item.
    "library": (PRODUCT, "<EXT_POS_LIST>", "<EXT_POS_LIST>80 -170 -80 -170 "),
}


@pytest.mark.parametrize("what", slow_after(2, UNDESCRIBABLE))
def test_metadata_are_checked_before_the_bands_arrive(tmp_path: Path, new: Path, what: str) -> None:
    safe = shutil.copytree(new, tmp_path / "product" / new.name)
    edit(safe, *UNDESCRIBABLE[what])
    (tmp_path / "work").mkdir()
    with Sandbox([safe]) as platform:
        platform.faults.add("on=download path=*IMG_DATA* slow=5000")
        stage_in = StageIn(platform, tmp_path / "work")
        run = stage_in(platform.item_url(safe.name), "--connections", "1")
        assert run.code == 65, run.log
        assert "MTD_" in run.reason or "MTD_" in run.log
        assert len(platform.log.of("download", "*MTD_MSIL1C.xml*")) == 1
        assert len(platform.log.of("download", "*MTD_TL.xml*")) == 1
        bands = platform.log.of("download", "*IMG_DATA*")
        assert len(bands) <= 2  # a second one, when the first is given up
        assert not [x for x in bands if x.complete]

        # The next run has the metadata already, so it requests no band at all.
        platform.log.clear()
        run = stage_in(platform.item_url(safe.name), "--connections", "1")
        assert run.code == 65, run.log
        assert not platform.log.of("download", "*IMG_DATA*")


def test_some_bands_of_the_old_era(stage_in: StageIn, platform: Sandbox, old: Path) -> None:
    assert stage_in(platform.item_url(old.name), "--assets", "b8a").code == 0
    safe = stage_in.folder / "catalog" / old.stem / old.name
    masks = {path.name for path in safe.rglob("MSK_*")}
    kinds = ("DEFECT", "DETFOO", "NODATA", "SATURA", "TECQUA")
    assert masks == {"MSK_CLOUDS_B00.gml", *(f"MSK_{kind}_B8A.gml" for kind in kinds)}


def test_a_failure_does_not_wait_for_stalled_downloads(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    """The downloads would stall for longer than the process may run (see `StageIn`)."""
    platform.faults.add("on=download path=*_B02.jp2* stall=600 at=0.5")
    platform.faults.add("on=download path=*_B03.jp2* status=403 after=0")
    run = stage_in(platform.item_url(new.name))
    assert run.code == 77, run.log
    assert {path.name for path in stage_in.folder.iterdir()} <= {".catalog.staging"}


@pytest.mark.parametrize("is_listed", [True, False], ids=["listed", "unlisted"])
@pytest.mark.parametrize("transport", slow_after(1, ["nodes", "zip", "s3", "mount"]))
def test_meteorology_comes_with_some_bands(
    stage_in: StageIn, new: Path, tmp_path: Path, transport: str, is_listed: bool
) -> None:
    """Atmospheric correction needs it. The manifests of some products do not list it."""
    sent = shutil.copytree(new, tmp_path / new.name)
    paths = {find(sent, name) for name in ("AUX_ECMWFT", "AUX_CAMSFO")}
    if not is_listed:
        unlist(sent, paths)
    product = stage_in.platform.add_product(sent)
    shutil.copytree(sent, tmp_path / "eodata" / product.s3_key)
    run = stage_in(
        stage_in.platform.item_url(new.name),
        *("--assets", "B04", "--transport", transport),
        CDSE_EODATA=str(tmp_path / "eodata"),
        **stage_in.platform.s3_environment(),
    )
    assert run.code == 0, run.log
    assert "Falling back" not in run.log
    staged = stage_in.folder / "catalog" / new.stem / new.name
    assert not [*staged.rglob("*_B08.jp2")]
    for path in paths:
        assert (staged / path).read_bytes() == (sent / path).read_bytes()
    item = json.loads((staged.parent / f"{new.stem}.json").read_text())
    assert ({"aux_ecmwft", "aux_camsfo"} <= item["assets"].keys()) == is_listed
