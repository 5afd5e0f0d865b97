"""The machine's faults are found before anything is downloaded, and blamed on the machine."""

import json
import os
import sys
from pathlib import Path

import pystac
import pytest

from sandbox.server import Sandbox
from stage_in import libraries
from stage_in.errors import UsageError
from stage_in.safe.images import Images
from stage_in.safe.manifest import MANIFEST
from tests.conftest import StageIn, slow_after

FOREIGN = {
    "PROJ_LIB": "/nonexistent",
    "PROJ_DATA": "/nonexistent",
    "GDAL_SKIP": "JP2OpenJPEG",
    "GDAL_DRIVER_PATH": "/nonexistent",
    "GDAL_DATA": "/nonexistent",
    "CPL_DEBUG": "ON",
    "PROJ_NETWORK": "ON",
    "OPENBLAS_NUM_THREADS": "many",
    "LOGURU_AUTOINIT": "perhaps",
    "LOGURU_DEBUG_NO": "many",
    "LOGURU_INFO_COLOR": "<no color>",
    "PYSTAC_STAC_VERSION_OVERRIDE": "0.9.0",
    "TZ": "AAA24",  # a day from UTC
}


def assert_no_file_was_requested(platform: Sandbox) -> None:
    """Check that nothing but the manifest was requested, which arrives while libraries load."""
    requested = {exchange.path.rpartition("/Nodes(")[2] for exchange in platform.log.of("download")}
    assert requested <= {f"{MANIFEST})/$value"}


@pytest.mark.parametrize(
    "names", slow_after(1, [[*FOREIGN], *([name] for name in FOREIGN)]), ids=" ".join
)
def test_settings_of_other_programs_do_no_harm(
    stage_in: StageIn, platform: Sandbox, new: Path, names: list[str]
) -> None:
    run = stage_in(platform.item_url(new.name), **{name: FOREIGN[name] for name in names})
    assert run.code == 0, run.log
    assert run.log.count("\n") == 3
    catalog = json.loads((stage_in.folder / "catalog" / "catalog.json").read_text())
    assert catalog["stac_version"] == pystac.get_stac_version()


def test_a_configuration_of_gdal_in_the_home_folder_does_no_harm(
    stage_in: StageIn, platform: Sandbox, new: Path, tmp_path: Path
) -> None:
    rules = tmp_path / ".gdal" / "gdalrc"
    rules.parent.mkdir()
    rules.write_text("[configoptions]\nGDAL_SKIP=JP2OpenJPEG\n")
    run = stage_in(platform.item_url(new.name), HOME=str(tmp_path))
    assert run.code == 0, run.log


def test_a_foreign_proj_database(
    stage_in: StageIn, platform: Sandbox, new: Path, tmp_path: Path
) -> None:
    (tmp_path / "proj.db").write_text("not a database")
    run = stage_in(platform.item_url(new.name), PROJ_DATA=str(tmp_path))
    assert run.code == 0, run.log


def test_a_build_without_data_of_its_own_keeps_its_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(libraries, "find_spec", lambda name: None)
    environment = {"PROJ_DATA": "/opt/conda/share/proj"}
    libraries.isolate(environment)
    assert environment["PROJ_DATA"] == "/opt/conda/share/proj"


def test_a_library_that_does_not_load(
    stage_in: StageIn, platform: Sandbox, new: Path, tmp_path: Path
) -> None:
    (tmp_path / "rasterio.py").write_text("raise ImportError('libexpat.so.1: cannot open')")
    run = stage_in(platform.item_url(new.name), PYTHONPATH=str(tmp_path))
    assert run.code == 2, run.log
    assert "libexpat.so.1" in run.reason
    assert_no_file_was_requested(platform)
    assert [*stage_in.folder.iterdir()] == []


def test_the_remedy_names_the_variables_of_other_programs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in os.environ:
        if name.startswith(libraries._PREFIXES):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PROJ_DATA", "/nonexistent")
    with (
        Images() as images,
        pytest.raises(UsageError, match="Unset PROJ_DATA, which may belong to another program"),
    ):
        libraries.Libraries(images).check()


@pytest.mark.parametrize("library", slow_after(1, ["libz.so.1", "libssl.so.3", "libstdc++.so.6"]))
def test_libraries_of_another_program(
    stage_in: StageIn, platform: Sandbox, new: Path, tmp_path: Path, library: str
) -> None:
    """Where the tool loads one of them, the message names the variable."""
    (tmp_path / library).write_text("no library")
    run = stage_in(platform.item_url(new.name), LD_LIBRARY_PATH=str(tmp_path))
    if run.code:
        assert run.code == 2, run.log
        assert f"A library can't be loaded ({tmp_path / library}: file too short)" in run.reason
        assert "Unset LD_LIBRARY_PATH" in run.reason
        assert_no_file_was_requested(platform)


@pytest.mark.skipif(sys.getfilesystemencoding() != "utf-8", reason="other names are valid here")
def test_a_path_that_is_not_utf_8(
    stage_in: StageIn, platform: Sandbox, new: Path, tmp_path: Path
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    run = StageIn(platform, folder)(platform.item_url(new.name))
    assert run.code == 2, run.log
    assert "--output-dir must be a path in UTF-8" in run.reason
    assert platform.log.of("download") == []


@pytest.mark.parametrize("parent", [".", "/tmp"])
def test_a_working_directory_that_was_removed(
    platform: Sandbox, new: Path, tmp_path: Path, parent: str
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    shell = ("sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh")
    run = StageIn(platform, folder, shell)(
        platform.item_url(new.name), "--output-dir", f"{parent}/catalog"
    )
    assert run.code == 73, run.log
    assert "The working directory can't be used" in run.reason
