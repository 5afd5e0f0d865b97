"""The product as objects of an S3 bucket: signed, without a token, verified like any other."""

import random
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.faults import Fault
from sandbox.limits import Limits
from sandbox.server import Sandbox
from sandbox.sigv4 import Key
from sandbox.store import ServedProduct
from stage_in.safe.parts import find_missing
from stage_in.sources import plan
from tests import ceph
from tests.conftest import Run, SameTree, StageIn, slow_after
from tests.editing import find, reseal
from tests.sources.downloads import run_until_open

OPENEO = Key("OPENEO", "a/secret+key", session="c2Vzc2lvbi10b2tlbg==", region="eodata")


@pytest.fixture
def over_s3(platform: Sandbox, stage_in: StageIn) -> Iterator[dict[str, str]]:
    """Variables that leave S3 as the only source."""
    return {"CDSE_ACCESS_TOKEN": "", **platform.s3_environment()}


def find_staged(stage_in: StageIn, safe: Path) -> Path:
    return stage_in.folder / "catalog" / safe.stem / safe.name


def test_a_product_is_staged_without_a_token(
    stage_in: StageIn, new: Path, over_s3: dict[str, str], assert_same_tree: SameTree
) -> None:
    platform = stage_in.platform
    run = stage_in(platform.item_url(new.name), **over_s3)
    assert run.code == 0, run.log
    assert platform.origins["s3"] in run.log
    assert "CDSE_S3_ACCESS_KEY" in run.log
    assert not platform.log.of("download")
    assert not platform.log.of("identity")
    first, *_ = platform.log.of("s3")
    assert first.path.endswith("manifest.safe")
    assert len(platform.log.of("s3", "*list-type=2*")) == 1
    assert_same_tree(new, find_staged(stage_in, new))


def test_the_environment_of_openeo(tmp_path: Path, new: Path, assert_same_tree: SameTree) -> None:
    """The platform's openEO gives keys with a session token and a proxy's URL, and no token."""
    with Sandbox([new], keys=[OPENEO]) as platform:
        stage_in = StageIn(platform, tmp_path)
        environment = platform.s3_environment()
        assert environment.keys() == {
            *("AWS_ENDPOINT_URL_S3", "AWS_REGION"),
            *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        }
        assert environment["AWS_REGION"] == "eodata"
        run = stage_in(
            platform.item_url(new.name), "--verbose", CDSE_ACCESS_TOKEN="", **environment
        )
        assert run.code == 0, run.log
        assert_same_tree(new, find_staged(stage_in, new))
        assert {exchange.status for exchange in platform.log.of("s3")} == {200}
        for secret in (OPENEO.secret, OPENEO.session or ""):
            assert secret not in run.log
            assert not [x for x in platform.log if x.role != "s3" and x.holds(secret)]


