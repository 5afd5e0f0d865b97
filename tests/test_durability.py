"""After a power cut the catalog is complete or absent: the order of writes, flushes and renames.

The kernel's own record of the system calls (strace) is the witness.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.conftest import StageIn, slow_after

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

_UNFINISHED = re.compile(r"(?P<thread>\d+) +(?P<start>.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"(?P<thread>\d+) +<\.\.\. \w+ resumed>(?P<rest>.*)")
_CALL = re.compile(r"\d+ +(?P<name>\w+)\((?P<arguments>.*)\) += +(?P<result>\d+)")


def trace(stage_in: StageIn, item: str, *options: str) -> list[tuple[str, str]]:
    """Run the command, and return its flushes and changes of files, in the order of their ends.

    Each is the name of the system call and the path of the file.
    """
    record = stage_in.folder.parent / "strace"
    calls = "trace=write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,ftruncate"
    command = ["strace", "-f", "-y", "-e", calls, "-o", str(record), "--"]
    run = subprocess.run(
        [*command, sys.executable, "-m", "app.app", "--input-item", item, *options],
        cwd=stage_in.folder,
        env=stage_in.environment(PYTHONWARNINGS="default"),
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert run.returncode == 0, run.stderr
    found = []
    started: dict[str, str] = {}
    for line in record.read_text(errors="replace").splitlines():
        if match := _UNFINISHED.match(line):
            started[match["thread"]] = line.removesuffix(" <unfinished ...>")
            continue
        if match := _RESUMED.match(line):
            line = started.pop(match["thread"]) + match["rest"]
        if match := _CALL.match(line):
            name, arguments = match["name"], match["arguments"]
            if name.startswith("rename"):
                found.append(("rename", arguments.split('"')[3]))
            elif path := re.search(r"<(/[^>]*)>", arguments):
                found.append(("fsync" if "sync" in name else "write", path[1]))
    return found


@pytest.mark.parametrize("transport", slow_after(1, ["nodes", "zip"]))
def test_everything_is_on_disk_before_the_rename(
    stage_in: StageIn, platform: Sandbox, new: Path, transport: str
) -> None:
    calls = trace(stage_in, platform.item_url(new.name), "--transport", transport)
    staging = f"{stage_in.folder}/.catalog.staging/catalog"
    last = calls.index(("rename", "catalog"))
    before = calls[:last]
    # The next run accepts the staging folder only if it contains the lock.
    lock = calls.index(("fsync", f"{stage_in.folder}/.catalog.staging/stage-in.lock"))
    assert not any(path.startswith(staging) for _, path in calls[:lock])
    flushed = {path: index for index, (name, path) in enumerate(before) if name == "fsync"}
    for index, (name, path) in enumerate(before):
        if name == "write" and path.startswith(staging):
            assert flushed.get(path, -1) > index, path
    catalog = stage_in.folder / "catalog"
    for path in [catalog, *catalog.rglob("*")]:
        relative = path.relative_to(catalog)
        assert str(Path(staging) / relative) in flushed, relative
    assert ("fsync", str(stage_in.folder)) in calls[last:]


@pytest.mark.slow
def test_a_repaired_file_is_on_disk_before_it_replaces_the_old_one(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    item = platform.item_url(new.name)
    assert stage_in(item).code == 0
    target = stage_in.folder / "catalog" / "catalog.json"
    target.write_bytes(b"")
    calls = trace(stage_in, item)
    last = calls.index(("rename", "catalog/catalog.json"))
    part = f"{stage_in.folder}/.catalog.staging/part"
    assert [call for call in calls[:last] if call[1] == part][-1] == ("fsync", part)
    assert ("fsync", str(target.parent)) in calls[last:]
