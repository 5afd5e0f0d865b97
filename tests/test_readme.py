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
    assert set(re.findall(r"^    make ([a-z-]+)$", README, re.MULTILINE)) == {"demo", "test"}
    assert {"demo", "test"} <= targets
