"""What was recorded is what a terminal shows."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.conftest import ROOT

SVG = "{http://www.w3.org/2000/svg}"
DEMO = ROOT / "docs/demo.svg"


def record(picture: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "docs/recording.py", picture, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )


def read_lines(picture: Path) -> list[str]:
    """What stays, from top to bottom, with single blanks."""
    lines: dict[float, list[str]] = {}
    for group in ElementTree.parse(picture).iter(f"{SVG}g"):
        texts = group.findall(f"{SVG}text")
        if texts and group.get("class") != "t":
            words = [text.text or "" for text in texts]
            lines[float(texts[0].get("y", ""))] = " ".join(words).split()
    return [" ".join(lines[y]) for y in sorted(lines)]


def test_a_line_that_is_written_over(tmp_path: Path) -> None:
    picture = tmp_path / "picture.svg"
    script = r"printf '\033[32mgreen\033[0m <one>\r\n50 %%'; sleep 0.3; printf '\rdone\n'; tty"
    run = record(picture, "sh", "-c", script)
    assert run.returncode == 0, run.stderr
    prompt, *_, first, second, terminal = read_lines(picture)
    assert prompt.startswith("$ sh -c")
    assert (first, second) == ("green <one>", "done")
    assert terminal.startswith("/dev/pts/")
    assert re.search(r'fill="#7fdb8a" textLength="[\d.]+">green<', picture.read_text())
    (passing,) = ElementTree.parse(picture).findall(f".//{SVG}g[@class='t']")
    assert "".join(passing.itertext()) == "50 %"


def test_a_longer_text_scrolls(tmp_path: Path) -> None:
    run = record(tmp_path / "picture.svg", "seq", "40")
    assert run.returncode == 0, run.stderr
    text = (tmp_path / "picture.svg").read_text()
    lines = read_lines(tmp_path / "picture.svg")
    assert lines[1:] == [str(number) for number in range(1, 41)]
    # 41 lines in a window of 25, each 18 high
    assert f".scroll {{ transform: translateY({(25 - 41) * 18}px)" in text


def test_a_command_that_fails_is_no_picture(tmp_path: Path) -> None:
    run = record(tmp_path / "picture.svg", "sh", "-c", "exit 3")
    assert run.returncode == 1
    assert "to end with 0, found 3" in run.stderr
    assert not (tmp_path / "picture.svg").exists()


def test_the_recording_stands_alone() -> None:
    text = DEMO.read_text()
    assert len(text) < 150_000
    tags = {element.tag.removeprefix(SVG) for element in ElementTree.fromstring(text).iter()}
    assert tags == {"svg", "title", "style", "rect", "g", "text"}
    for fetched in ("href", "url(", "@import", "@font-face"):
        assert fetched not in text
    assert "eyJ" not in text, "the beginning of every token"
    assert str(ROOT) not in text


@pytest.mark.slow
def test_the_recording_is_of_this_demonstration(tmp_path: Path) -> None:
    """What `make demo` shows of the catalog today is what the picture has."""
    run = record(tmp_path / "demo.svg", "make", "demo")
    assert run.returncode == 0, run.stderr
    today, recorded = (read_lines(path) for path in (tmp_path / "demo.svg", DEMO))
    title = "The catalog, in demo/catalog:"
    assert today[today.index(title) :] == recorded[recorded.index(title) :]
