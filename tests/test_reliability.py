"""What docs/reliability.md says is what is tested."""

import re

from stage_in.safe.manifest import MAX_FILES, MAX_PRODUCT_SIZE
from stage_in.safe.xml import MAX_XML_SIZE
from stage_in.sources.platform_item import MAX_ITEM_SIZE
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
    assert f"items of {MAX_ITEM_SIZE // 2**20} MB, XML of {MAX_XML_SIZE // 2**20} MB" in PROSE
    assert f"products of {MAX_PRODUCT_SIZE // 10**9} GB" in PROSE
    assert f"and {MAX_FILES:,} files" in PROSE
