"""The functions that other Python code calls, in this process and in another one."""

import doctest
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pystac
import pytest
from loguru import logger
from pystac.stac_io import StacIO

from app.app import download_and_extract_file
from sandbox.server import Sandbox
from stage_in import (
    CredentialsError,
    NotFoundError,
    OutputError,
    ProductError,
    StageInError,
    TemporaryError,
    UsageError,
    stage,
)
from tests.conftest import SameTree, StageIn, slow_after
from tests.sources.downloads import count_downloads


def read_process_state() -> dict[str, object]:
    """Return what a library must not change in the process that calls it."""
    return {
        "handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "log": dict(logger._core.handlers),  # type: ignore[attr-defined]
        "patcher": logger._core.patcher,  # type: ignore[attr-defined]
        "hooks": (sys.excepthook, threading.excepthook),
        "pystac": type(StacIO.default()),
        "folder": Path.cwd(),
        "environment": dict(os.environ),
    }


@pytest.fixture(autouse=True)
def process(
    platform: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.MonkeyPatch:
    """This process in an empty folder, with an environment that leads to the sandbox."""
    folder = tmp_path / "calls"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in os.environ:
        if name.startswith(("CDSE_", "REQUESTS_CA_", "CURL_CA_")) or name.upper().endswith(
            "_PROXY"
        ):
            monkeypatch.delenv(name)
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CDSE_ACCESS_TOKEN", platform.mint())
    return monkeypatch


def test_stage(platform: Sandbox, new: Path, assert_same_tree: SameTree) -> None:
    before = read_process_state()
    catalog = stage(platform.item_url(new.name))
    assert read_process_state() == before

    assert isinstance(catalog, pystac.Catalog)
    assert catalog.get_self_href() == str(Path("catalog/catalog.json").absolute())
    (item,) = catalog.get_items()
    assert item.id == new.stem
    assert all(Path(str(asset.get_absolute_href())).is_file() for asset in item.assets.values())
    assert_same_tree(new, Path("catalog", new.stem, new.name))


def test_stage_in_a_child_process(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree
) -> None:
    script = """
import signal, sys
from loguru import logger
from pystac.stac_io import StacIO
from stage_in import stage

def read_state():
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    return handlers, signal.pthread_sigmask(signal.SIG_BLOCK, []), dict(logger._core.handlers)

before = read_state()
catalog = stage(sys.argv[1], "out", assets=["B04"])
assert read_state() == before
print([item.id for item in catalog.get_items()])
"""
    shown = stage_in.run_python(script, platform.item_url(new.name))
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == f"{[new.stem]}\n"


def test_stage_an_item_that_was_read_already(platform: Sandbox, new: Path) -> None:
    item = pystac.Item.from_dict(platform.item(new.name))
    fields = item.to_dict(transform_hrefs=False)
    catalog = stage(item, Path("out"), transport="zip")
    assert [item.id for item in catalog.get_items()] == [new.stem]
    assert item.to_dict(transform_hrefs=False) == fields
    assert {exchange.role for exchange in platform.log} == {"download"}


def test_stage_an_item_at_a_path(platform: Sandbox, new: Path) -> None:
    Path("item.json").write_text(json.dumps(platform.item(new.name)))
    assert [item.id for item in stage("item.json", "out").get_items()] == [new.stem]


def test_stage_in_another_thread(platform: Sandbox, new: Path) -> None:
    """Only the main thread could install signal handlers."""
    with ThreadPoolExecutor(1) as pool:
        catalog = pool.submit(stage, platform.item_url(new.name)).result()
    assert [item.id for item in catalog.get_items()] == [new.stem]


def test_options_have_their_effect(platform: Sandbox, new: Path) -> None:
    catalog = stage(platform.item_url(new.name), assets=["B04", "nir"], connections=1, verify=False)
    (item,) = catalog.get_items()
    assert "red" in item.assets
    assert "blue" not in item.assets
    assert item.properties["stage-in:verified"] is False
    assert platform.log.most_open(path="*$value") == 1


def test_a_second_call_verifies_and_downloads_nothing(platform: Sandbox, new: Path) -> None:
    url = platform.item_url(new.name)
    first = stage(url)
    platform.log.clear()
    assert stage(url).to_dict() == first.to_dict()
    assert [exchange.role for exchange in platform.log] == ["stac"]

    band = next(Path("catalog").rglob("*_B05.jp2"))
    band.write_bytes(band.read_bytes()[:-1] + b"x")
    with pytest.raises(OutputError, match="B05"):
        stage(url)


@pytest.mark.slow
def test_a_call_after_a_failure_resumes(platform: Sandbox, new: Path) -> None:
    fault = platform.faults.add("on=download path=*_B12.jp2* status=503")
    with pytest.raises(TemporaryError, match="no new data arrived") as caught:
        stage(platform.item_url(new.name), patience=10)
    assert any("resume" in note for note in caught.value.__notes__)
    platform.faults.remove(fault)
    before = count_downloads(platform)
    platform.log.clear()
    stage(platform.item_url(new.name))
    assert 0 < len(count_downloads(platform)) < len(before) / 2


@pytest.mark.parametrize("ambient", [None, "two words", "expired"])
def test_an_access_token_as_an_argument(
    process: pytest.MonkeyPatch, platform: Sandbox, new: Path, ambient: str | None
) -> None:
    """It replaces all credentials in the environment."""
    process.delenv("CDSE_ACCESS_TOKEN")
    process.delenv("CDSE_IDENTITY_URL")
    if ambient is not None:
        token = platform.mint(-1) if ambient == "expired" else ambient
        process.setenv("CDSE_ACCESS_TOKEN", token)
        process.setenv("CDSE_USERNAME", "someone")
        process.setenv("CDSE_PASSWORD", "wrong")
    token = platform.mint()
    stage(platform.item_url(new.name), assets=["B01"], access_token=token)
    assert {x.header("Authorization") for x in platform.log.of("download", "*$value")} == {
        f"Bearer {token}"
    }


@pytest.mark.parametrize(
    "arguments",
    [
        {"assets": ["B99"]},
        {"assets": []},
        {"assets": "B04 B08"},
        {"transport": "carrier pigeon"},
        {"connections": 0},
        {"connections": 5},
        {"patience": 0},
        {"patience": -1},
        {"patience": float("nan")},
        {"output_dir": ".."},
        {"output_dir": ""},
        {"output_dir": "a#b"},
        {"output_dir": "a?b"},
        {"output_dir": "a\\b"},
    ],
    ids=repr,
)
def test_arguments_out_of_range(platform: Sandbox, new: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"must|band|at most|no item"):
        stage(platform.item_url(new.name), **arguments)
    assert not platform.log.of("download")
    assert "output_dir" in arguments or len(platform.log) == 0
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    "variables",
    [
        {"CDSE_TRUSTED_HOSTS": "mirror.example"},
        {"CDSE_IDENTITY_URL": "identity.example"},
        {"HTTP_PROXY": "socks://proxy.example"},
        {"REQUESTS_CA_BUNDLE": "/no/such/file"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_variables_that_cannot_be_used(
    process: pytest.MonkeyPatch, platform: Sandbox, new: Path, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        process.setenv(name, value)
    with pytest.raises(UsageError, match=next(iter(variables))):
        stage(platform.item_url(new.name))
    assert len(platform.log) == 0


def test_no_credentials(process: pytest.MonkeyPatch, platform: Sandbox, new: Path) -> None:
    process.delenv("CDSE_ACCESS_TOKEN")
    with pytest.raises(CredentialsError, match="there is no token"):
        stage(platform.item_url(new.name))
    for token in ("", "two words"):
        with pytest.raises(CredentialsError):
            stage(platform.item_url(new.name), access_token=token)
    assert len(platform.log) == 0


@pytest.mark.parametrize(
    ("fault", "kind"),
    slow_after(
        3,
        [
            ("on=stac status=404", NotFoundError),
            ("on=stac html", ProductError),
            ("on=stac status=503", TemporaryError),
            ("on=download status=403", CredentialsError),
            ("on=download status=429", TemporaryError),
            ("on=download redirect={stranger}{path}", ProductError),
        ],
    ),
)
def test_failures_of_the_platform(
    platform: Sandbox, new: Path, fault: str, kind: type[StageInError]
) -> None:
    platform.faults.add(fault)
    before = read_process_state()
    with pytest.raises(kind) as caught:
        stage(platform.item_url(new.name), patience=5)
    assert isinstance(caught.value, StageInError)
    assert read_process_state() == before
    assert not Path("catalog").exists()


def test_failures_on_this_machine(platform: Sandbox, new: Path) -> None:
    with pytest.raises(NotFoundError, match=r"missing\.json"):
        stage("missing.json")
    Path("catalog").mkdir()
    Path("catalog/mine.txt").touch()
    with pytest.raises(OutputError, match="Move it away"):
        stage(platform.item_url(new.name))
    assert [path.name for path in Path.cwd().rglob("*")] == ["catalog", "mine.txt"]


@pytest.mark.parametrize("transport", ["nodes", "zip"])
@pytest.mark.parametrize(
    "error", [ValueError("I/O operation on closed file"), OSError(32, "Broken pipe"), KeyError(1)]
)
def test_exceptions_of_the_callback(
    platform: Sandbox, new: Path, error: Exception, transport: str
) -> None:
    """They are neither failures of the server, which would be repeated, nor of the disk."""

    def fail(received: int, expected: int) -> None:
        if received:
            raise error

    with pytest.raises(type(error)) as caught:
        stage(platform.item_url(new.name), transport=transport, progress=fail)
    assert caught.value is error
    assert not Path("catalog").exists()
    assert set(count_downloads(platform).values()) == {1}


def test_a_bug_whose_causes_form_a_circle(
    platform: Sandbox, new: Path, process: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        first, second = ValueError("first"), ValueError("second")
        first.__cause__, second.__cause__ = second, first
        raise first

    process.setattr("stage_in.staging.Staging.stage_catalog", fail)
    with pytest.raises(ValueError, match="first"):
        stage(platform.item_url(new.name))


def test_the_example_in_the_docstring(platform: Sandbox, new: Path) -> None:
    assert stage.__doc__
    variables = {"item_url": platform.item_url(new.name)}
    example = doctest.DocTestParser().get_doctest(stage.__doc__, variables, "stage", None, 0)
    results = doctest.DocTestRunner().run(example)
    assert results.failed == 0
    assert results.attempted >= 4
    assert Path("my-catalog/catalog.json").is_file()


def test_the_import_loads_no_heavy_library() -> None:
    script = (
        "import sys, stage_in\n"
        "heavy = {'pystac', 'stactools', 'rasterio', 'requests', 'loguru', 'click', 'lxml'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (shown.stdout, shown.stderr) == ("[]\n", "")


def test_download_and_extract_file(
    platform: Sandbox, new: Path, assert_same_tree: SameTree
) -> None:
    item = pystac.Item.from_dict(platform.item(new.name, "legacy"))
    before = read_process_state()
    for _ in range(2):
        assert download_and_extract_file(item, platform.mint()) == new.name
        assert {path.name for path in Path.cwd().iterdir()} == {new.name}
        assert_same_tree(new, Path(new.name))
    assert read_process_state() == before
