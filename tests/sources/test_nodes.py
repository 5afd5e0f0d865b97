"""Single files: in parallel, within the limits of the platform, or falling back to the zip."""

from pathlib import Path

import pytest

from sandbox.limits import Limits
from sandbox.server import Sandbox
from stage_in.errors import BusyError, SourceError
from stage_in.safe.manifest import Entry
from stage_in.safe.name import ProductName
from stage_in.sources.nodes import NodesSource
from stage_in.sources.product import Product
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.credentials import Credentials
from stage_in.transfer.pacing import MIN_ANSWERS, STARVED_AFTER, Pacing
from stage_in.transfer.trust import Trust
from tests.clients import make_client
from tests.conftest import SameTree, StageIn, slow_after
from tests.sources.downloads import count_downloads, run_until_open


def test_each_file_is_downloaded_once_over_four_connections(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree
) -> None:
    platform.limits = Limits(connections=4)
    run = run_until_open(stage_in, 4, platform.item_url(new.name))
    assert run.code == 0, run.log
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)
    assert platform.log.most_open(path="*$value") == 4
    assert set(count_downloads(platform).values()) == {1}
    assert all(x.status == 200 for x in platform.log)
    # After the manifest and the metadata, the largest files come first.
    assert "manifest.safe" in platform.log.of("download", "*$value")[0].path
    images = [x.path for x in platform.log.of("download", "*.jp2)/$value")]
    largest = max(new.rglob("*.jp2"), key=lambda path: path.stat().st_size)
    assert any(largest.name in path for path in images[:4])


@pytest.mark.parametrize("connections", slow_after(1, [2, 1]))
def test_fewer_connections(
    stage_in: StageIn, platform: Sandbox, new: Path, connections: int
) -> None:
    item = platform.item_url(new.name)
    run = run_until_open(stage_in, connections, item, "--connections", str(connections))
    assert run.code == 0, run.log
    assert platform.log.most_open(path="*$value") == connections


@pytest.mark.parametrize(
    "limits",
    slow_after(
        1,
        [
            Limits(connections=4, rate=400_000, lag=0.05),
            Limits(connections=1, lag=0.01),
            Limits(connections=2, rate=400_000),
            Limits(connections=2, rate=400_000, retry_after=1),
        ],
    ),
    ids=["the count lags", "one slot", "two slots", "with Retry-After"],
)
def test_refusals_slow_the_run_down_and_never_fail_it(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree, limits: Limits
) -> None:
    platform.limits = limits
    run = stage_in(platform.item_url(new.name), "--transport", "nodes", "--patience", "30")
    assert run.code == 0, run.log
    refusals = [x for x in platform.log if x.status == 429]
    assert refusals
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)
    assert len(refusals) < sum(path.is_file() for path in new.rglob("*")) / 2


def test_if_the_count_lags_the_zip_of_a_small_product_is_faster(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree
) -> None:
    platform.limits = Limits(connections=4, lag=1.0)
    run = stage_in(platform.item_url(new.name), "--patience", "30")
    assert run.code == 0, run.log
    assert "Falling back to the zip" in run.log
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)


@pytest.fixture
def source(platform: Sandbox, new: Path) -> NodesSource:
    """A source of one file of a full tile, of which 900 MB are left."""
    tokens = Credentials(Trust(), access_token=platform.mint())
    client = make_client(platform.download, tokens=tokens, pacing=Pacing(1, max_wait=0.001))
    name = ProductName.parse(new.name)
    product = Product(name, platform.products[1].uuid, platform.download)
    source = NodesSource(product, client, Arrivals(), 1)
    source.expect([Entry("a.jp2", 900_000_000)], 900_000_000)
    return source


@pytest.mark.parametrize(
    ("left", "expected"), [(20_000_000, BusyError), (800_000_000, SourceError)]
)
def test_after_many_refusals_the_zip_is_tried_unless_few_bands_are_left(
    source: NodesSource, platform: Sandbox, left: int, expected: type[Exception]
) -> None:
    """The whole product is not downloaded for one band because no slot was free for a while."""
    platform.faults.add("on=download status=429")
    source.expect([Entry("a.jp2", left)], 900_000_000)
    raised: list[type[Exception]] = []
    for _ in range(STARVED_AFTER + 2):
        with pytest.raises((BusyError, SourceError)) as caught, source.open("a.jp2"):
            pass
        raised.append(caught.type)
    assert set(raised[: STARVED_AFTER - 1]) == {BusyError}
    assert set(raised[STARVED_AFTER:]) == {expected}


