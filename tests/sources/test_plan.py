"""The plan of a download: the files that would end last are split where that pays."""

from itertools import pairwise

import pytest

from stage_in.sources.plan import ALIGNMENT, MAX_PARTS, plan_parts, split

RATE = 20e6
# The sizes in a product of 600 MB: five large images, six smaller ones, and fifty small files.
SIZES = {
    **{f"large-{number}": 88_000_000 + number for number in range(5)},
    **{f"small-{number}": 22_300_000 + number for number in range(6)},
    **{f"mask-{number}": 100_000 for number in range(50)},
}


@pytest.mark.parametrize(
    ("latency", "more"), [(0.0, range(1, 8)), (0.02, range(1, 6)), (0.2, range(1))]
)
def test_few_files_are_split_and_none_where_requests_are_slow(latency: float, more: range) -> None:
    parts = plan_parts(SIZES, 4, latency, RATE)
    assert sum(parts.values()) - len(parts) in more
    assert all(1 < number <= MAX_PARTS for number in parts.values())


def test_equal_files_that_fill_all_connections_stay_whole() -> None:
    assert plan_parts(dict.fromkeys("abcd", 50_000_000), 4, 0.02, RATE) == {}


def test_a_single_file_is_split() -> None:
    assert plan_parts({"a": 50_000_000}, 4, 0.02, RATE) == {"a": 4}


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "missing", [[(0, 90_000_000)], [(12_345, 90_000_000)], [(0, 10), (5_000_000, 30_000_000)]]
)
def test_parts_cover_what_is_missing(missing: list[tuple[int, int]], number: int) -> None:
    parts = split(missing, number)
    assert len(parts) <= number + len(missing) - 1
    assert sum(end - start for start, end in parts) == sum(end - start for start, end in missing)
    for (_, end), (start, _) in pairwise(parts):
        assert start >= end
        assert start % ALIGNMENT == 0 or start in dict(missing)
