"""The documentation agrees with the code."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cogapp import Cog

from stage_in import errors
from tests.blocks import read_blocks
from tests.conftest import ROOT, StageIn

DOCS = ROOT / "docs"
PACKAGE = ROOT / "command-line-tools/stage-in/src/stage_in"
PAGES = [*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("deploy/*/*.md")]
# Sizes and digests of the example's images depend on the version of their encoder.
ENCODED = re.compile(r'("file:size": )\d+|("file:checksum": "(?:1620|d50110))[0-9a-f]+')
KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and kind is not errors.StageInError
}
# Their messages are a server's answer, or never reach the user.
UNDOCUMENTED = {"UnauthorizedError", "BusyError", "RefusedError", "SourceError"}


def test_generated_parts_are_up_to_date() -> None:
    """If this fails, run `make docs-generated` and look at what has changed."""
    cog = Cog()
    cog.options.print_output = True
    cog.options.prologue = "from website import show"
    for page in PAGES:
        text = page.read_text()
        generated = cog.process_string(text, page.name)
        assert ENCODED.sub(r"\1\2", generated) == ENCODED.sub(r"\1\2", text), page.name


def test_links_of_the_repository() -> None:
    broken = [
        (page.name, target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)\s#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_exit_codes() -> None:
    text = (DOCS / "environment.md").read_text()
    rows = re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE)
    documented = {int(code) for row in rows for code in row.split(",")}
    codes = {kind.exit_code for kind in KINDS.values()} - {errors.StageInError.exit_code}
    assert documented == codes | {0}


# -- Troubleshooting


def list_nodes() -> Iterator[ast.AST]:
    """Return the nodes of the syntax trees of all modules that the command uses."""
    for path in set(PACKAGE.rglob("*.py")) - {PACKAGE / "api.py"}:
        yield from ast.walk(ast.parse(path.read_text()))


def flatten(node: ast.AST) -> str:
    """Return a text of the code, with `…` in place of the values that are filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(flatten(part) for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else "…"


def list_patterns() -> dict[str, list[str]]:
    """Return the sentences of the messages that the page quotes, by section."""
    patterns: dict[str, list[str]] = {}
    for section in (DOCS / "troubleshooting.md").read_text().split("\n## ")[1:]:
        headings = re.findall("^#### (.+)$", section, re.MULTILINE)
        patterns[re.split("[:\n]", section)[0]] = [
            sentence
            for heading in headings
            for pattern in re.findall("`([^`]+)`", heading.partition(" with ")[0])
            for sentence in re.split(r"\. (?=[A-Z])", pattern)
        ]
    return patterns


def matches(pattern: str, text: str) -> bool:
    """Return whether a text has the words of a pattern, in their order."""
    pieces = [re.escape(piece) for piece in pattern.split("…") if piece.strip()]
    return bool(pieces) and re.search(".*".join(pieces), text, re.IGNORECASE) is not None


def test_each_documented_message_is_in_the_code() -> None:
    nodes = (node for node in list_nodes() if isinstance(node, ast.JoinedStr | ast.Constant))
    texts = {flatten(node) for node in nodes}
    patterns = [pattern for section in list_patterns().values() for pattern in section]
    assert len(patterns) > 40
    assert [one for one in patterns if not any(matches(one, text) for text in texts)] == []


@pytest.mark.parametrize("code", [2, 66, 73, 75, 77])
def test_each_message_of_the_code_is_documented(code: int) -> None:
    """65 is not tested: it has many messages, and the page quotes the common ones."""
    kinds = {name for name, kind in KINDS.items() if kind.exit_code == code} - UNDOCUMENTED
    messages = [
        flatten(node.args[0])
        for node in list_nodes()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in kinds and node.args
    ]
    messages = [message for message in messages if message.strip("… :.")]
    assert messages
    patterns = list_patterns()[str(code)]
    assert [one for one in messages if not any(matches(words, one) for words in patterns)] == []


def test_last_lines_of_a_job_are_documented() -> None:
    """docs/runners.md explains the messages of deploy/calrissian/run.py, and no others."""
    program = ast.parse((ROOT / "deploy/calrissian/run.py").read_text())
    calls = (node for node in ast.walk(program) if isinstance(node, ast.Call) and node.args)
    texts = {flatten(call.args[0]) for call in calls}
    lines = [text for text in texts if text.startswith(("check: ", "The tool has ended "))]
    # What follows a second colon comes from Kubernetes or the tool, or is not quoted in full.
    messages = {":".join(line.split(":")[:2]) for line in lines} - {"check: the pod … waits"}
    page = (DOCS / "runners.md").read_text()
    rows = re.findall("^\\| `((?:check:|The tool has) [^`]+)`", page, re.MULTILINE)
    assert len(messages) > 8
    assert [one for one in messages if not any(matches(one, row) for row in rows)] == []
    assert [row for row in rows if not any(matches(one, row) for one in messages)] == []


def test_messages_of_real_failures_are_documented(stage_in: StageIn, new: Path) -> None:
    item = stage_in.platform.item_url(new.name)
    (stage_in.folder / "note").write_text("not a catalog")
    runs = [
        stage_in(item, "--output-dir", "."),
        stage_in(item, CDSE_TRUSTED_HOSTS="mirror.example"),
        stage_in(item, REQUESTS_CA_BUNDLE="nowhere.pem"),
        stage_in(item, CDSE_ACCESS_TOKEN=""),
        stage_in(item, CDSE_ACCESS_TOKEN=stage_in.platform.mint(-1)),
        stage_in(item, "--output-dir", "note"),
        stage_in("nowhere.json"),
        stage_in(item.replace("MSIL1C", "MSIL2A"), "--patience", "5"),
        stage_in(stage_in.platform.override_item(new.name, "new", {"type": "Collection"})),
    ]
    assert {run.code for run in runs} == {2, 77, 73, 66, 65}
    patterns = list_patterns()
    for run in runs:
        assert any(matches(words, run.reason) for words in patterns[str(run.code)]), run.reason


# -- Examples


def test_the_example_item_has_every_property() -> None:
    """Each property that a staged item has is shown, and explained in the text."""
    from website import show

    text = (DOCS / "item-example.md").read_text()
    blocks = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    shown = {name for block in blocks for name in json.loads(block).get("properties", {})}
    assert shown == set(show.stage_example()["properties"])
    prose = re.sub(r"```json.*?```|<!--.*?-->", "", text, flags=re.DOTALL)
    assert {name for name in shown - {"title"} if f"`{name}`" not in prose} == set()


def run_python(page: str, folder: Path) -> str:
    """Run the Python block of a page in a folder, and return what it prints."""
    (code,) = [block.text for block in read_blocks(DOCS / page) if block.language == "python"]
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def test_python_of_the_sandbox(tmp_path: Path) -> None:
    run_python("sandbox.md", tmp_path)


@pytest.mark.slow
def test_commands_of_the_sandbox(tmp_path: Path) -> None:
    """They run one after the other in one shell, except those that make the environment."""
    blocks = [block for block in read_blocks(DOCS / "sandbox.md") if block.language == "sh"]
    script = "".join(block.text for block in blocks if "setup" not in block.marks)
    log = tmp_path / "log"
    with log.open("w") as stream:
        shell = subprocess.Popen(
            ["sh", "-euc", script],
            cwd=tmp_path,
            env={"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        try:
            assert shell.wait(timeout=180) == 0, log.read_text()
        finally:
            with suppress(ProcessLookupError):  # A failed block leaves its sandbox running.
                os.killpg(shell.pid, signal.SIGKILL)
    for folder in ("catalog", "in-spite-of-it"):
        assert (tmp_path / folder / "catalog.json").is_file()


def test_python_of_the_readme() -> None:
    """It is a block of docs/read.md, which `make test-readers` runs."""
    blocks = [
        [block for block in read_blocks(page) if block.language == "python"]
        for page in (ROOT / "README.md", DOCS / "read.md")
    ]
    ((shown,), tested) = blocks
    assert shown.text in [block.text for block in tested if "odc-stac" in block.marks]
