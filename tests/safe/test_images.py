"""The process that reads images: its limits, and what its end means."""

import os
import resource
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stage_in.errors import ProductError, UsageError
from stage_in.safe import images as module
from stage_in.safe.image_process import MAX_MEMORY
from stage_in.safe.images import Images, LimitError
from stage_in.safe.raster import Raster
from tests.conftest import slow_after
from tests.editing import find


@pytest.fixture
def images() -> Iterator[Images]:
    with Images() as images:
        yield images


def insert_boxes(content: bytes, boxes: bytes) -> bytes:
    """Insert boxes before the codestream (ISO 15444-1, I.4)."""
    place = content.index(b"jp2c") - 4
    return content[:place] + boxes + content[place:]


def insert_markers(content: bytes, before: bytes, markers: bytes) -> bytes:
    """Insert markers before another; the codestream then extends to the end of the file."""
    box, place = content.index(b"jp2c") - 4, content.index(before)
    return content[:box] + bytes(4) + content[box + 4 : place] + markers + content[place:]


def set_size(content: bytes, side: int, block: int) -> bytes:
    """Change the size of an image and its blocks in SIZ (ISO 15444-1, A.5.1)."""
    changed = bytearray(content)
    struct.pack_into(
        ">6I", changed, content.index(b"\xff\x51") + 6, *[side] * 2, 0, 0, *[block] * 2
    )
    return bytes(changed)


START_OF_TILE = b"\xff\x90\0\x0a"
COMMENT = b"\xff\x64\0\2"
FLOODS: dict[str, Callable[[bytes], bytes]] = {
    "comments": lambda content: insert_markers(content, START_OF_TILE, COMMENT * 25_000_000),
    "packet headers": lambda content: insert_markers(
        *(content, START_OF_TILE),
        b"".join(struct.pack(">HHB", 0xFF60, 65_003, i) + bytes(65_000) for i in range(256)),
    ),
    "blocks of one pixel": lambda content: set_size(content, 10_980, 1),
    "65,000 blocks": lambda content: set_size(content, 10_980, 43),
    # These two take all of the processor time that is allowed.
    "empty boxes": lambda content: insert_boxes(content, b"\0\0\0\x08xml " * 200_000),
    "boxes with XML": lambda content: insert_boxes(content, b"\0\0\0\x0cxml <a/>" * 200_000),
}


@pytest.mark.timeout(400)  # some take ten seconds of processor time, which others may want, too
@pytest.mark.parametrize("flood", slow_after(2, FLOODS))
def test_floods_are_refused_within_limits(
    images: Images, new: Path, tmp_path: Path, flood: str
) -> None:
    """Without limits, the empty boxes take hours, and the comments 0.7 GB."""
    path = tmp_path / "flood.jp2"
    path.write_bytes(FLOODS[flood]((new / find(new, "T*_B02.jp2")).read_bytes()))
    images.check()
    with pytest.raises(ProductError, match=r"flood\.jp2"):
        images.read_raster(path, path.name)
    assert get_peak(images) < MAX_MEMORY + 150_000_000


def get_peak(images: Images) -> int:
    """Return the largest amount of memory in bytes; 0 if the process has ended."""
    if images._process is None:
        return 0
    status = Path(f"/proc/{images._process.pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


@pytest.mark.parametrize(
    "markers",
    slow_after(1, [COMMENT * 10_000_000, b"\xff\x58\0\3\0" * 5_000_000]),
    ids=["comments", "packet lengths"],
)
def test_a_flood_in_a_block_of_the_preview(
    images: Images, new: Path, tmp_path: Path, markers: bytes
) -> None:
    content = (new / find(new, "*_PVI.jp2")).read_bytes()
    content = content.replace(START_OF_TILE, b"\xff\x90\0\x0a", 1)
    path = tmp_path / "flood.jp2"
    path.write_bytes(insert_markers(content, b"\xff\x93", markers))
    with pytest.raises(ProductError, match=r"flood\.jp2"):
        images.draw_picture(path, path.name, 343)


def test_the_answer_is_that_of_the_same_process(images: Images, new: Path) -> None:
    path = new / find(new, "T*_B02.jp2")
    assert images.read_raster(path, "B02") == Raster.read(path, "B02")


def test_secrets_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDSE_PASSWORD", "swordfish")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "swordfish")
    with Images() as images:
        images.check()
        environment = Path(f"/proc/{images._process.pid}/environ").read_bytes()
    assert b"PATH=" in environment
    assert b"swordfish" not in environment


@pytest.mark.parametrize("number", slow_after(1, [signal.SIGSEGV, signal.SIGABRT, signal.SIGXCPU]))
def test_a_crash_is_blamed_on_the_image(images: Images, new: Path, number: int) -> None:
    """The next image is read by a new process."""
    images.check()
    path = new / find(new, "T*_B02.jp2")
    os.kill(images._process.pid, number)
    with pytest.raises(LimitError, match="B02"):
        images.read_raster(path, "B02")
    assert images.read_raster(path, "B02") == Raster.read(path, "B02")


def test_an_end_from_outside_is_blamed_on_the_machine(images: Images, new: Path) -> None:
    images.check()
    images._process.kill()
    with pytest.raises(UsageError, match="memory limit"):
        images.read_raster(new / find(new, "T*_B02.jp2"), "B02")


def test_an_image_without_an_end(
    images: Images, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images.check()
    os.kill(images._process.pid, signal.SIGSTOP)
    monkeypatch.setattr(module, "_MAX_WAIT", 0.1)
    with pytest.raises(LimitError, match="B02"):
        images.read_raster(new / find(new, "T*_B02.jp2"), "B02")


def test_a_machine_with_less_memory_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process inherits the limit of its parent."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, hard))
    try:
        # Python 3.13 can't even start it.
        message = f"less than {MAX_MEMORY}|allocate memory"
        with Images() as images, pytest.raises((MemoryError, OSError), match=message):
            images.check()
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def test_paths_of_modules_that_are_no_strings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notebooks add objects such as Path to sys.path, which imports skip."""
    monkeypatch.setattr("sys.path", [Path("/notebook"), None, *sys.path])
    with Images() as images:
        images.check()
