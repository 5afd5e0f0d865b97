from pathlib import Path

import pytest

from sandbox.body import Body, Slice, part


@pytest.mark.parametrize(("start", "length"), [(0, 9), (1, 3), (2, 5), (4, 1), (8, 9), (9, 1)])
def test_part(tmp_path: Path, start: int, length: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"..345..")
    whole: Body = (b"012", Slice(file, 2, 3), b"678")
    found = b""
    for piece in part(whole, start, length):
        if isinstance(piece, Slice):
            found += file.read_bytes()[piece.start : piece.start + piece.length]
        else:
            found += piece
    assert found == b"012345678"[start : start + length]
