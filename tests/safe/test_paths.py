"""Paths from manifests, listings and archives."""

import pytest

from stage_in.errors import VerificationError
from stage_in.safe.paths import check_distinct, check_path


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/..", "./a", "a/./b", "a//b", "a/"),
        *("a\\b", "..\\x", "C:x", "C:/x", "a\0b", "a\nb", "a\x7f", "a\u202eb", " a", "a ", "a/ b"),
        *(
            "a#b",
            "a%2e",
            "a?b",
            "x" * 256,
            "é" * 128,
            "a\ud800",
            "a.",
            "a./b",
            "A~1",
            "/".join("x" * 501),
        ),
    ],
)
def test_paths_that_leave_their_folder_or_mislead_are_refused(path: str) -> None:
    with pytest.raises(VerificationError, match="paths in a test must be plain and relative"):
        check_path(path, "a test")


@pytest.mark.parametrize("path", ["a", "a/b.c", ".a", "..a", "é/ü ü", "x" * 255, "a/" * 499 + "ab"])
def test_plain_paths_are_accepted(path: str) -> None:
    assert check_path(path, "a test") == path


@pytest.mark.parametrize(
    ("paths", "complaint"),
    [
        (["a", "a"], "distinct, but 'a' and 'a'"),
        (["a", "A"], "distinct, but 'a' and 'A'"),
        (["é", "e\u0301"], "must be distinct"),
        (["straße", "STRASSE"], "must be distinct"),
        # Folding case undoes the normalisation, or the other way round.
        (["\u1fb3\u0301", "\u1fb4"], "must be distinct"),
        (["\u03b1\u0345\u0301", "\u1fb4"], "must be distinct"),
        (["\u1e9b\u0323", "\u1e69"], "must be distinct"),
        (["ﬁ", "fi"], "must be distinct"),
        (["\u212a", "k"], "must be distinct"),
        (["\u0131", "I"], "must be distinct"),
        (["a\ufe0f", "a"], "must be distinct"),
        (["a\u034f", "A"], "must be distinct"),
        (["a", "a/b"], "'a' must be a file, but is also a folder of 'a/b'"),
        (["a/b/c", "b", "A"], "'A' must be a file, but is also a folder of 'a/b/c'"),
    ],
)
def test_paths_that_some_file_system_takes_for_one(paths: list[str], complaint: str) -> None:
    with pytest.raises(VerificationError, match=complaint):
        check_distinct(paths)


def test_distinct_paths() -> None:
    check_distinct(["a", "b/a", "b/c", "b.a"])
