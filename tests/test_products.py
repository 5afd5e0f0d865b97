"""Several products in one run: one catalog, one pacing, all or nothing."""

import json
import random
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pystac
import pytest

from sandbox.faults import Fault
from sandbox.limits import Limits
from sandbox.product import NEW, make_product
from sandbox.server import Sandbox
from stage_in import ProductError, StageInError, UsageError, stage
from tests.conftest import ROOT, SameTree, StageIn, slow_after

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def three(old: Path, new: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three products; the last two are baselines of one acquisition."""
    again = make_product(
        tmp_path_factory.mktemp("again"), replace(NEW, baseline="05.10", pixels=60)
    )
    return [old, new, again]


@pytest.fixture
def platform(three: list[Path]) -> Iterator[Sandbox]:
    with Sandbox(three) as sandbox:
        yield sandbox


def list_references(platform: Sandbox, three: list[Path]) -> list[str]:
    """Return the options that name the products."""
    urls = [platform.item_url(safe.name) for safe in three]
    return [urls[0], *(word for url in urls[1:] for word in ("--input-item", url))]


def make_collection(platform: Sandbox, three: list[Path]) -> dict[str, Any]:
    """Make the result of a search."""
    return {
        "type": "FeatureCollection",
        "features": [platform.item(safe.name) for safe in three],
        "links": [{"rel": "next", "href": "https://stac.example/search?page=2"}],
        "numberMatched": 40,
    }


def list_arrived(stage_in: StageIn, safes: list[Path]) -> set[tuple[str, str]]:
    """Return the files that manifests list and that have arrived: product and name."""
    return {
        (safe.name, path.name)
        for safe in safes
        for path in stage_in.folder.glob(f".catalog.staging/catalog/*/{safe.name}/**/*")
        if path.suffix in {".jp2", ".gml"}
        and path.read_bytes() == (safe / str(path).partition(f"{safe.name}/")[2]).read_bytes()
    }


def list_requested(platform: Sandbox) -> set[tuple[str, str]]:
    """Return the files that were requested: product and name."""
    paths = [exchange.path for exchange in platform.log.of("download", "*$value")]
    nodes = [re.findall(r"Nodes\(([^)]*)\)", unquote(path)) for path in paths]
    return {(names[0], names[-1]) for names in nodes if names}


def test_one_catalog(
    stage_in: StageIn, three: list[Path], tmp_path: Path, assert_same_tree: SameTree
) -> None:
    """Each item is what a run of its own makes; no product is staged twice."""
    references = list_references(stage_in.platform, three)
    run = stage_in(*references, "--input-item", three[0].stem)
    assert run.code == 0, run.log
    assert run.reason.endswith("Staged 3 products: catalog/catalog.json")
    catalog = pystac.Catalog.from_file(str(stage_in.folder / "catalog/catalog.json"))
    assert {item.id for item in catalog.get_items()} == {safe.stem for safe in three}
    assert stage_in.platform.log.most_open(path="*$value") <= 4
    files = [exchange.path for exchange in stage_in.platform.log.of("download", "*$value")]
    assert len(files) == len(set(files))
    for safe in three:
        alone = tmp_path / "alone"
        assert stage_in(stage_in.platform.item_url(safe.name), "--output-dir", str(alone)).code == 0
        assert_same_tree(stage_in.folder / "catalog" / safe.stem, alone / safe.stem)
        assert_same_tree(stage_in.folder / "catalog" / safe.stem / safe.name, safe)
        alone.rename(tmp_path / safe.stem)


@pytest.mark.parametrize("place", slow_after(1, ["file", "url", "pipe"]))
def test_the_result_of_a_search(
    stage_in: StageIn, platform: Sandbox, three: list[Path], place: str
) -> None:
    """What else the search has found is not left out silently."""
    collection = make_collection(platform, three)
    if place == "url":
        platform.pages["/search"] = collection
        reference = f"{platform.stac}/search?limit=3"
    else:
        (stage_in.folder / "found.json").write_text(json.dumps(collection))
        reference = "found.json"
    if place == "pipe":
        reference = "-"
        stage_in = replace(stage_in, through=("sh", "-c", '"$@" < found.json', "sh"))
    run = stage_in(reference)
    assert run.code == 0, run.log
    assert "has more pages" in run.log
    assert len([*stage_in.folder.glob("catalog/*/*.SAFE")]) == 3


def test_a_second_run(stage_in: StageIn, platform: Sandbox, three: list[Path]) -> None:
    """It verifies all products; other products need another folder."""
    references = list_references(platform, three)
    assert stage_in(*references).code == 0
    output = stage_in.folder / "catalog"
    (output / "catalog.json").write_text("")
    (output / three[1].stem / f"{three[1].stem}.json").unlink()
    platform.log.clear()
    run = stage_in(*references)
    assert run.code == 0, run.log
    assert "3 products are complete already" in run.reason
    assert run.log.count("again: it is missing or differs") == 2
    assert len([*pystac.Catalog.from_file(str(output / "catalog.json")).get_items()]) == 3
    for others in (references[:-2], references[:1]):
        run = stage_in(*others)
        assert run.code == 73
        assert "another --output-dir" in run.reason
    assert platform.log.of("download", "*$value") == []


def test_a_product_that_cannot_be_had(
    stage_in: StageIn, platform: Sandbox, three: list[Path]
) -> None:
    """The run ends with its code and names it; what is verified stays for a run without it."""
    missing = three[1]
    platform.faults.add(Fault(on="download", path=f"*{missing.name}*TCI*", status=404))
    zipped = platform.item(missing.name)["assets"]["Product"]["href"].partition("/odata")[2]
    platform.faults.add(Fault(on="download", path=f"*{zipped}", status=404))
    references = list_references(platform, three)
    run = stage_in(*references)
    assert run.code == 66, run.log
    assert missing.stem in run.reason
    assert "Run the command again to resume" in run.reason
    assert not (stage_in.folder / "catalog").exists()
    arrived = list_arrived(stage_in, [three[0], three[2]])
    assert arrived
    platform.log.clear()
    run = stage_in(references[0], *references[3:])
    assert run.code == 0, run.log
    assert arrived & list_requested(platform) == set()
    assert missing.stem not in " ".join(map(str, stage_in.folder.rglob("*")))


def test_an_item_that_is_missing_ends_the_run_before_any_file(
    stage_in: StageIn, platform: Sandbox, three: list[Path]
) -> None:
    missing = f"{three[0].stem[:-15]}20990101T000000"
    run = stage_in(*list_references(platform, three), "--input-item", platform.item_url(missing))
    assert run.code == 66, run.log
    assert missing in run.reason
    assert platform.log.of("download", "*$value") == []


@pytest.mark.slow
def test_killed_runs_resume(
    stage_in: StageIn, platform: Sandbox, three: list[Path], assert_same_tree: SameTree
) -> None:
    """After each kill the catalog is absent, and the next run fetches nothing again."""
    references = list_references(platform, three)
    for _ in range(3):
        after = random.randint(30, 60)
        stall = platform.faults.add(f"on=download path=*$value stall=600 at=0.5 after={after}")
        with stage_in.start(*references, "--verbose") as process:
            platform.log.wait(lambda _, stall=stall: stall.used == 4)
            process.send_signal(signal.SIGKILL)
            _, log = process.communicate()
        assert "Traceback" not in log
        platform.faults.remove(stall)
        assert not (stage_in.folder / "catalog").exists()
    arrived = list_arrived(stage_in, three)
    assert arrived
    platform.log.clear()
    run = stage_in(*references)
    assert run.code == 0, run.log
    assert arrived & list_requested(platform) == set()
    for safe in three:
        assert_same_tree(stage_in.folder / "catalog" / safe.stem / safe.name, safe)


def test_the_connections_are_shared_in_order(
    stage_in: StageIn, platform: Sandbox, three: list[Path]
) -> None:
    """The second product begins while the first one's last file arrives, and not much earlier."""
    platform.limits = Limits(connections=4, rate=400_000)
    assert stage_in(*list_references(platform, three)).code == 0
    opened: dict[str, list[float]] = {}
    for exchange in platform.log.of("download"):
        name = next(safe.name for safe in three if safe.name in exchange.path)
        opened.setdefault(name, []).append(exchange.opened)
    middles = [sorted(opened[safe.name])[len(opened[safe.name]) // 2] for safe in three]
    assert middles == sorted(middles)
    last = max(opened[three[0].name])
    assert any(time < last for time in opened[three[1].name])


def test_a_collection_with_an_item_of_another_kind(
    stage_in: StageIn, platform: Sandbox, three: list[Path]
) -> None:
    """The message says which one it is, and quotes nothing of a file."""
    collection = make_collection(platform, three)
    collection["features"][1]["id"] = "hunter2"
    (stage_in.folder / "found.json").write_text(json.dumps(collection))
    run = stage_in("found.json")
    assert run.code == 65, run.log
    assert "Item 2 in the file found.json must be the STAC item of" in run.reason
    assert "hunter2" not in run.log


def test_from_python(
    platform: Sandbox, three: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    collection = pystac.ItemCollection.from_dict(make_collection(platform, three[:1]))
    items = [collection, platform.item(three[1].name), platform.item_url(three[2].name)]
    news: list[tuple[int, int]] = []
    catalog = stage(
        items,
        tmp_path / "catalog",
        access_token=platform.mint(),
        progress=lambda received, expected: news.append((received, expected)),
    )
    assert {item.id for item in catalog.get_items()} == {safe.stem for safe in three}
    assert news == sorted(news, key=lambda pair: pair[0])
    assert news[-1][0] >= sum(path.stat().st_size for safe in three for path in safe.rglob("*.jp2"))


@pytest.mark.parametrize(
    ("items", "kind"),
    [
        (pystac.ItemCollection([]), ProductError),
        ([], UsageError),
        (None, UsageError),
    ],
)
def test_nothing_to_stage(tmp_path: Path, items: Any, kind: type[StageInError]) -> None:
    with pytest.raises(kind, match=r"must|no item|is not"):
        stage(items, tmp_path / "catalog", access_token="x" * 20)
    assert [*tmp_path.iterdir()] == []


def run_example(page: str, stage_in: StageIn, three: list[Path]) -> str:
    """Run a page's example with pystac-client, which finds two products; return what it prints."""
    pytest.importorskip("pystac_client")
    platform = stage_in.platform
    core, search = (f"https://api.stacspec.org/v1.0.0/{part}" for part in ("core", "item-search"))
    origin = platform.stac
    platform.pages["/v1"] = {
        **{"type": "Catalog", "id": "x", "description": "x", "stac_version": "1.0.0"},
        "conformsTo": [core, search],
        "links": [
            {"rel": "root", "href": f"{origin}/v1"},
            {"rel": "search", "href": f"{origin}/v1/search", "type": "application/geo+json"},
        ],
    }
    platform.pages["/v1/search"] = {**make_collection(platform, three[1:]), "links": []}
    (example,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
        if "pystac_client" in block
    )
    program = example.replace("https://stac.dataspace.copernicus.eu", origin)
    run = stage_in.run_python(program, PYTHONWARNINGS="ignore")
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_example_of_a_search(stage_in: StageIn, three: list[Path]) -> None:
    """It prints the URLs of the items, and writes a file that the command takes."""
    lines = run_example("account.md", stage_in, three).splitlines()
    shown = dict(line.split() for line in lines)
    assert {*shown} == {stage_in.platform.item_url(safe.name) for safe in three[1:]}
    assert all(0 <= float(cover) <= 100 for cover in shown.values())
    assert stage_in("found.json").code == 0
    assert {path.parent.name for path in stage_in.folder.glob("catalog/*/*.SAFE")} == {
        safe.stem for safe in three[1:]
    }


@pytest.mark.slow
def test_the_example_from_a_search_to_reflectance(stage_in: StageIn, three: list[Path]) -> None:
    lines = run_example("api.md", stage_in, three).splitlines()
    shown = dict(line.split() for line in lines)
    assert {*shown} == {safe.stem for safe in three[1:]}
    assert all(0 < float(mean) < 1 for mean in shown.values())
