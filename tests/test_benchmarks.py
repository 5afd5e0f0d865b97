"""The benchmark measures what it says, and fails if a contestant fails. No time is asserted."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.measure import get_allocated, measure, run
from benchmarks.product import pad_image
from benchmarks.tables import read_rows, show
from benchmarks.worlds import CONTESTANTS, WORLDS, Contestant, Group, World
from sandbox.limits import Limits

needs_time = pytest.mark.skipif(
    not all(map(shutil.which, ("/usr/bin/time", "curl", "unzip"))),
    reason="needs GNU time, curl and unzip",
)


@needs_time
@pytest.mark.slow
def test_all_contestants_get_the_product(tmp_path: Path) -> None:
    lines: list[str] = []
    runs = measure([Group("limits", 3, 1, list(CONTESTANTS))], lines.append)
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"date": "today", "machine": "this one", "runs": runs}))
    rows = read_rows(results)
    assert len(lines) == len(rows) == len(CONTESTANTS)
    for row in rows.values():
        assert row.wanted <= row.sent <= 1.2 * row.wanted
        assert row.wanted <= row.disk <= 2.3 * row.wanted
        assert 5e6 < row.memory < 1e9
        assert row.cpu > 0
        assert 1 <= row.most_open <= 4
    assert rows["limits", 3, "bands"].wanted < rows["limits", 3, "nodes"].wanted
    page = show("worlds", results)
    for contestant in CONTESTANTS.values():
        assert f"| {contestant.title} |" in page


@needs_time
@pytest.mark.parametrize(
    ("script", "why"),
    [("echo 'no way' >&2; exit 7", "exit code 7: no way"), ("echo done", "is missing or differs")],
    ids=["exit-code", "nothing-staged"],
)
def test_broken_contestant_fails_the_run(
    script: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"broken": Contestant("the broken one", ["sh", "-c", script])}
    monkeypatch.setattr("benchmarks.measure.CONTESTANTS", broken)
    result = CliRunner().invoke(main, ["--quick"])
    assert result.exit_code == 1
    assert "the broken one failed" in result.output
    assert why in result.output


@needs_time
def test_command_is_measured_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def note_peak(folder: Path) -> int:
        found = get_allocated(folder)
        if found >= 6_000_000:
            (folder / "seen").touch()
        return found

    monkeypatch.setattr("benchmarks.measure.get_allocated", note_peak)
    child = "x = bytearray(b'1') * 80_000_000; open('kept', 'wb').write(x[:3_000_000])"
    wait = "until [ -e seen ]; do sleep 0.1; done"
    script = f'"$0" -c "$1"; cat kept > other; {wait}; rm other; exit 3'
    usage = run(["sh", "-c", script, sys.executable, child], tmp_path, {}, timeout=60)
    assert usage.code == 3
    assert usage.memory >= 80_000_000
    assert usage.disk >= 6_000_000
    assert usage.wall > 0
    assert run(["sleep", "60"], tmp_path, {}, timeout=0.2).code == 124


def test_padded_image_is_the_same_image(new: Path, tmp_path: Path) -> None:
    for path in new.rglob("*_B0[1-4].jp2"):
        padded = tmp_path / path.name
        padded.write_bytes(pad_image(path.read_bytes(), 1_000_000))
        assert padded.stat().st_size == path.stat().st_size + 1_000_000
        with rasterio.open(path) as before, rasterio.open(padded) as after:
            assert np.array_equal(before.read(), after.read())


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        # Two files on each connection. The lag after the last one does not count.
        (Limits(connections=4, rate=20e6, latency=0.2, lag=1.0), 2 * 1.2 + 1),
        # One zip of 160 MB waits for one slot only.
        (Limits(connections=1, rate=20e6, latency=0.2, lag=1.0), 8.2),
        # A file takes 1.2 s, and its slot is free again at 2 s.
        (Limits(connections=4, rate=20e6, latency=0.2, tick=2.0), 2 + 1.2),
        # Two slots until 5 s: three files of each by then, which leaves two files.
        (Limits(connections=4, rate=20e6, latency=0.4, other_period=10.0), 2 * 1.4 + 1.4 + 1.4),
    ],
    ids=["lag", "zip", "tick", "other"],
)
def test_bound_is_the_best_possible(limits: Limits, seconds: float) -> None:
    assert World("", limits).get_bound([20_000_000] * 8) == pytest.approx(seconds, abs=0.05)


def test_no_bound_without_limits() -> None:
    assert WORLDS["free"].get_bound([1]) is None


def test_rounds_are_combined(tmp_path: Path) -> None:
    same = {"world": "limits", "size": 500, "wanted": 5, "bound": 2.0, "most_open": 4, "refused": 0}
    same |= {"cpu": 1.0, "disk": 5, "sent": 5}
    walls = [("nodes", 3.0), ("nodes", 2.0), ("nodes", 9.0), ("tutorial", 12.0)]
    runs = [
        {**same, "contestant": key, "round": 1, "wall": wall, "memory": int(wall)}
        for key, wall in walls
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"date": "", "machine": "", "runs": runs}))
    row = read_rows(path)["limits", 500, "nodes"]
    assert (row.wall, row.shortest, row.longest, row.memory, row.rounds) == (3.0, 2.0, 9.0, 9, 3)
    targets = show("targets", path)
    assert "| (a) 500 MB | ≥ 3 | 4 | reached |" in targets
    assert "| (a) 500 MB | ≤ 1.1 | 1.5 | **missed** |" in targets
