"""The product file by file: side by side, within the limits, going on where it was cut."""

import json
import re
import time
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

from sandbox.limits import Limits
from sandbox.server import Sandbox
from stage_in.errors import BusyError, SourceError
from stage_in.safe.manifest import Entry
from stage_in.sources.nodes import NodesSource
from stage_in.sources.product import Product
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.client import Client
from stage_in.transfer.credentials import Credentials
from stage_in.transfer.pacing import STARVED_AFTER, Pacing
from stage_in.transfer.trust import Trust
from tests.conftest import SameTree, StageIn


def downloads(platform: Sandbox) -> Counter[str]:
    """How often each file was asked for at the download service, by its path in the product."""
    exchanges = platform.log.of("download", "*$value")
    return Counter(
        "/".join(re.findall(r"Nodes\(([^)]*)\)", unquote(x.path))[1:]) for x in exchanges
    )


def test_each_file_once_over_four_connections(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree
) -> None:
    platform.limits = Limits(connections=4, rate=200_000)
    run = stage_in(platform.item_url(new.name))
    assert run.code == 0, run.log
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)
    assert platform.log.most_open(path="*$value") == 4
    assert set(downloads(platform).values()) == {1}
    assert all(x.status == 200 for x in platform.log)
    # The largest first, after the manifest.
    first, *others = [x.path for x in platform.log.of("download", "*$value")]
    assert "manifest.safe" in first
    largest = max((path for path in new.rglob("*")), key=lambda path: path.stat().st_size)
    assert any(largest.name in path for path in others[:4])


@pytest.mark.parametrize("connections", [1, 2])
def test_fewer_connections_if_wanted(
    stage_in: StageIn, platform: Sandbox, new: Path, connections: int
) -> None:
    platform.limits = Limits(rate=500_000)
    run = stage_in(platform.item_url(new.name), "--connections", str(connections))
    assert run.code == 0, run.log
    assert platform.log.most_open(path="*$value") == connections


@pytest.mark.parametrize(
    "limits",
    [
        Limits(connections=2, rate=400_000),
        Limits(connections=4, rate=400_000, lag=0.05),
        Limits(connections=1, lag=0.01),
        Limits(connections=2, rate=400_000, retry_after=1),
    ],
    ids=["two free", "the count lags", "one free", "with Retry-After"],
)
def test_refusals_slow_down_and_never_fail(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree, limits: Limits
) -> None:
    platform.limits = limits
    run = stage_in(platform.item_url(new.name), "--transport", "nodes", "--patience", "30")
    assert run.code == 0, run.log
    refusals = [x for x in platform.log if x.status == 429]
    assert refusals
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)
    if limits.connections != 1:  # with one place and a count that may lag, either way is right
        assert "takes over" not in run.log
    assert len(refusals) < sum(path.is_file() for path in new.rglob("*")) / 2


def test_where_the_count_lags_a_small_product_comes_sooner_in_one(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree
) -> None:
    platform.limits = Limits(connections=4, lag=1.0)
    run = stage_in(platform.item_url(new.name), "--patience", "30")
    assert run.code == 0, run.log
    assert "the zip takes over" in run.log
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)


@pytest.mark.parametrize(
    ("left", "expected"), [(20_000_000, BusyError), (800_000_000, SourceError)]
)
def test_no_place_to_be_had_is_a_reason_to_change_but_for_a_few_bands(
    platform: Sandbox, new: Path, left: int, expected: type[Exception]
) -> None:
    """The whole product is not fetched for one band because of some seconds without a place."""
    platform.faults.add("on=download status=429")
    trust = Trust.from_settings(platform.environment["CDSE_TRUSTED_HOSTS"], "")
    tokens = Credentials(trust, access_token=platform.mint())
    client = Client(trust, tokens, Pacing(1, longest_wait=0.001))
    product = Product(new.name, platform.products[1].uuid, platform.download)
    source = NodesSource(product, client, Arrivals(), 1)
    source.expect([Entry("a.jp2", left)], 900_000_000)
    raised: list[type[Exception]] = []
    for _ in range(2 * STARVED_AFTER):
        with pytest.raises((BusyError, SourceError)) as caught, source.open("a.jp2"):
            pass
        raised.append(caught.type)
    assert client.pacing.starved
    assert set(raised[: STARVED_AFTER - 1]) == {BusyError}
    assert set(raised[STARVED_AFTER:]) == {expected}


