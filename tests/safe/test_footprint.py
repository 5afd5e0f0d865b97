"""Which footprints are accepted."""

import pytest

from stage_in.errors import ProductError
from stage_in.safe.footprint import check_footprint

PAIRS = "46 9 46 10 45 10 45 9 46 9"


@pytest.mark.parametrize(
    "text",
    [
        PAIRS,
        f"\n  {PAIRS} ",
        "46 180 46 -179 45 -179 45 180 46 180",
        "46 9 46 10 45 10 45 9",  # not closed
        "46 9 46 10 45 10 45 9 45.5 8 46 9",  # twelve numbers, closed as pairs
    ],
)
def test_pairs(text: str) -> None:
    check_footprint(text, "EXT_POS_LIST")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "46 9 46 10 46 9",
        f"{PAIRS} 46",
        "46 9 0 46 10 0 45 10 0 45 9 0 46 9 0 46 9 0",  # triples
        "46 9 0 46 10 0 45 10 0 46 9 0",  # triples, an even number of numbers
        "91 9 46 10 45 10 45 9 91 9",
        "46 181 46 10 45 10 45 9 46 181",
        "46 9 46 x 45 10 45 9 46 9",
        "46 9 46 NaN 45 10 45 9 46 9",
        " ".join(["46 9"] * 201),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ProductError, match="EXT_POS_LIST"):
        check_footprint(text, "EXT_POS_LIST")
