"""What docs/reliability.md says is what is tested."""

import re

from app.document import LARGEST_XML
from app.item import LARGEST_ITEM
from app.manifest import LARGEST_NUMBER_OF_FILES, LARGEST_PRODUCT
from tests.conftest import ROOT
from tests.test_faults import MATRIX

PAGE = (ROOT / "docs/reliability.md").read_text()
PROSE = " ".join(PAGE.split())


def test_the_matrix_is_the_one_that_is_run() -> None:
    assert f"```text\n{MATRIX}```" in PAGE


def test_commands() -> None:
    promises = PAGE.partition("## Faults")[0]
    files = re.findall(r"tests/\w+\.py", promises)
    targets = re.findall(r"make ([a-z-]+)", PAGE)
    known = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert len(files) > 10
    assert not [path for path in files if not (ROOT / path).is_file()]
    assert {"fuzz", "soak", "test-slow"} <= set(targets) <= set(known)


def test_bounds() -> None:
    assert f"items of {LARGEST_ITEM // 2**20} MB, XML of {LARGEST_XML // 2**20} MB" in PROSE
    assert f"products of {LARGEST_PRODUCT // 10**9} GB" in PROSE
    assert f"and {LARGEST_NUMBER_OF_FILES:,} files" in PROSE
