"""Toil, in the environment that `make` keeps for it."""

import os
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.prefix) / "toil" / "bin"
OURS = str(Path(sys.executable).parent)


def toil(
    *arguments: str | Path, cwd: Path, bypass: bool = True, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run toil-cwl-runner in a folder: its job store is `jobs` there, its output `out`.

    Toil's file store knows folders by what is in them, and gives back one empty folder of several.
    The tool is on PATH only where it is to run outside of a container.
    """
    path = [folder for folder in os.environ["PATH"].split(os.pathsep) if folder != OURS]
    if "--no-container" in arguments:
        path.insert(0, OURS)
    work = cwd / "work"
    work.mkdir()
    return subprocess.run(
        [
            # which ends what Toil has started, too
            *("timeout", "--kill-after=20", "120", BIN / "toil-cwl-runner"),
            *("--jobStore", cwd / "jobs", "--workDir", work, "--outdir", cwd / "out"),
            *(["--bypass-file-store"] if bypass else []),
            *("--tmpdir-prefix", work / "tmp", "--tmp-outdir-prefix", work / "out"),
            "--no-prepull",
            *("--retryBackoffSeconds", "0", *arguments),
        ],
        cwd=cwd,
        env={"HOME": str(cwd), **variables, "PATH": os.pathsep.join([str(BIN), *path])},
        capture_output=True,
        text=True,
        timeout=150,
    )
