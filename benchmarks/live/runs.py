"""Runs of the real command, by one transport each."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

_TIMEOUT = 1200  # seconds for one run
_PATIENCE = "120"  # seconds without new data after which a run ends
_MAX_REASONS = 3


@dataclass
class Run:
    """What the log of one run tells.

    Attributes:
        transport: the transport that was chosen.
        code: the exit code; None if the run did not end in time.
        last: the last line of the log, which sums the run up.
        source: what the files came from in the end.
        seconds: from the first request for a file to the last file's verification.
        refused: how often no download slot was free.
        reasons: why requests were made again, or another source was tried.
        output: the folder of the catalog.
    """

    transport: str
    code: int | None
    output: Path
    last: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    seconds: float = 0.0
    reasons: list[str] = field(default_factory=list)

    @property
    def product(self) -> dict[str, Any]:
        """What the last line says about the product that was staged; nothing after a failure."""
        products = self.last.get("products") or [{}]
        return dict(products[0])


def run(
    transport: str,
    item: str,
    bands: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
) -> Run:
    """Stage bands of a product by one transport into a folder of that name."""
    output = folder / transport
    command = [sys.executable, "-m", "app.app", "--input-item", item, "--assets", ",".join(bands)]
    options = ["--transport", transport, "--output-dir", str(output), "--patience", _PATIENCE]
    try:
        process = subprocess.run(
            [*command, *options, "--log-format", "json", "--verbose"],
            cwd=folder,
            env={**environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return Run(transport, None, output, {"message": f"it took more than {_TIMEOUT} s"})
    return _read_log(Run(transport, process.returncode, output), process.stderr)


def _read_log(run: Run, log: str) -> Run:
    started = ""
    reasons: dict[str, int] = {}
    for text in log.splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            run.last = {"message": text}  # from below Python
            continue
        event = line.get("event")
        if event == "staging":
            started, run.source = line["time"], line["source"]
        elif event in {"retry", "fallback"}:
            reason = f"{event}: {line['error']}"
            reasons[reason] = reasons.get(reason, 0) + 1
            run.source = line.get("source", run.source)
        elif event == "verified":
            elapsed = datetime.fromisoformat(line["time"]) - datetime.fromisoformat(started)
            run.seconds = elapsed.total_seconds()
        if "exit_code" in line:
            run.last = line
    often = sorted(reasons.items(), key=lambda pair: -pair[1])
    run.reasons = [f"{count} times {reason}" for reason, count in often[:_MAX_REASONS]]
    return run
