"""Toil, run in the environment that `make` keeps for it."""

import os
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.prefix) / "toil" / "bin"
OURS = str(Path(sys.executable).parent)


def toil(
    *arguments: str | Path, cwd: Path, bypass: bool = True, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run toil-cwl-runner in a folder, with its job store in `jobs` and its output in `out`.

    Without --bypass-file-store, Toil tells folders apart by their content and loses all empty
    folders but one. The tool is on PATH only if it is to run without a container.
    """
    path = [folder for folder in os.environ["PATH"].split(os.pathsep) if folder != OURS]
    if "--no-container" in arguments:
        path.insert(0, OURS)
    work = cwd / "work"
    work.mkdir()
    return subprocess.run(
        [
            # `timeout` also ends the processes that Toil has started.
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
