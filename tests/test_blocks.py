"""Every command that the README and the start page show can be run as it is shown."""

from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.blocks import Block, Reader, read_blocks
from tests.conftest import ROOT

PAGES = (ROOT / "README.md", ROOT / "docs/start.md")
each_page = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])


@pytest.fixture
def reader(platform: Sandbox, tmp_path: Path, new: Path) -> Reader:
    reader = Reader(tmp_path, platform, platform.item_url(new.name))
    reader.settle()
    return reader


def list_commands(page: Path) -> list[Block]:
    return [block for block in read_blocks(page) if block.is_command]


@each_page
def test_each_block_can_be_run(page: Path) -> None:
    """It says what it is, and leaves nothing to be filled in."""
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
def test_what_can_not_be_run_is_refused(tmp_path: Path, text: str, wrong: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match=wrong):
        test_each_block_can_be_run(page)


def test_what_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n\n<!-- account -->\n\n```sh\none\n```\n\n    two\n\n- a list\n\n  ```text\n  three\n"
        "  ```\n\n```sh\nmake image\n```\n\n<!-- account -->\n\nA line.\n\n    cdse-token\n"
    )
    one, two, three, four, five = read_blocks(page)
    assert [block.text for block in (one, two, three)] == ["one\n", "two\n", "three\n"]
    assert one.place == "page.md:5"
    assert [block.is_command for block in (one, two, three)] == [True, True, False]
    assert [block.needs_account for block in (one, two, four, five)] == [True, False, False, True]
    assert [block.needs_engine for block in (one, two, four, five)] == [False, False, True, False]
    assert five.marks == frozenset()


@pytest.mark.slow
def test_blocks(reader: Reader) -> None:
    """From top to bottom, but for those that need an engine: they are `make test-runners`'."""
    for block in (block for page in PAGES for block in list_commands(page)):
        if not block.needs_engine:
            run = reader.run(block)
            assert run.returncode == 0, f"{block.place}\n{run.stdout}{run.stderr}"


@pytest.mark.slow
def test_a_block_that_fails(reader: Reader) -> None:
    """Not its last command only; and it sees nothing of who runs it."""
    wrong = Block("page.md:1", "sh", frozenset(), "false\ntrue\n")
    assert reader.run(wrong).returncode == 1
    bare = Block("page.md:2", "sh", frozenset(), "command -v python3 cdse-token; pwd; env\n")
    shown = reader.run(bare).stdout.split()
    assert shown[:2] == [str(reader.folder / "python/bin/python3"), str(reader.clone)]
    assert "PYTEST_CURRENT_TEST" not in " ".join(shown)
