"""docs/explore.ipynb shows what is in the catalog that it reads."""

import base64
import json
import os
import re
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from matplotlib.image import imread

from sandbox.server import Sandbox
from tests.conftest import ROOT, StageIn

NOTEBOOK = ROOT / "docs/explore.ipynb"
PYTHON = ROOT / ".venv/notebook/bin/python"
COLOURS = {"red": "B04", "green": "B03", "blue": "B02"}


def run_notebook(folder: Path, catalog: Path) -> subprocess.CompletedProcess[str]:
    """Run the notebook in its own environment, with a catalog."""
    assert PYTHON.exists(), "`make test-slow` installs the environment of the notebook"
    return subprocess.run(
        [PYTHON, ROOT / "docs/notebook.py", NOTEBOOK, folder / "output.ipynb"],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "STAGE_IN_CATALOG": str(catalog)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def read_outputs(notebook: Path) -> list[dict[str, Any]]:
    """Return the outputs of all cells."""
    cells = json.loads(notebook.read_text())["cells"]
    return [output for cell in cells for output in cell.get("outputs", [])]


def get_mean(safe: Path, band: str, offset: float) -> float:
    """Return the mean reflectance of a band of a product."""
    (path,) = safe.glob(f"GRANULE/*/IMG_DATA/*_{band}.jp2")
    with rasterio.open(path) as source:
        numbers = source.read(1).astype(float)
    return float((numbers[numbers != 0] * 0.0001 + offset).mean())


@pytest.mark.slow
@pytest.mark.parametrize(("era", "offset"), [("old", 0.0), ("new", -0.1)])
def test_notebook(
    stage_in: StageIn,
    platform: Sandbox,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    era: str,
    offset: float,
) -> None:
    safe: Path = request.getfixturevalue(era)
    staged = stage_in(platform.item_url(safe.name))
    assert staged.code == 0, staged.log
    run = run_notebook(tmp_path, stage_in.folder / "catalog")
    assert run.returncode == 0, run.stderr
    outputs = read_outputs(tmp_path / "output.ipynb")
    text = "".join("".join(output.get("text", "")) for output in outputs)
    assert text.startswith(f"{safe.stem}\n")
    shown = dict(re.findall(r"^(\w+) +mean reflectance ([\d.-]+)$", text, re.MULTILINE))
    expected = {colour: get_mean(safe, band, offset) for colour, band in COLOURS.items()}
    assert {name: float(mean) for name, mean in shown.items()} == pytest.approx(expected, abs=2e-5)
    total, checked = re.findall(r"(\d+) of (\d+) files are unchanged", text)[0]
    assert total == checked
    # The picture is more than axes on white: at least 30 % of its pixels have a colour.
    (png,) = filter(None, (output.get("data", {}).get("image/png") for output in outputs))
    pixels = np.asarray(imread(BytesIO(base64.b64decode(png)), format="png"))[..., :3]
    assert ((pixels.max(axis=-1) - pixels.min(axis=-1)) > 0.02).mean() > 0.3


@pytest.mark.slow
def test_without_a_catalog(tmp_path: Path) -> None:
    run = run_notebook(tmp_path, tmp_path / "nothing")
    assert run.returncode == 1
    assert "nothing/catalog.json" in run.stderr
    assert not (tmp_path / "output.ipynb").exists()


def test_the_committed_notebook_has_its_outputs() -> None:
    outputs = read_outputs(NOTEBOOK)
    assert outputs
    assert "error" not in {output["output_type"] for output in outputs}