def test_another_job_holds_all_places_for_a_while(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    platform.faults.add("on=download path=*$value status=429 times=4")
    run = stage_in(platform.item_url(new.name), "--patience", "30")
    assert run.code == 0, run.log
    assert "takes over" not in run.log


def test_no_place_for_single_files_but_one_for_the_zip(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree
) -> None:
    platform.faults.add("on=download path=*Nodes(*$value status=429 after=20")
    run = stage_in(platform.item_url(new.name), "--patience", "30")
    assert run.code == 0, run.log
    assert "the zip takes over" in run.log
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)
    assert {path.name for path in stage_in.folder.iterdir()} == {"catalog"}


@pytest.mark.parametrize("status", [400, 404, 405, 501])
def test_a_service_without_nodes(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree, status: int
) -> None:
    platform.faults.add(f"on=download path=*Nodes* status={status}")
    run = stage_in(platform.item_url(new.name), "--patience", "5")
    if status == 501:  # a failure of the server's that may pass
        assert run.code == 75
        return
    assert run.code == 0, run.log
    assert "the zip takes over" in run.log
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)


def test_a_corrupt_manifest_is_fetched_again_before_files_are_blamed(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    manifest = (new / "manifest.safe").read_bytes()
    digest = manifest.index(b"SHA3-256") + 12
    platform.faults.add(f"on=download path=*manifest.safe* corrupt={digest} times=1")
    run = stage_in(platform.item_url(new.name))
    assert run.code == 0, run.log
    asked = downloads(platform)
    assert asked.pop("manifest.safe") == 2
    assert set(asked.values()) == {1}


def test_only_the_file_that_failed_is_tried_again(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    platform.faults.add("on=download path=*IMG_DATA*_B05.jp2* corrupt=0.5 times=1")
    platform.faults.add("on=download path=*MTD_TL.xml* status=500 times=2")
    platform.faults.add("on=download path=*IMG_DATA*_B11.jp2* status=401 times=1")
    assert stage_in(platform.item_url(new.name)).code == 0
    again = {path: times for path, times in downloads(platform).items() if times > 1}
    assert sorted((path[-10:], times) for path, times in again.items()) == [
        *((f"31_{band}.jp2", 2) for band in ("B05", "B11")),
        ("MTD_TL.xml", 3),
    ]


def test_an_interrupted_run_goes_on_with_what_is_right(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree
) -> None:
    fault = platform.faults.add("on=download path=*_B12.jp2* status=503")
    assert stage_in(platform.item_url(new.name), "--patience", "1").code == 75
    platform.faults.remove(fault)
    platform.log.clear()
    run = stage_in(platform.item_url(new.name))
    assert run.code == 0, run.log
    assert "Going on" in run.log
    paths = set(downloads(platform))
    assert "manifest.safe" in paths
    assert not any(path.endswith(("31_B02.jp2", "31_B08.jp2")) for path in paths)
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_file_is_gone_on_with_where_the_service_can(
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
    assert 0.8 * size < start < size  # nearly all of the 90 % that came
    assert (second.status, second.sent) == ((206, size - start) if ranges else (200, size))
    assert_same_tree(large, stage_in.folder / "catalog" / large.stem / large.name)


@pytest.mark.parametrize(
    "content_range",
    ["bytes 0-9/10", "bytes 7-9/*", "bytes x-y/z", "items 1-2/3", "", f"bytes {'9' * 5000}-1/2"],
)
def test_a_partial_body_that_does_not_fit_is_not_used(
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


@pytest.mark.parametrize("transport", ["nodes", "zip"])
def test_some_bands(stage_in: StageIn, platform: Sandbox, new: Path, transport: str) -> None:
    run = stage_in(
        platform.item_url(new.name), "--assets", "B04, nir,visual", "--transport", transport
    )
    assert run.code == 0, run.log
    safe = stage_in.folder / "catalog" / new.stem / new.name
    staged = {path.relative_to(safe) for path in safe.rglob("*") if path.is_file()}
    whole = {path.relative_to(new) for path in new.rglob("*") if path.is_file()}
    left_out = {path.name for path in whole - staged}
    assert staged < whole
    bands = ("B01", "B02", "B03", "B05", "B06", "B07", "B8A", "B09", "B10", "B11", "B12")
    tile = f"T{new.name[39:44]}_{new.name[11:26]}"
    assert left_out == {
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
    assert ("The zip comes whole" in run.log) == (transport == "zip")
    if transport == "nodes":
        sent = sum(x.sent for x in platform.log.of("download", "*$value"))
        assert sent == sum((safe / path).stat().st_size for path in staged)

    # It is there already for the same bands or fewer, and not for more.
    assert stage_in(platform.item_url(new.name), "--assets", "red").code == 0
    more = stage_in(platform.item_url(new.name), "--assets", "B04,B05")
    assert more.code == 73
    assert "B05" in more.reason


def test_some_bands_of_the_old_era(stage_in: StageIn, platform: Sandbox, old: Path) -> None:
    assert stage_in(platform.item_url(old.name), "--assets", "b8a").code == 0
    safe = stage_in.folder / "catalog" / old.stem / old.name
    masks = {path.name for path in safe.rglob("MSK_*")}
    kinds = ("DEFECT", "DETFOO", "NODATA", "SATURA", "TECQUA")
    assert masks == {"MSK_CLOUDS_B00.gml", *(f"MSK_{kind}_B8A.gml" for kind in kinds)}


@pytest.mark.parametrize("names", ["B13", "red,rouge", "", ",", "B00", "preview"])
def test_unknown_bands_are_refused_before_any_request(
    stage_in: StageIn, platform: Sandbox, new: Path, names: str
) -> None:
    run = stage_in(platform.item_url(new.name), "--assets", names)
    assert run.code == 2
    assert "expected" in run.reason
    assert len(platform.log) == 0


NEGATIVE = b'{"result": [{"Name": "a.xml", "ContentLength": -1, "ChildrenNumber": 0}]}'


@pytest.mark.parametrize(
    "answer", [b"[]", b"{}", b'{"result": 5}', b'{"result": [{}]}', b"<html>", NEGATIVE]
)
def test_a_list_that_is_none(
    stage_in: StageIn, platform: Sandbox, new: Path, answer: bytes
) -> None:
    platform.faults.add(f"on=download path=*Nodes body='{answer.decode()}'")
    run = stage_in(platform.item_url(new.name), "--patience", "5")
    assert run.code == 65
    assert "expected a list of nodes" in run.reason


@pytest.mark.parametrize("name", ["..", "../evil", "a/b", "", "a\\\\b", "a\\u0000b"])
def test_a_list_with_hostile_names(
    stage_in: StageIn, platform: Sandbox, new: Path, name: str
) -> None:
    node = f'{{"result": [{{"Name": "{name}", "ContentLength": 1, "ChildrenNumber": 0}}]}}'
    uuid = platform.products[1].uuid
    path = f"/odata/v1/Products({uuid})/Nodes({new.name})/Nodes(HTML)/Nodes"
    platform.pages[path] = node.encode()
    run = stage_in(platform.item_url(new.name), "--patience", "5")
    assert run.code == 65, run.log
    assert "expected a plain relative path" in run.reason
    assert not list(stage_in.folder.iterdir())


def test_a_list_without_end(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    platform.faults.add(
        "on=download path=*HTML*/Nodes "
        """body='{"result": [{"Name": "a", "ContentLength": 0, "ChildrenNumber": 1}]}'"""
    )
    run = stage_in(platform.item_url(new.name), "--patience", "5")
    assert run.code == 65
    assert "deeper" in run.reason


def test_workers_keep_no_process_alive(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    """Where one file is refused for good, those that stall meanwhile are not waited for."""
    platform.faults.add("on=download path=*_B02.jp2* stall=60 at=0.5")
    platform.faults.add("on=download path=*_B03.jp2* status=403 after=0")
    started = time.monotonic()
    run = stage_in(platform.item_url(new.name))
    assert run.code == 77, run.log
    assert time.monotonic() - started < 30
    assert not list(stage_in.folder.iterdir())