@pytest.mark.parametrize(
    ("files", "product_size", "zip_is_faster"),
    [(60, 900_000_000, False), (2, 20_000_000, False), (600, 20_000_000, True)],
)
def test_the_estimate_decides_between_files_and_zip(
    source: NodesSource,
    monkeypatch: pytest.MonkeyPatch,
    files: int,
    product_size: int,
    zip_is_faster: bool,
) -> None:
    """Each file costs its latency, so many small files take longer than one stream."""
    pacing = source._client.pacing
    monkeypatch.setattr(pacing, "_connections", 4)
    pacing._errors = Pacing(4)._errors
    for _ in range(MIN_ANSWERS):
        with pacing.slot() as granted:
            granted()
    pacing.latency = 0.1
    source.expect(
        [Entry(f"{number}.jp2", product_size // files) for number in range(files)], product_size
    )
    if zip_is_faster:
        with pytest.raises(SourceError, match="the zip is faster"):
            source._check_pays_off("too few downloads")
    else:
        source._check_pays_off("too few downloads")


def test_another_job_holds_all_slots_for_a_while(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    platform.faults.add("on=download path=*$value status=429 times=4")
    run = stage_in(platform.item_url(new.name), "--patience", "30")
    assert run.code == 0, run.log
    # The zip may be faster still, on a machine that is slow enough.
    assert "no download of a single file is granted" not in run.log


@pytest.mark.slow
def test_no_slot_for_single_files_but_one_for_the_zip(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree
) -> None:
    platform.faults.add("on=download path=*Nodes(*$value status=429 after=3")
    run = stage_in(platform.item_url(new.name), "--patience", "200")
    assert run.code == 0, run.log
    assert "Falling back to the zip" in run.log
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)
    assert {path.name for path in stage_in.folder.iterdir()} == {"catalog"}


@pytest.mark.parametrize("status", slow_after(1, [404, 501, 400, 405]))
def test_a_service_without_nodes(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree, status: int
) -> None:
    platform.faults.add(f"on=download path=*Nodes* status={status}")
    run = stage_in(platform.item_url(new.name), "--patience", "5")
    if status == 501:  # a failure of the server, which may be temporary
        assert run.code == 75
        return
    assert run.code == 0, run.log
    assert "Falling back to the zip" in run.log
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)


NEGATIVE = b'{"result": [{"Name": "a.xml", "ContentLength": -1, "ChildrenNumber": 0}]}'


@pytest.mark.parametrize(
    "answer",
    slow_after(1, [b'{"result": [{}]}', NEGATIVE, b"<html>", b"[]", b"{}", b'{"result": 5}']),
)
def test_answers_that_are_no_list(
    stage_in: StageIn, platform: Sandbox, new: Path, answer: bytes
) -> None:
    platform.faults.add(f"on=download path=*Nodes body='{answer.decode()}'")
    run = stage_in(platform.item_url(new.name), "--patience", "5")
    assert run.code == 65
    assert "must send a list of files" in run.reason


@pytest.mark.parametrize("name", slow_after(1, ["../evil", "a\\u0000b", "..", "a/b", "", "a\\\\b"]))
def test_hostile_names_in_a_list(
    stage_in: StageIn, platform: Sandbox, new: Path, name: str
) -> None:
    node = f'{{"result": [{{"Name": "{name}", "ContentLength": 1, "ChildrenNumber": 0}}]}}'
    uuid = platform.products[1].uuid
    path = f"/odata/v1/Products({uuid})/Nodes({new.name})/Nodes(HTML)/Nodes"
    platform.pages[path] = node.encode()
    run = stage_in(platform.item_url(new.name), "--patience", "5")
    assert run.code == 65, run.log
    assert "plain" in run.reason
    assert {path.name for path in stage_in.folder.iterdir()} <= {".catalog.staging"}


def test_an_endless_list(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    platform.faults.add(
        "on=download path=*HTML*/Nodes "
        """body='{"result": [{"Name": "a", "ContentLength": 0, "ChildrenNumber": 1}]}'"""
    )
    run = stage_in(platform.item_url(new.name), "--patience", "5")
    assert run.code == 65
    assert "deeper" in run.reason


def test_the_list_goes_on_where_it_failed(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    """The list takes many requests, so on a busy service some fail; the others count."""
    platform.faults.add("status=503 on=download path=*HTML*/Nodes times=2")
    run = stage_in(platform.item_url(new.name), "--transport", "nodes")
    assert run.code == 0, run.log
    lists = [x.path for x in platform.log if x.path.endswith("/Nodes")]
    assert {path: lists.count(path) for path in lists if lists.count(path) > 1} == {
        next(path for path in lists if "HTML" in path): 3
    }
