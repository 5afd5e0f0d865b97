"""Products at the path that they have in a staged catalog."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.product import NEW, Recipe, make_product
from tests.conftest import PIXELS

Make = Callable[..., Path]
Copy = Callable[[Path], Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a product of a recipe with some changes."""

    def made(recipe: Recipe = NEW, **changes: Any) -> Path:
        recipe = replace(recipe, **{"pixels": PIXELS, **changes})
        return make_product(tmp_path / "catalog" / recipe.name.removesuffix(".SAFE"), recipe)

    return made


@pytest.fixture
def copied(tmp_path: Path) -> Copy:
    """Copy a product."""

    def copy(safe: Path) -> Path:
        return shutil.copytree(safe, tmp_path / "catalog" / safe.stem / safe.name)

    return copy
