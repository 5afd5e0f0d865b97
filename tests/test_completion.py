"""What Tab completes in bash."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

STAGE_IN = Path(sys.executable).with_name("stage-in")
ENVIRONMENT = {"PATH": f"{STAGE_IN.parent}{os.pathsep}{os.environ['PATH']}"}
# Bash calls the function of the command with the words of the line.
SCRIPT = """
set -e
eval "$(_STAGE_IN_COMPLETE=bash_source stage-in)"
COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
complete -p stage-in | grep -qw _stage_in_completion
_stage_in_completion stage-in "${{COMP_WORDS[-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def complete(words: str) -> list[str]:
    """Return what bash proposes for the last of some words."""
    run = subprocess.run(
        ["bash", "-c", SCRIPT.format(words=words)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("stage-in --ass", ["--assets"]),
        ("stage-in --assets B8", ["B8A"]),
        ("stage-in --assets B04,re", ["B04,red", "B04,rededge1", "B04,rededge2", "B04,rededge3"]),
        ("stage-in --assets red,nir --assets nir,ni", ["nir,nir08", "nir,nir09"]),
        ("stage-in --log-format j", ["json"]),
        ("stage-in --transport ''", ["auto", "mount", "s3", "nodes", "zip"]),
    ],
)
def test_words(words: str, expected: list[str]) -> None:
    assert complete(words) == expected


def test_all_bands_are_completed() -> None:
    assert len(complete("stage-in --assets ''")) == 2 * 14
