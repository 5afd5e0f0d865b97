"""docs/explore.ipynb shows what is in the catalog that it is given."""

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


class Shown:
    """What the cells of a notebook show."""

    def __init__(self, notebook: Path) -> None:
        cells = json.loads(notebook.read_text())["cells"]
        self.code = [cell for cell in cells if cell["cell_type"] == "code"]
        self.outputs: list[dict[str, Any]] = [
            output for cell in self.code for output in cell["outputs"]
        ]

    @property
    def text(self) -> str:
        """What was printed."""
        return "".join("".join(output.get("text", "")) for output in self.outputs)

    @property
    def picture(self) -> "np.ndarray[Any, Any]":
        """The only picture."""
        data = [output.get("data", {}).get("image/png") for output in self.outputs]
        (png,) = filter(None, data)
        return np.asarray(imread(BytesIO(base64.b64decode(png)), format="png"))

    @property
    def reflectance(self) -> dict[str, float]:
        """The means of the colours."""
        found = re.findall(r"^(\w+) +mean reflectance ([\d.-]+)$", self.text, re.MULTILINE)
        return {name: float(mean) for name, mean in found}


def run_notebook(folder: Path, catalog: Path) -> subprocess.CompletedProcess[str]:
    """Run it with a catalog, in the environment that is made for it."""
    assert PYTHON.exists(), "no environment for the notebook: `make test-slow` installs it"
    return subprocess.run(
        [PYTHON, ROOT / "docs/notebook.py", NOTEBOOK, folder / "output.ipynb"],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "STAGE_IN_CATALOG": str(catalog)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def get_means(safe: Path, offset: float) -> dict[str, float]:
    """Means of reflectance, from the product itself."""
    means = {}
    for colour, band in COLOURS.items():
        (path,) = safe.glob(f"GRANULE/*/IMG_DATA/*_{band}.jp2")
        with rasterio.open(path) as source:
            numbers = source.read(1).astype(float)
        means[colour] = float((numbers[numbers != 0] * 0.0001 + offset).mean())
    return means


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
    shown = Shown(tmp_path / "output.ipynb")
    assert shown.text.startswith(f"{safe.stem}\n")
    assert shown.reflectance == pytest.approx(get_means(safe, offset), abs=0.00002)
    total, checked = re.findall(r"(\d+) of (\d+) files are unchanged", shown.text)[0]
    assert total == checked
    # More than axes on white: most of its pixels have a colour.
    pixels = shown.picture[..., :3]
    assert ((pixels.max(axis=-1) - pixels.min(axis=-1)) > 0.02).mean() > 0.3


@pytest.mark.slow
def test_without_a_catalog(tmp_path: Path) -> None:
    run = run_notebook(tmp_path, tmp_path / "nothing")
    assert run.returncode == 1
    assert "nothing/catalog.json" in run.stderr
    assert not (tmp_path / "output.ipynb").exists()


def test_as_it_is_committed() -> None:
    """Small, run from top to bottom, and silent about where."""
    text = NOTEBOOK.read_text()
    assert len(text) < 300_000
    assert str(ROOT) not in text
    shown = Shown(NOTEBOOK)
    assert [cell["execution_count"] for cell in shown.code] == list(range(1, len(shown.code) + 1))
    assert not [output for output in shown.outputs if output["output_type"] == "error"]
    assert shown.reflectance.keys() == COLOURS.keys()
    assert shown.picture.size
