"""What the last line says of products that the platform has deleted, replaced or archived."""

import json
import re
import shutil
import time
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.server import Sandbox
from stage_in.errors import NotFoundError
from stage_in.safe.name import ProductName
from stage_in.sources import removal
from stage_in.sources.item_reference import STAC_ITEMS
from stage_in.sources.product import Product
from stage_in.sources.removal import explained
from stage_in.transfer.trust import Trust
from tests.conftest import StageIn, slow_after

SUCCESSOR = ("N0512", "20240101T000000")


def rename(name: str, baseline: str, made: str) -> str:
    """Return the name of another product of the same acquisition."""
    return re.sub(r"_N\d{4}(_.*_)\d{8}T\d{6}", rf"_{baseline}\g<1>{made}", name)


def add(platform: Sandbox, safe: Path, name: str, tmp_path: Path) -> str:
    """Serve a copy of a product under another name; return its id."""
    shutil.copytree(safe, tmp_path / f"{name}.SAFE")
    platform.add_product(tmp_path / f"{name}.SAFE")
    return name


@pytest.fixture
def gone(platform: Sandbox, new: Path) -> str:
    """The id of a product of today's format that the platform has deleted."""
    platform.delete(new.name)
    return new.stem


def explain(platform: Sandbox, missing: str | Product) -> str:
    """Return what is added to the error of an item or product that is not found."""
    trust = Trust.from_environment(platform.environment)
    missing_urls = [missing] if isinstance(missing, str) else missing
    with pytest.raises(NotFoundError) as caught, explained(missing_urls, trust):
        raise NotFoundError("E")
    return str(caught.value).removeprefix("E").removeprefix(". ")


def test_a_replaced_item(
    stage_in: StageIn, platform: Sandbox, gone: str, new: Path, tmp_path: Path
) -> None:
    """The last line says what happened, and names the URL of the successor."""
    url = platform.item_url(gone)
    successor = add(platform, new, rename(gone, *SUCCESSOR), tmp_path)
    run = stage_in(url)
    assert run.code == 66
    expected = (
        f"The platform has deleted {gone} (Obsolete product). The same acquisition is available, "
        f"processed with baseline 05.12: stage {platform.item_url(successor)} instead."
    )
    assert f"Status 404 from {url}. " in run.reason
    assert expected in run.reason
    assert not list(stage_in.folder.iterdir())
    sent = platform.log.of("catalogue", "/odata/*")
    assert sent
    assert not any("Authorization" in dict(exchange.headers) for exchange in sent)


@pytest.mark.parametrize("transport", slow_after(1, ["auto", "s3", "zip"]))
def test_a_product_of_a_saved_item(
    stage_in: StageIn, platform: Sandbox, new: Path, tmp_path: Path, transport: str
) -> None:
    item = tmp_path / "item.json"
    item.write_text(json.dumps(platform.item(new.name)))
    platform.delete(new.name, "Corrupted product")
    successor = add(platform, new, rename(new.stem, *SUCCESSOR), tmp_path)
    keys = platform.s3_environment() if transport == "s3" else {}
    run = stage_in(str(item), "--transport", transport, **keys)
    assert run.code == 66
    assert f"The platform has deleted {new.stem} (Corrupted product)" in run.reason
    assert f"baseline 05.12: stage {successor} instead" in run.reason


