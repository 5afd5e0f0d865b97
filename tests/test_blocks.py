"""Every command that these pages show runs as it is shown."""

from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.blocks import Block, Reader, read_blocks
from tests.conftest import ROOT

PAGES = (ROOT / "README.md", ROOT / "docs/start.md", ROOT / "docs/account.md")


def list_commands(page: Path) -> list[Block]:
    return [block for block in read_blocks(page) if block.is_command]


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_each_block_can_be_run(page: Path) -> None:
    """Each block names its language, and leaves nothing for the reader to fill in."""
    commands = list_commands(page)
    assert commands
    for block in commands:
        assert block.fill("http://127.0.0.1/item")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("```fish\nls\n```\n", "found 'fish'"),
        ("```sh\nstage-in --input-item <url>\n```\n", "found '<url>'"),
        ("And:\n\n    catalog/<name>.SAFE\n", "found '<name>'"),
    ],
    ids=["language", "placeholder", "drawing"],
)
def test_a_block_that_can_not_be_run_is_refused(tmp_path: Path, text: str, wrong: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match=wrong):
        test_each_block_can_be_run(page)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # the blocks install four environments, as fast as the index answers
def test_blocks(platform: Sandbox, tmp_path: Path, new: Path) -> None:
    """They run in the order of the pages. `make test-runners` runs those that need an engine."""
    reader = Reader(tmp_path, platform, platform.item_url(new.name))
    reader.settle()
    wrong = Block("page.md:1", "sh", frozenset(), "false\ntrue\n")
    assert reader.run(wrong).returncode == 1
    for block in (block for page in PAGES for block in list_commands(page)):
        if not block.needs_engine:
            run = reader.run(block)
            assert run.returncode == 0, f"{block.place}\n{run.stdout}{run.stderr}"
