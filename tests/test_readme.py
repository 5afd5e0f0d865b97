"""What the README shows is what there is."""

import re

from app import errors
from app.trust import PLATFORM_ORIGINS
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


def test_exit_codes() -> None:
    shown = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert shown == {0} | {kind.exit_code for kind in kinds} - {errors.StageInError.exit_code}


def test_trusted_hosts() -> None:
    for origin in PLATFORM_ORIGINS:
        label = origin.removeprefix("https://").partition(".")[0]
        assert label in README


def test_commands_are_targets() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^    make ([a-z-]+)$", README, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_figures_are_those_that_were_measured() -> None:
    """What the README says of speed is the median of the rounds in the results."""
    page = (ROOT / "docs/benchmarks.md").read_text()
    limits = page.partition("## (a)")[2].partition("## (b)")[0]
    (ours,) = re.findall(r"^\| stage-in, nodes \| ([\d.]+) ", limits, re.MULTILINE)
    (theirs,) = re.findall(r"^\| requests, .*? \| ([\d.]+) ", limits, re.MULTILINE)
    text = " ".join(README.split())
    assert f"takes {float(ours):.1f} s so, and {float(theirs):.1f} s over one connection" in text
