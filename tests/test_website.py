"""The site shows what there is: nothing left out, nothing that was true once."""

import ast
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import click
import pytest
import rasterio
import yaml

import app.app
from sandbox.faults import _READ, Fault
from sandbox.product import NEW, make_product
from sandbox.server import Sandbox
from stage_in import errors
from stage_in.transfer.trust import IDENTITY_URL, PLATFORM_ORIGINS
from tests.conftest import ROOT, StageIn
from website import browser, cwl, example, generated, pages

DOCS = ROOT / "docs"
PACKAGE = ROOT / "command-line-tools/stage-in/src/stage_in"
KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and kind is not errors.StageInError
}
# Their messages are the answer of a server, or told by another row.
UNTOLD = {"UnauthorizedError", "BusyError", "RefusedError"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the site is built of."""
    folder = tmp_path_factory.mktemp("site") / "docs"
    pages.build(folder)
    return folder


def test_every_page_is_in_the_navigation(site: Path) -> None:
    settings = tomllib.loads((ROOT / "website/zensical.toml").read_text())
    shown = [page for _, page in browser.list_nav(settings["project"]["nav"])]
    assert sorted(shown) == sorted(path.with_suffix(".html").name for path in site.glob("*.md"))


def test_links_lead_somewhere(site: Path) -> None:
    """Within the site, whatever they lead to in the repository."""
    links = [
        (page.name, target)
        for page in site.glob("*.md")
        for target in re.findall(r"\]\(([^)\s#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (site / target).exists()
    ]
    assert not links


def test_links_of_the_repository() -> None:
    """They lead to files there, so that pages read well there, too."""
    for file in pages.list_pages():
        page = ROOT / file
        for target in re.findall(r"\]\(([^)\s#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{file}: {target}"


def test_a_link_to_nothing_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pages._move("[gone](gone.md)", "docs/start.md", tmp_path)


def test_a_link_becomes_the_page_that_was_made_of_its_file(tmp_path: Path) -> None:
    text = "[a](../stage-in.cwl) [b](../CONTRIBUTING.md#tests) [c](../sandbox) ![d](x.png)"
    (moved,) = [pages._move(text.replace("x.png", "classification.png"), "docs/x.md", tmp_path)]
    assert moved == "[a](cwl.md) [b](contributing.md#tests) c ![d](classification.png)"


@pytest.mark.parametrize("file", list(pages.list_pages()))
def test_what_pages_show_is_what_there_is(file: str) -> None:
    """If this fails: `make docs-generated`, and look at what has changed."""
    text = (ROOT / file).read_text()
    assert example.mask(generated.renew(text)) == example.mask(text)
    marks = re.findall("^<!-- generated:", text, re.MULTILINE)
    assert len(marks) == len(generated.BLOCK.findall(text))


def test_links_of_the_site_are_checked(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1> <a href="b.html#part">b</a> <a href="#top">up</a>'
        '<a href="https://elsewhere.example/">there</a>'
        '<a href="c.html">c</a> <a href="b.html#other">b</a> <img src="d.png">'
    )
    (tmp_path / "b.html").write_text('<p id="part">B</p>')
    wrong = browser.check_links(tmp_path)
    assert [line.partition(" for ")[2].split(",")[0] for line in wrong] == [
        *("c.html", "b.html#other", "d.png")
    ]


def test_the_picture_of_modules_has_each(site: Path) -> None:
    text = (site / "contributing.md").read_text()
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "errors"}
    assert set(re.findall(r"^  m_\w+\[(\w+)\]$", text, re.MULTILINE)) == modules
    table = text.partition("| module | knows |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)\.py`", table)) == modules | {"errors"}


def test_the_cwl_reference_has_all(site: Path) -> None:
    text = (site / "cwl.md").read_text()
    tool = yaml.safe_load((ROOT / "stage-in.cwl").read_text())
    own = text.partition("## Workflows")[0]
    for name, given in tool["inputs"].items():
        assert f"| `{name}` | `{given['type']}` |" in own
        assert given["doc"] in own
    assert "`CDSE_ACCESS_TOKEN`" in own
    assert "`networkAccess: true`" in own
    assert "`--output-dir`" in own
    for name in (*tool["outputs"], *tool["requirements"], *tool["hints"]):
        assert f"`{name}`" in own
    assert "75 is a" in own
    for path in (ROOT / "workflows").glob("*.cwl"):
        workflow = yaml.safe_load(path.read_text())
        if workflow["class"] == "Workflow":
            part = text.partition(f"### `{path.name}`")[2].partition("\n### ")[0]
            for name in (*workflow["inputs"], *workflow["outputs"]):
                assert f"| `{name}` |" in part
            for name in workflow["steps"]:
                assert f"<b>{name}" in part


def test_the_step_that_stages_is_set_off() -> None:
    picture = cwl.draw(ROOT / "workflows/tile-classification.cwl")
    assert "stage_in -- staged --> classify" in picture
    assert re.findall(r"class (\w+) own$", picture, re.MULTILINE) == ["stage_in"]


def test_the_command_reference_has_every_option(site: Path) -> None:
    from app.app import main as stage_in
    from stage_in.login import main as cdse_token

    text = (site / "commands.md").read_text()
    for name, command in (("stage-in", stage_in), ("cdse-token", cdse_token)):
        part = text.partition(f"## `{name}`")[2].partition("\n## ")[0]
        shown = re.findall(r"</span>`(--[a-z-]+)", part)
        options = command.get_params(click.Context(command))
        assert shown == [option.opts[0] for option in options]
        for option in options:
            assert isinstance(option, click.Option)
            words = (option.help or "").partition("  [default:")[0].rstrip(".")
            assert words in part.replace("\\", "")
    assert "**required**" in text
    assert "`600`" in text
    for name in set(app.app.__all__) - {"main", "run"}:
        assert re.search(rf"^{name}\(item: pystac.Item, \w+: str\) -> str$", text, re.MULTILINE)
        assert "\nRaises:\n\n- " in text.partition(f"\n{name}(")[2]


def test_exit_codes() -> None:
    """The page has each of the code's, and says of each whether to try again."""
    text = (DOCS / "environment.md").read_text()
    told = {
        int(code)
        for code in re.findall(r"\b\d+\b", "\n".join(re.findall(r"^\| ([\d, ]+) \|", text, re.M)))
    }
    codes = {kind.exit_code for kind in KINDS.values()} - {errors.StageInError.exit_code}
    assert told == codes | {0}
    again = text.partition("| code | try again?")[2].partition("\n\n")[0]
    assert codes <= {int(code) for code in re.findall(r"\b\d+\b", again)}


def test_trusted_hosts() -> None:
    """The page names each host that a token goes to."""
    picture = (DOCS / "how-it-works.md").read_text().partition("\n## Trust\n")[2]
    domain = ".dataspace.copernicus.eu"
    for origin in PLATFORM_ORIGINS:
        assert origin.endswith(domain)
        assert origin.removeprefix("https://").removesuffix(domain) in picture
    assert IDENTITY_URL.split("/")[2] in picture


def test_variables() -> None:
    """The page has each variable that the code reads."""
    text = (DOCS / "environment.md").read_text()
    code = "\n".join(path.read_text() for path in PACKAGE.glob("*.py"))
    read = set(re.findall(r'"(CDSE_\w+|\w+_CA_BUNDLE)"', code))
    names = re.search(r'names = \(("ACCESS_TOKEN".*?)\)', code)
    assert names is not None
    read |= {f"CDSE_{name}" for name in re.findall(r"\w+", names[1])}
    assert {"CDSE_TOTP", "CDSE_TRUSTED_HOSTS", "REQUESTS_CA_BUNDLE"} <= read
    assert not {name for name in read if f"`{name}`" not in text}


# -- troubleshooting


def list_messages() -> Iterator[tuple[str, str]]:
    """Each kind of error that is raised and its message, `…` for what is filled in."""
    for node in list_nodes():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            name = node.func.id
            if name in KINDS:
                yield name, flatten(node.args[0])


def list_nodes() -> Iterator[ast.AST]:
    for path in PACKAGE.glob("*.py"):
        yield from ast.walk(ast.parse(path.read_text()))


def flatten(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(flatten(part) for part in node.values)
    return "…"


def list_texts() -> set[str]:
    """Every text in the code, `…` for what is filled in."""
    kinds = (ast.JoinedStr, ast.Constant)
    return {flatten(node) for node in list_nodes() if isinstance(node, kinds)}


def list_told() -> dict[str, list[str]]:
    """What the page says that lines say, by section."""
    told: dict[str, list[str]] = {}
    for section in (DOCS / "troubleshooting.md").read_text().split("\n## ")[1:]:
        title = section.partition(":")[0].partition("\n")[0]
        rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
        told[title] = [
            words for row in rows for words in re.findall(r"`([^`]+)`", row.partition(" with ")[0])
        ]
    return told


def test_each_message_of_the_page_is_in_the_code() -> None:
    texts = list_texts()
    told = list_told()
    assert {"2", "77", "75", "73", "66", "65"} <= told.keys()
    gone = [
        words
        for section in told.values()
        for words in section
        if not any(matches(words, text) for text in texts)
    ]
    assert not gone


@pytest.mark.parametrize("code", [2, 66, 73, 75, 77])
def test_each_message_of_the_code_is_on_the_page(code: int) -> None:
    """But for 65: those are many, and the page has the ones that users meet."""
    told = list_told()[str(code)]
    found = [
        text
        for name, text in list_messages()
        if KINDS[name].exit_code == code and name not in UNTOLD and text.strip("… :")
    ]
    assert found
    untold = [text for text in found if not any(matches(words, text) for words in told)]
    assert not untold


def matches(words: str, text: str) -> bool:
    """Whether the words of the page, in their order, are in a text."""
    pieces = [re.escape(piece.strip()) for piece in words.split("…") if piece.strip()]
    return bool(pieces) and re.search(".*".join(pieces), text) is not None


def test_what_users_meet(stage_in: StageIn, new: Path) -> None:
    """Lines that the tool really prints are told, under their exit code."""
    item = stage_in.platform.item_url(new.name)
    (stage_in.folder / "note").write_text("mine")
    runs = [
        stage_in(item, "--output-dir", "."),
        stage_in(item, CDSE_TRUSTED_HOSTS="mirror.example"),
        stage_in(item, REQUESTS_CA_BUNDLE="nowhere.pem"),
        stage_in(item, CDSE_ACCESS_TOKEN=""),
        stage_in(item, CDSE_ACCESS_TOKEN=stage_in.platform.mint(-1)),
        stage_in(item, "--output-dir", "note"),
        stage_in("nowhere.json"),
        stage_in(item.replace("MSIL1C", "MSIL2A"), "--patience", "1"),
        stage_in(stage_in.platform.override_item(new.name, "new", {"type": "Collection"})),
    ]
    assert {run.code for run in runs} == {2, 77, 73, 66, 65}
    told = list_told()
    for run in runs:
        assert any(matches(words, run.reason) for words in told[str(run.code)]), run.reason


# -- the item


def test_the_example_has_every_field() -> None:
    text = (DOCS / "item-example.md").read_text()
    item = generated.stage_example()
    prose = re.sub(r"```json.*?```", "", text, flags=re.DOTALL)
    names = {*item["properties"], *item["assets"]["red"], *item} - {
        *("type", "links", "properties", "assets", "title", "eo:bands", "stac_version")
    }
    assert not {name for name in names if f"`{name}`" not in prose}
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    properties = [name for block in shown for name in block.get("properties", {})]
    assert sorted(properties) == sorted(item["properties"])
    roles = {tuple(asset["roles"]) for asset in item["assets"].values()}
    assets = [asset for block in shown for asset in block.values() if "roles" in asset]
    assert {tuple(asset["roles"]) for asset in assets} == roles - {("metadata", "presentation")}


def test_the_mask_hides_digits_only() -> None:
    text = '"file:size": 12, "file:checksum": "1620ab", "gsd": 10'
    assert example.mask(text) == '"file:size": …, "file:checksum": "1620…", "gsd": 10'


# -- the sandbox


def read_code(page: str, language: str) -> list[str]:
    text = re.sub(r"<!-- setup -->\n\n```.*?```", "", (DOCS / page).read_text(), flags=re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_every_word_of_rules_is_told() -> None:
    text = (DOCS / "sandbox.md").read_text()
    table = text.partition("| word | meaning |")[2]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {*_READ, "header"}


def test_rules_that_are_shown() -> None:
    text = (DOCS / "sandbox.md").read_text()
    rules = re.findall(
        r"^\| `([^`]+)` \|", text.partition("| rule |")[2].partition("\n\n")[0], re.M
    )
    assert len(rules) > 5
    for rule in rules:
        assert Fault.parse(rule) != Fault()


def test_names_that_are_shown() -> None:
    """What the table of Python names is there."""
    text = (DOCS / "sandbox.md").read_text()
    names = re.findall(r"platform\.(\w+)", text)
    with Sandbox() as platform:
        assert not [name for name in names if not hasattr(platform, name)]
        for name in ("add", "remove", "clear"):
            assert hasattr(platform.faults, name)
        for name in ("of", "wait", "most_open"):
            assert hasattr(platform.log, name)
    keywords = re.search(r"`Sandbox\(products, (.*)\)`", text)
    assert keywords is not None
    assert set(re.findall(r"(\w+)=", keywords[1])) <= {*inspect.signature(Sandbox).parameters}


@pytest.mark.slow
def test_commands_of_the_sandbox(tmp_path: Path) -> None:
    """All of them, one after the other, in one shell."""
    script = "\n".join(read_code("sandbox.md", "sh"))
    assert script.count("python -m sandbox") == 3
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    out, log = tmp_path / "stdout", tmp_path / "stderr"
    with out.open("w") as stdout, log.open("w") as stderr:
        shell = subprocess.Popen(
            ["sh", "-eu", "-c", script],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        code = shell.wait(timeout=180)
    finally:
        with suppress(ProcessLookupError):  # of a sandbox that a command which failed has left
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    assert code == 0, log.read_text()
    assert "\n401\n" in out.read_text()
    assert (tmp_path / "catalog/catalog.json").is_file()
    assert "Try 1: status 503" in log.read_text()
    assert (tmp_path / "in-spite-of-it/catalog.json").is_file()


def test_python_of_the_sandbox(tmp_path: Path) -> None:
    (code,) = read_code("sandbox.md", "python")
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        check=True,
        timeout=60,
    )


def test_python_of_the_start_page(stage_in: StageIn, tmp_path: Path) -> None:
    """Of a tile of which a part has no data."""
    safe = make_product(tmp_path, replace(NEW, nodata=True, tile="31TCJ", pixels=192))
    stage_in.platform.add_product(safe)
    assert stage_in(stage_in.platform.item_url(safe.name)).code == 0
    (code,) = read_code("start.md", "python")
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=stage_in.folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    (band,) = safe.glob("GRANULE/*/IMG_DATA/*_B04.jp2")
    with rasterio.open(band) as image:
        numbers = image.read(1)
    assert (numbers == 0).any()
    assert run.stdout == f"{safe.stem}: {numbers[numbers > 0].mean() / 10_000 - 0.1:.3f} in red\n"