def test_refused_keys_lead_to_the_next_source(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    environment = {**platform.s3_environment(), "CDSE_S3_SECRET_KEY": "wrong-secret"}
    run = stage_in(platform.item_url(new.name), **environment)
    assert run.code == 0, run.log
    assert {x.status for x in platform.log.of("s3")} == {403}
    assert len(platform.log.of("s3")) == 5
    assert re.search("Falling back to single files at .*SignatureDoesNotMatch", run.log)
    assert "wrong-secret" not in run.log


def test_a_session_token_that_expires_ends_a_run_at_once(
    stage_in: StageIn, new: Path, over_s3: dict[str, str]
) -> None:
    """Other refusals of keys that were accepted pass; this one does not."""
    stage_in.platform.faults.add("status=400 code=ExpiredToken on=s3 after=10")
    run = stage_in(stage_in.platform.item_url(new.name), **over_s3)
    assert run.code == 77, run.log
    assert "The session token has expired" in run.reason
    assert "Run the command again to resume" in run.reason
    assert "Attempt 1 failed" not in run.log


def test_an_endpoint_that_is_not_there_leads_to_the_next_source(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    environment = {**platform.s3_environment(), "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}
    run = stage_in(platform.item_url(new.name), "--patience", "2", **environment)
    assert run.code == 0, run.log
    assert re.search("Falling back to single files at .*Connection refused", run.log)


@pytest.mark.slow
def test_refused_keys_end_a_run_that_has_no_other_source(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    environment = {**platform.s3_environment(), "CDSE_S3_SECRET_KEY": "wrong-secret"}
    run = stage_in(platform.item_url(new.name), "--transport", "s3", **environment)
    assert run.code == 77, run.log
    assert "CDSE_S3_ACCESS_KEY" in run.reason
    assert not platform.log.of("download")


def test_files_that_keep_arriving_wrong_are_kept_across_sources(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree
) -> None:
    """The objects that were right are not downloaded again."""
    platform.faults.add("corrupt=0.4 on=s3 path=*IMG_DATA*_B03.jp2")
    run = stage_in(platform.item_url(new.name), "--connections", "1", **platform.s3_environment())
    assert run.code == 0, run.log
    assert len(platform.log.of("s3", "*IMG_DATA/*_B03.jp2")) == 3
    assert "Resuming" in run.log
    assert not platform.log.of("download", "*IMG_DATA*_B02.jp2)/$value")
    assert_same_tree(new, find_staged(stage_in, new))


@pytest.mark.parametrize("status", slow_after(1, [403, 501, 400, 405]))
def test_a_list_that_is_refused_comes_from_the_nodes(
    stage_in: StageIn,
    new: Path,
    over_s3: dict[str, str],
    assert_same_tree: SameTree,
    status: int,
) -> None:
    """The keys may not list the bucket, or the server can't."""
    platform = stage_in.platform
    platform.faults.add(f"status={status} on=s3 path=*list-type*")
    run = stage_in(platform.item_url(new.name), **over_s3)
    assert run.code == 0, run.log
    listed = platform.log.of("download")
    assert listed
    assert all(x.path.endswith("/Nodes") and x.header("Authorization") is None for x in listed)
    assert_same_tree(new, find_staged(stage_in, new))


def test_a_list_of_many_pages(
    stage_in: StageIn,
    new: Path,
    over_s3: dict[str, str],
    assert_same_tree: SameTree,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sandbox.s3.MAX_KEYS", 20)
    run = stage_in(stage_in.platform.item_url(new.name), **over_s3)
    assert run.code == 0, run.log
    assert len(stage_in.platform.log.of("s3", "*list-type=2*")) > 2
    assert_same_tree(new, find_staged(stage_in, new))


ENDLESS = (
    "<ListBucketResult><IsTruncated>true</IsTruncated>"
    "<NextContinuationToken>x</NextContinuationToken></ListBucketResult>"
)


def test_a_list_without_end(stage_in: StageIn, new: Path, over_s3: dict[str, str]) -> None:
    stage_in.platform.faults.add(Fault(on="s3", path="*list-type*", body=ENDLESS))
    run = stage_in(stage_in.platform.item_url(new.name), **over_s3)
    assert run.code == 65, run.log
    assert "does not end" in run.reason
    # Three attempts, each of which ends at the token that comes again.
    assert len(stage_in.platform.log.of("s3", "*list-type=2*")) == 6


@pytest.mark.parametrize("times", slow_after(1, [1, None]))
def test_an_incomplete_list(
    stage_in: StageIn,
    new: Path,
    over_s3: dict[str, str],
    assert_same_tree: SameTree,
    times: int | None,
) -> None:
    """A file that the manifest does not list would be left out."""
    platform = stage_in.platform
    body = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    platform.faults.add(Fault(on="s3", path="*list-type*", body=body, times=times))
    run = stage_in(platform.item_url(new.name), **over_s3)
    if times:
        assert run.code == 0, run.log
        assert_same_tree(new, find_staged(stage_in, new))
    else:
        assert run.code == 66, run.log
        assert "is incomplete: it lacks" in run.reason
        assert not (stage_in.folder / "catalog").exists()


def test_objects_that_lead_elsewhere_are_refused(
    stage_in: StageIn, new: Path, over_s3: dict[str, str]
) -> None:
    platform = stage_in.platform
    (product,) = [x for x in platform.products if x.name == new.name]
    platform.s3.objects[f"{product.s3_key}/../../{new.name}"] = b"x"
    run = stage_in(platform.item_url(new.name), **over_s3)
    assert run.code == 65, run.log
    assert "plain and relative" in run.reason


def test_more_connections_to_an_endpoint_that_the_user_names(
    stage_in: StageIn, new: Path, over_s3: dict[str, str]
) -> None:
    platform = stage_in.platform
    item = platform.item_url(new.name)
    refused = stage_in(item, "--connections", "12")
    assert refused.code == 2
    assert "AWS_ENDPOINT_URL_S3" in refused.reason
    assert not platform.log.of("stac")
    run = run_until_open(stage_in, 12, item, "--connections", "12", **over_s3)
    assert run.code == 0, run.log
    assert platform.log.most_open("s3") == 12


def test_four_connections_are_the_limit(
    stage_in: StageIn, new: Path, over_s3: dict[str, str]
) -> None:
    stage_in.platform.limits = Limits(connections=4)
    run = run_until_open(stage_in, 4, stage_in.platform.item_url(new.name), **over_s3)
    assert run.code == 0, run.log
    assert stage_in.platform.log.most_open("s3") == 4
    assert {exchange.status for exchange in stage_in.platform.log.of("s3")} <= {200, 206}


# -- Parts of files

LARGE = "AUX_CAMSFO"
SIZE = 48_000_000
# The less there is besides the large file, the later a busy machine may answer before that file is
# no longer worth splitting.
FEW = ("--assets", "B01")


@pytest.fixture(scope="module")
def parted(new: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product with one file that is much larger than all others together."""
    safe = shutil.copytree(new, tmp_path_factory.mktemp("parted") / new.name)
    (safe / find(safe, LARGE)).write_bytes(random.Random(4711).randbytes(SIZE))
    reseal(safe)
    return safe


@pytest.fixture
def stage_parted(parted: Path, tmp_path: Path) -> Iterator[StageIn]:
    (tmp_path / "work").mkdir()
    with Sandbox([parted]) as platform:
        yield StageIn(platform, tmp_path / "work")


def run_over_s3(stage_in: StageIn, safe: Path, *options: str) -> Run:
    item = stage_in.platform.item_url(safe.name)
    environment = stage_in.platform.s3_environment()
    return stage_in(item, "--transport", "s3", *options, **environment)


def list_parts(platform: Sandbox) -> list[tuple[int, int]]:
    """Return the parts of the large file that were requested, in order of their first byte."""
    exchanges = platform.log.of("s3", f"*{LARGE}")
    ranges = [re.findall("[0-9]+", exchange.header("Range") or "") for exchange in exchanges]
    return sorted((int(start), int(last) + 1) for start, last in ranges)


def assert_same_large_file(stage_in: StageIn, safe: Path) -> None:
    path = find(safe, LARGE)
    assert (find_staged(stage_in, safe) / path).read_bytes() == (safe / path).read_bytes()


def test_a_large_file_arrives_in_parts(stage_parted: StageIn, parted: Path) -> None:
    run = run_over_s3(stage_parted, parted, *FEW)
    assert run.code == 0, run.log
    parts = list_parts(stage_parted.platform)
    assert 2 <= len(parts) <= plan.MAX_PARTS
    assert [start for start, _ in parts] == [0, *(end for _, end in parts[:-1])]
    assert parts[-1][1] == SIZE
    assert_same_large_file(stage_parted, parted)


@pytest.mark.parametrize(
    "fault",
    slow_after(
        1,
        [
            "cut=50%",
            "'header=Content-Range:bytes 0-9/10'",
            "status=503",
            "status=429 retry_after=1",
            "status=403",
            "status=404",
        ],
    ),
)
def test_a_part_that_fails_is_requested_again_alone(
    stage_parted: StageIn, parted: Path, fault: str
) -> None:
    rule = stage_parted.platform.faults.add(f"{fault} on=s3 path=*{LARGE} after=1 times=1")
    run = run_over_s3(stage_parted, parted, *FEW)
    assert run.code == 0, run.log
    assert rule.used == 1
    parts = list_parts(stage_parted.platform)
    assert len(parts) <= plan.MAX_PARTS + 1
    assert len({end for _, end in parts}) == len(parts) - 1
    assert_same_large_file(stage_parted, parted)


def test_a_file_with_a_wrong_part_is_downloaded_again(stage_parted: StageIn, parted: Path) -> None:
    rule = stage_parted.platform.faults.add(f"corrupt=0.4 on=s3 path=*{LARGE} after=1 times=1")
    run = run_over_s3(stage_parted, parted, *FEW)
    assert run.code == 0, run.log
    assert rule.used == 1
    whole = [x for x in stage_parted.platform.log.of("s3", f"*{LARGE}") if not x.header("Range")]
    assert len(whole) == 1
    assert_same_large_file(stage_parted, parted)


@pytest.mark.parametrize("fault", ["whole", "header=Content-Range:"])
def test_a_server_without_ranges(
    stage_parted: StageIn, parted: Path, assert_same_tree: SameTree, fault: str
) -> None:
    """It ignores ranges, or a proxy drops the header that says which part a body is."""
    stage_parted.platform.faults.add(f"{fault} on=s3")
    run = run_over_s3(stage_parted, parted)
    assert run.code == 0, run.log
    assert_same_tree(parted, find_staged(stage_parted, parted))


def test_without_digests_no_file_is_split(stage_parted: StageIn, parted: Path) -> None:
    run = run_over_s3(stage_parted, parted, "--no-verify")
    assert run.code == 0, run.log
    assert not [x for x in stage_parted.platform.log.of("s3") if x.header("Range")]


def list_missing(stage_in: StageIn) -> list[tuple[int, int]]:
    """Return the ranges of the large file that are missing in the staging folder."""
    staged = next(stage_in.folder.rglob(LARGE), stage_in.folder / "nothing yet")
    return find_missing(staged, SIZE)


def has_much(missing: list[tuple[int, int]]) -> bool:
    """Tell whether much of the large file is there, also of its first part."""
    return missing[0][0] > 2_000_000 and sum(end - start for start, end in missing) < SIZE - 8e6


@pytest.mark.parametrize("then", slow_after(1, ["s3", "nodes"]))
def test_a_killed_run_is_resumed_inside_of_its_files(
    stage_parted: StageIn, parted: Path, assert_same_tree: SameTree, then: str
) -> None:
    platform = stage_parted.platform
    platform.limits = Limits(rate=2e6)
    platform.ranges = True
    item = platform.item_url(parted.name)
    with stage_parted.start(item, "--transport", "s3", **platform.s3_environment()) as process:
        deadline = time.monotonic() + 60
        while not has_much(list_missing(stage_parted)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.kill()
    missing = list_missing(stage_parted)
    platform.limits = Limits()
    platform.log.clear()
    environment = platform.s3_environment()
    run = stage_parted(item, "--transport", then, **environment)
    assert run.code == 0, run.log
    role, path = ("s3", f"*{LARGE}") if then == "s3" else ("download", f"*{LARGE})/$value")
    again = sum(x.sent for x in platform.log.of(role, path))
    if then == "s3":
        assert again == sum(end - start for start, end in missing)
    else:  # without ranges of its own, nodes resumes behind the first part only
        assert again == SIZE - missing[0][0]
    assert_same_tree(parted, find_staged(stage_parted, parted))


# -- The same in front of a real object store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, parted: Path) -> Iterator[str]:
    """Ceph with the product that has one large file; returns its origin."""
    with ceph.ceph(tmp_path_factory.mktemp("ceph")) as origin:
        ceph.upload(origin, ServedProduct(parted))
        yield origin


@pytest.mark.slow
@pytest.mark.parametrize(
    "faults",
    [
        (),
        ("corrupt=0.4 on=s3 path=*IMG_DATA/*_B03.jp2 times=1",),
        (f"corrupt=0.4 on=s3 path=*{LARGE} times=1",),
        (
            f"cut=50% on=s3 path=*{LARGE} times=1",
            "stall=30 at=middle on=s3 path=*IMG_DATA/*_B02.jp2 times=1",
            "status=503 on=s3 path=*IMG_DATA/*_B03.jp2 times=2",
            "status=429 header=x-ratelimit-reset:1 on=s3 path=*IMG_DATA/*_B04.jp2 times=1",
            "status=403 empty on=s3 after=5 times=3",
        ),
    ],
)
def test_faults_in_front_of_ceph(
    store: str,
    stage_parted: StageIn,
    parted: Path,
    assert_same_tree: SameTree,
    faults: tuple[str, ...],
) -> None:
    platform = stage_parted.platform
    platform.s3.upstream = store
    rules = [platform.faults.add(fault) for fault in faults]
    environment = {**platform.s3_environment(ceph.KEY), "CDSE_ACCESS_TOKEN": ""}
    run = stage_parted(platform.item_url(parted.name), "--patience", "20", **environment)
    assert run.code == 0, run.log
    assert all(rule.used for rule in rules)
    assert not platform.log.of("download")
    assert_same_tree(parted, find_staged(stage_parted, parted))
    if len(faults) == 1 and "B03" in faults[0]:
        assert len(platform.log.of("s3", "*IMG_DATA/*_B03.jp2")) == 2
