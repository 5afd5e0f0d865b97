"""A file that arrives in parts, in any order, and what an interrupted run has left of one."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from stage_in.errors import VerificationError
from stage_in.safe.manifest import Entry
from stage_in.safe.parts import PartedFile, find_missing

MB = 1024 * 1024
CONTENT = random.Random(4711).randbytes(5 * MB + 777)
ENTRY = Entry("B02.jp2", len(CONTENT), "sha3_256", hashlib.sha3_256(CONTENT).hexdigest())
RANGES = [(0, MB), (MB, 3 * MB), (3 * MB, len(CONTENT))]


def pieces(start: int, end: int) -> Iterator[bytes]:
    for position in range(start, end, 100_000):
        yield CONTENT[position : min(position + 100_000, end)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_parts_in_any_order_make_the_file(tmp_path: Path, order: tuple[int, ...]) -> None:
    file = PartedFile(tmp_path / "B02.jp2", ENTRY, RANGES)
    last = []
    for number in order:
        part = file.parts[number]
        file.write(part, pieces(part.position, part.end), part.position)
        last.append(file.finish())
    assert last == [False, False, True]
    file.verify()
    assert (tmp_path / "B02.jp2").read_bytes() == CONTENT


def test_a_part_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    file = PartedFile(tmp_path / "B02.jp2", ENTRY, RANGES)
    for part in file.parts:
        with pytest.raises(VerificationError, match="did not arrive"):
            file.write(part, pieces(part.position, part.position + 300_000), part.position)
        file.write(part, pieces(part.position, part.end), part.position)
    file.verify()
    assert (tmp_path / "B02.jp2").read_bytes() == CONTENT


def test_bytes_outside_of_a_part_are_ignored(tmp_path: Path) -> None:
    """A server may send the whole file where a part was requested."""
    file = PartedFile(tmp_path / "B02.jp2", ENTRY, RANGES)
    for part in file.parts:
        file.write(part, pieces(0, len(CONTENT)), 0)
    file.verify()


def test_a_file_with_another_digest_is_removed(tmp_path: Path) -> None:
    file = PartedFile(tmp_path / "B02.jp2", ENTRY, RANGES)
    for part in file.parts:
        file.write(part, [bytes(part.size)], part.position)
    with pytest.raises(VerificationError, match="sha3_256"):
        file.verify()
    assert not (tmp_path / "B02.jp2").exists()


def test_holes_are_missing_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "B02.jp2"
    assert find_missing(path, ENTRY.size) == [(0, ENTRY.size)]
    file = PartedFile(path, ENTRY, RANGES)
    assert find_missing(path, ENTRY.size) == [(0, ENTRY.size)]
    _, second, third = file.parts
    file.write(third, pieces(3 * MB, third.end), 3 * MB)
    assert find_missing(path, ENTRY.size) == [(0, 3 * MB)]
    with pytest.raises(VerificationError):
        file.write(second, pieces(MB, MB + 1_500_000), MB)
    missing = find_missing(path, ENTRY.size)
    # The last block may not be complete, so it is missing as well.
    assert missing == [(0, MB), (2 * MB, 3 * MB)]

    again = PartedFile(path, ENTRY, missing)
    for part in again.parts:
        again.write(part, pieces(part.position, part.end), part.position)
    again.verify()
    assert find_missing(path, ENTRY.size) == []


def test_the_beginning_of_a_file_is_not_missing(tmp_path: Path) -> None:
    (tmp_path / "B02.jp2").write_bytes(CONTENT[:1_234_567])
    assert find_missing(tmp_path / "B02.jp2", ENTRY.size) == [(1_234_567, ENTRY.size)]