def test_a_product_offline(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    next(x for x in platform.products if x.name == new.name).online = False
    run = stage_in(platform.item_url(new.name))
    assert run.code == 66
    assert f"{new.stem} is offline: it has to be ordered in the platform's Data" in run.reason


def test_an_odata_url(stage_in: StageIn, platform: Sandbox, old: Path, new: Path) -> None:
    """It is staged like its item; when the product is deleted, the name comes from its record."""
    urls = {
        product.name: f"{platform.catalogue}/odata/v1/Products({product.uuid})/$value"
        for product in platform.products
    }
    assert stage_in(urls[new.name]).code == 0
    assert (stage_in.folder / "catalog" / new.stem / new.name).is_dir()
    platform.delete(old.name)
    run = stage_in(urls[old.name], "--output-dir", "other")
    assert run.code == 66
    assert (
        f"The platform has deleted {old.stem} (Obsolete product), and lists no other" in run.reason
    )


def test_other_explanations(
    platform: Sandbox, gone: str, old: Path, new: Path, tmp_path: Path
) -> None:
    unknown = platform.item_url(rename(new.stem, "N0510", "20230101T000000"))
    nothing = (
        f"lists no product {unknown[-60:]}, and lists no other product of the same acquisition"
    )
    assert nothing in explain(platform, unknown)
    assert explain(platform, platform.item_url(old.name)).endswith("run the command again later")
    for url in (
        platform.item_url(old.name, "legacy"),
        f"{platform.download}/x/{old.name}/odata/v1/Products({gone})",
    ):
        assert explain(platform, url).endswith(f"as available: stage {old.stem} instead")
    served = platform.products[0]
    product = Product(ProductName.parse(old.name), served.uuid, platform.download)
    assert explain(platform, product) == f"The platform lists {old.stem} as available"
    product = replace(product, uuid=str(uuid.UUID(int=1)))
    assert explain(platform, product).endswith(f"as available: stage {old.stem} instead")
    # Of several successors, those of the highest baseline are named; products offline are not.
    for baseline, made, is_online in [
        ("N0500", "20230101T000000", True),
        ("N0512", "20240101T000000", True),
        ("N0512", "20240102T000000", True),
        ("N0513", "20250101T000000", False),
    ]:
        name = add(platform, new, rename(gone, baseline, made), tmp_path)
        platform.products[-1].online = is_online
    found = [platform.item_url(rename(gone, "N0512", f"2024010{n}T000000")) for n in (2, 1)]
    assert explain(platform, platform.item_url(gone)).endswith(
        f": stage {' or '.join(found)} instead"
    )
    assert explain(platform, unknown).endswith(f": stage {' or '.join(found)} instead")
    assert "is offline" in explain(platform, platform.item_url(name))


def test_explanations_of_the_platform(
    platform: Sandbox,
    gone: str,
    old: Path,
    new: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The URLs to use instead are those of the platform's current STAC API."""
    monkeypatch.setattr(removal, "list_origins", lambda urls, stand_ins: [platform.catalogue])
    successor = add(platform, new, rename(gone, *SUCCESSOR), tmp_path)
    found = explain(platform, f"{STAC_ITEMS}/{gone}")
    assert found.endswith(f"stage {STAC_ITEMS}/{successor} instead")
    # The legacy API may be switched off.
    legacy = "https://catalogue.dataspace.copernicus.eu/stac/collections/SENTINEL-2/items"
    found = explain(platform, f"{legacy}/{old.name}")
    assert (
        found
        == f"The platform lists {old.stem} as available: stage {STAC_ITEMS}/{old.stem} instead"
    )


def test_hostile_records(platform: Sandbox, gone: str) -> None:
    """Names are validated; what else is shown is short and can't control the terminal."""
    names = [f"{gone}{end}" for end in ("\x1b[2J", "/../x", ".SAFE.SAFE")]
    names += [gone.replace("T32TQM", "T32TQN"), gone.replace("S2A", "S2B")]
    records = [{"Name": name, "Id": "x"} for name in names]
    platform.pages["/odata/v1/Products"] = {"value": records}
    cause = {"Name": gone, "Id": 5, "DeletionCause": "\x1b[2J" + "x" * 10_000}
    platform.pages["/odata/v1/DeletedProducts"] = {"value": [cause]}
    assert explain(platform, platform.item_url(gone)) == (
        f"The platform has deleted {gone} ( [2J{'x' * 56}), "
        "and lists no other product of the same acquisition"
    )


STRANGE = [
    *("", "[]", "null", "{}", "<html>", '{"value": 5}', '{"value": null}', '{"value": {"x": 1}}'),
    *('{"value": [5]}', '{"value": [{}]}', '{"value": [{"Name": 1, "Id": ""}]}', "[" * 100_000),
    " " * 600_000,
]


def test_answers_that_do_not_help(
    platform: Sandbox, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error stays as it is, and is not delayed for long."""
    monkeypatch.setattr(removal, "PATIENCE", 0.5)
    for answer in STRANGE:
        platform.pages["/odata/v1/Products"] = answer
        assert explain(platform, platform.item_url(gone)) == "", answer[:40]
    platform.pages.clear()
    for fault in (
        "status=500",
        "status=429",
        "stall=60",
        "slow=10",
        f"redirect={platform.stranger}/",
    ):
        with_fault = platform.faults.add(f"on=catalogue {fault}")
        started = time.monotonic()
        assert explain(platform, platform.item_url(gone)) == "", fault
        assert time.monotonic() - started < 10
        platform.faults.remove(with_fault)
    assert not platform.log.of("stranger")
    assert explain(platform, f"{platform.catalogue}/x") == ""
