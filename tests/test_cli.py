"""The command as a process, against the sandbox."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import pystac
import pytest

from sandbox.server import Sandbox
from tests.conftest import SameTree, StageIn, slow_after

USAGE = b"""\
Usage: python -m app.app [OPTIONS]

  Stage a Sentinel-2 Level-1C product

Options:
  --input-item TEXT  Sentinel-2 Level-1C CDSE STAC Item URL  [required]
"""
HELP_COLUMN = 21
OTHER_OPTIONS = {
    *("--output-dir", "--assets", "--transport", "--connections", "--patience", "--no-verify"),
    *("--log-format", "--verbose", "--quiet", "--version", "-h,"),
}
STAGE_IN = Path(sys.executable).with_name("stage-in")


@pytest.mark.parametrize("columns", ["80", "200"])
def test_help(columns: str) -> None:
    environment = {**os.environ, "COLUMNS": columns}
    command = [sys.executable, "-m", "app.app", "--help"]
    shown = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
    assert shown.startswith(USAGE)
    options = set()
    listed, _, epilog = shown.decode().partition("Options:\n")[2].partition("\n\n")
    for line in listed.splitlines():
        option, text = line[:HELP_COLUMN], line[HELP_COLUMN:]
        assert option.endswith("  ")
        assert text.strip() == text != ""
        options |= {option.split()[0]} if option.strip() else set()
    assert options == OTHER_OPTIONS | {"--input-item"}
    for word in ("CDSE_ACCESS_TOKEN", "cdse-token", "Example:", "Exit codes:", "128+n"):
        assert word in epilog
    assert max(map(len, shown.decode().splitlines())) <= int(columns)


def test_help_of_the_installed_command() -> None:
    shown = subprocess.run([STAGE_IN, "--help"], capture_output=True, check=True).stdout
    assert shown.startswith(USAGE.replace(b"python -m app.app", b"stage-in"))


def test_help_imports_no_heavy_library() -> None:
    script = (
        "import sys\n"
        "from app.app import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "heavy = {'pystac', 'stactools', 'rasterio', 'requests', 'loguru', 'lxml'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[-1] == "[]"


def test_version() -> None:
    shown = subprocess.run([STAGE_IN, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.split()[-1] == version("stage-in")


STAGED = [
    *(("old", "legacy", "zip"), ("new", "new", "nodes")),
    *(("old", "new", "zip"), ("new", "legacy", "nodes")),
    *(("old", "legacy", "nodes"), ("new", "new", "zip")),
    *(("old", "new", "nodes"), ("new", "legacy", "zip")),
]


@pytest.mark.parametrize(("era", "generation", "transport"), slow_after(2, STAGED))
def test_stage(
    stage_in: StageIn,
    platform: Sandbox,
    request: pytest.FixtureRequest,
    era: str,
    generation: Literal["new", "legacy"],
    transport: str,
    assert_same_tree: SameTree,
) -> None:
    safe: Path = request.getfixturevalue(era)
    run = stage_in(platform.item_url(safe.name, generation), "--transport", transport)
    assert run.code == 0, run.log

    name = safe.name.removesuffix(".SAFE")
    catalog = stage_in.folder / "catalog"
    assert {path.name for path in stage_in.folder.iterdir()} == {"catalog"}
    assert {path.name for path in catalog.iterdir()} == {"catalog.json", name}
    assert {path.name for path in (catalog / name).iterdir()} == {
        *(safe.name, f"{name}.json", "thumbnail.png"),
    }
    assert_same_tree(safe, catalog / name / safe.name)
    assert not [path for path in catalog.rglob("*") if path.is_symlink()]
    assert "catalog/catalog.json" in run.reason

    moved = stage_in.folder.parent / "moved"
    catalog.rename(moved)
    (item,) = pystac.Catalog.from_file(str(moved / "catalog.json")).get_items(recursive=True)
    assert item.id == name
    hrefs = [asset.get_absolute_href() for asset in item.assets.values()]
    assert hrefs
    assert all(href is not None and Path(href).is_file() for href in hrefs)
    assert {asset.href.split("/")[1] for asset in item.assets.values()} == {
        *(safe.name, "thumbnail.png"),
    }
    links = json.loads((moved / name / f"{name}.json").read_text())["links"]
    assert {link["rel"]: link["href"] for link in links if link["rel"] in {"root", "parent"}} == {
        "root": "../catalog.json",
        "parent": "../catalog.json",
    }
    (via,) = (link["href"] for link in links if link["rel"] == "via")
    assert via == platform.item_url(safe.name, generation)


NAMES = ["a::b", "Ünï #%", "B12", "S2_B02", "tile_10m", "x_PVI", "run_30m"]


@pytest.mark.parametrize("name", slow_after(1, NAMES))
def test_the_name_of_the_working_folder_does_not_matter(
    stage_in: StageIn, platform: Sandbox, new: Path, tmp_path: Path, name: str
) -> None:
    plain = stage_in(platform.item_url(new.name), "--output-dir", str(tmp_path / "plain"))
    unusual = StageIn(platform, tmp_path / name)
    unusual.folder.mkdir()
    run = unusual(platform.item_url(new.name))
    assert (plain.code, run.code) == (0, 0), run.log
    item = f"{new.stem}/{new.stem}.json"
    assert (tmp_path / "plain" / item).read_text() == (
        unusual.folder / "catalog" / item
    ).read_text()


def test_item_from_a_file(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    (stage_in.folder / "item.json").write_text(json.dumps(platform.item(new.name)))
    run = stage_in("item.json", "--output-dir", "out/deep/catalog")
    assert run.code == 0, run.log
    assert (stage_in.folder / "out/deep/catalog/catalog.json").is_file()
    assert {exchange.role for exchange in platform.log} == {"download"}


def test_the_home_folder(stage_in: StageIn, platform: Sandbox, new: Path, tmp_path: Path) -> None:
    """Job orders and --output-dir=~/x reach the tool without a shell that would expand it."""
    home = tmp_path / "home"
    home.mkdir()
    item = platform.item_url(new.name)
    run = stage_in(item, "--output-dir=~/deep/x", HOME=str(home))
    assert run.code == 0, run.log
    assert (home / "deep/x/catalog.json").is_file()
    assert [path.name for path in (home / "deep").iterdir()] == ["x"]
    assert not list(stage_in.folder.iterdir())

    platform.log.clear()
    nobody = stage_in(item, "--output-dir", "~no-such-user/x")
    assert nobody.code == 2
    assert "--output-dir" in nobody.reason
    assert not platform.log.of("download")
    assert not list(stage_in.folder.iterdir())


@pytest.mark.parametrize(
    "pattern",
    slow_after(3, ["/tmp/x", "../x", "tile[32TQM]", "a/../b", "..", "x*", "x?", r"x\y", "~/x"]),
)
def test_an_output_that_a_workflow_runner_would_not_find(
    stage_in: StageIn, platform: Sandbox, new: Path, pattern: str
) -> None:
    """stage-in.cwl sets the variable to the pattern by which the runner collects the output."""
    run = stage_in(
        *(platform.item_url(new.name), "--output-dir", "catalog"), STAGE_IN_OUTPUT_GLOB=pattern
    )
    assert run.code == 2, run.log
    assert "output_dir" in run.reason
    assert repr(pattern) in run.reason
    assert len(platform.log) == 0
    assert not list(stage_in.folder.iterdir())


@pytest.mark.parametrize(
    "name", slow_after(1, ["deep/catalog", "Ünï #%{x}", "catalog", "a b", "x..y"])
)
def test_an_output_that_a_workflow_runner_finds(
    stage_in: StageIn, platform: Sandbox, new: Path, name: str
) -> None:
    run = stage_in(*(platform.item_url(new.name), "--output-dir", name), STAGE_IN_OUTPUT_GLOB=name)
    assert run.code == 0, run.log
    assert [*stage_in.folder.glob(name)] == [stage_in.folder / name]
    assert (stage_in.folder / name / "catalog.json").is_file()


def test_a_second_run(stage_in: StageIn, platform: Sandbox, new: Path, old: Path) -> None:
    assert stage_in(platform.item_url(new.name)).code == 0
    requested = len(platform.log.of("download"))
    again = stage_in(platform.item_url(new.name))
    assert again.code == 0
    assert "already" in again.reason
    assert len(platform.log.of("download")) == requested

    other = stage_in(platform.item_url(old.name))
    assert other.code == 73
    assert "Move it away, or choose another --output-dir" in other.reason
    assert len(platform.log.of("download")) == requested

    band = next((stage_in.folder / "catalog").rglob("*_B05.jp2"))
    band.write_bytes(band.read_bytes()[:-1] + b"x")
    broken = stage_in(platform.item_url(new.name))
    assert broken.code == 73
    assert "B05" in broken.reason
    assert {path.name for path in stage_in.folder.iterdir()} == {"catalog"}


def test_no_verify(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    run = stage_in(platform.item_url(new.name), "--no-verify")
    assert run.code == 0, run.log
    assert "lists, by size" in run.log
    item = stage_in.folder / "catalog" / new.stem / f"{new.stem}.json"
    assert json.loads(item.read_text())["properties"]["stage-in:verified"] is False


def test_a_token_that_cannot_be_one(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    for token in ("", "  \n", "(secret-0b1f5e9c)", "two words", "line\nbreak", "é"):
        run = stage_in(platform.item_url(new.name), CDSE_ACCESS_TOKEN=token)
        assert run.code == 77, run.log
        assert "CDSE_ACCESS_TOKEN" in run.reason
        assert "two words" not in run.log
    assert len(platform.log) == 0


def test_a_refused_token(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    run = stage_in(platform.item_url(new.name), CDSE_ACCESS_TOKEN=platform.mint(aud=[]))
    assert run.code == 77
    assert "DAT-ZIP-609" in run.reason
    assert not list(stage_in.folder.iterdir())


@pytest.mark.parametrize(
    ("content", "code", "complaint"),
    slow_after(
        4,
        [
            ({"type": "Catalog", "id": "x"}, 65, "there is Catalog"),
            ({"type": "FeatureCollection", "features": []}, 65, "contains no item"),
            ({"type": "Feature", "id": "x"}, 65, "There must be a valid STAC item"),
            (b"<!DOCTYPE html><html>Maintenance</html>", 65, "There must be a STAC item in JSON"),
            ([1, 2], 65, "there is list"),
            ({"type": "Feature", "id": 5, "assets": 1}, 65, "There must be a valid STAC item"),
            (b"\xff\xfe", 65, "There must be a STAC item in JSON"),
            (b"[" * 100_000, 65, "There must be a STAC item in JSON"),
            (b'{"type": "Feature", "id": NaN}', 65, "There must be a STAC item in JSON"),
        ],
    ),
)
def test_documents_that_are_no_item(
    stage_in: StageIn, platform: Sandbox, content: object, code: int, complaint: str
) -> None:
    platform.pages["/x.json"] = content
    run = stage_in(f"{platform.stac}/x.json", "--patience", "5")
    assert run.code == code
    assert complaint in run.reason
    assert not list(stage_in.folder.iterdir())


def test_a_missing_item(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    url = platform.item_url(new.name).replace("T32", "T33")
    run = stage_in(url)
    assert run.code == 66
    assert "404" in run.reason
    assert len(platform.log.of("stac", "*/items/*")) == 3
    assert stage_in("missing.json").code == 66


def test_level_2a_is_refused(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    item = platform.item(new.name)
    item["id"] = item["id"].replace("MSIL1C", "MSIL2A")
    platform.override_item(new.name, "new", item)
    run = stage_in(platform.item_url(new.name))
    assert run.code == 65
    assert "Level-2A" in run.reason
    assert not platform.log.of("download")


def test_the_uuid_of_another_product(
    stage_in: StageIn, platform: Sandbox, new: Path, old: Path
) -> None:
    item = platform.item(new.name)
    item["assets"]["Product"] = platform.item(old.name)["assets"]["Product"]
    platform.override_item(new.name, "new", item)
    run = stage_in(platform.item_url(new.name))
    assert run.code == 65
    assert old.stem in run.reason
    assert not list(stage_in.folder.iterdir())


def test_an_item_cannot_name_another_host(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    item = platform.item(new.name)
    href = item["assets"]["Product"]["href"]
    item["assets"]["Product"]["href"] = href.replace(platform.download, platform.stranger)
    platform.override_item(new.name, "new", item)
    run = stage_in(platform.item_url(new.name))
    assert run.code == 65
    assert "CDSE_TRUSTED_HOSTS" in run.reason
    assert not platform.log.of("stranger")


def test_a_redirect_to_another_host_is_refused(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    platform.faults.add("on=download redirect={stranger}{path}")
    run = stage_in(platform.item_url(new.name))
    assert run.code == 65
    assert "No request and no token was sent there" in run.reason
    assert not platform.log.of("stranger")


@pytest.mark.parametrize(
    "host", slow_after(1, ["stac..example", "stac.invalid", "x" * 70 + ".example"])
)
def test_a_host_that_does_not_exist(stage_in: StageIn, host: str) -> None:
    run = stage_in(f"https://{host}/item.json", "--patience", "1")
    assert run.code in (65, 75)
    assert "Traceback" not in run.log


@pytest.mark.parametrize("names", slow_after(1, ["red,rouge", "", "B13", ",", "B00", "preview"]))
def test_unknown_bands_are_refused_before_any_request(
    stage_in: StageIn, platform: Sandbox, new: Path, names: str
) -> None:
    run = stage_in(platform.item_url(new.name), "--assets", names)
    assert run.code == 2
    assert "band" in run.reason
    assert len(platform.log) == 0


@pytest.mark.parametrize("path", slow_after(1, ["app/__init__.py", "app.py"]))
def test_another_app_shadows_ours(
    stage_in: StageIn, platform: Sandbox, new: Path, tmp_path: Path, path: str
) -> None:
    """The installed command does not need the package `app`."""
    shadow = tmp_path / "shadow" / path
    shadow.parent.mkdir(parents=True)
    shadow.write_text("raise AssertionError('this is another app')\n")
    shown = subprocess.run(
        [STAGE_IN, "--input-item", platform.item_url(new.name)],
        cwd=stage_in.folder,
        env=stage_in.environment(PYTHONPATH=str(tmp_path / "shadow")),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shown.returncode == 0, shown.stderr
    assert (stage_in.folder / "catalog/catalog.json").is_file()
