"""Which footprints are accepted."""

import warnings
from collections.abc import Iterator
from itertools import product

import pytest
from antimeridian import fix_polygon
from shapely import union_all
from shapely.affinity import translate
from shapely.geometry import Polygon, shape

from stage_in.errors import ProductError
from stage_in.safe.footprint import check_footprint, orient
from stage_in.safe.tile import Tile

PAIRS = "46 9 46 10 45 10 45 9 46 9"
TILE = Tile.parse("32TNR")  # 44.1 to 45.1 degrees north, 9 to 10.4 degrees east


def cross(corners: int) -> str:
    """Return a ring that crosses itself at most of its sides."""
    return " ".join(f"{45 + number / 1000} {9 + number % 2}" for number in range(corners))


@pytest.mark.parametrize(
    ("tile", "text"),
    [
        ("32TNR", PAIRS),
        ("32TNR", f"\n  {PAIRS} "),
        ("32TNR", "46 9 46 10 45 10 45 9"),  # not closed
        ("32TNR", "46 9 46 10 45 10 45 9 45.5 8.6 46 9"),  # twelve numbers, closed as pairs
        ("32TNR", "46 9 45 10 46 10 45 9 46 9"),  # crosses itself
        ("01TBL", "46 180 46 -179 45 -179 45 180 46 180"),
        ("60TXR", "46 180 46 -179.9 45 -179.9 45 180 46 180"),
    ],
)
def test_pairs(tile: str, text: str) -> None:
    check_footprint(text, Tile.parse(tile), "EXT_POS_LIST")


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
        "46 9 46 1e308 45 10 45 9 46 9",
        " ".join(["46 9"] * 201),
        "46 9 46 10 45 10 45 16 46 9",  # a corner in another zone
        "-46 9 -46 10 -45 10 -45 9 -46 9",  # in the other hemisphere
        "90 -180 90 180 -90 180 -90 -180 90 -180",  # the whole Earth
        cross(199),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ProductError, match="EXT_POS_LIST"):
        check_footprint(text, TILE, "EXT_POS_LIST")


# Rings around 180°, counter-clockwise, with continuous longitudes.
RINGS = {
    "touches in the west": [(179, 0), (180, 0), (180, 1), (179, 1)],
    "touches in the west once": [(179, 0), (180, 0.5), (179, 1)],
    "touches in the west twice": [(179, 0), (180, 0), (179.7, 0.5), (180, 1), (179, 1)],
    "touches in the east": [(180, 0), (181, 0), (181, 1), (180, 1)],
    "touches in the east once": [(180, 0.5), (181, 0), (181, 1)],
    "crosses at vertices": [(179.5, 0), (180, 0), (180.5, 0), (180.5, 1), (180, 1), (179.5, 1)],
    "crosses at one vertex": [(179.5, 0), (180, 0.1), (180.5, 0), (180.5, 1), (179.5, 1)],
    "crosses between vertices": [(179.2, 0), (180.1, 0.2), (179.9, 1.2), (179, 1)],
    "diamond": [(179.5, 0.5), (180, 0), (180.5, 0.5), (180, 1)],
    "touches and crosses": [(179, 0), (180, 0), (180.5, 0.3), (180, 0.6), (180, 1), (179, 1)],
    "rounded": [(179, 0), (179.99999999, 0), (180.00000001, 1), (179, 1)],
    "far away": [(9, 0), (10, 0), (10, 1), (9, 1)],
}


def iterate_notations(ring: list[tuple[float, float]]) -> Iterator[str]:
    """Iterate over all ways to write a ring: first vertex, direction, signs of 180."""
    for corners in (ring, ring[::-1]):
        for first in range(len(corners)):
            turned = corners[first:] + corners[:first]
            choices = [(180, -180) if x == 180 else (x if x < 180 else x - 360,) for x, _ in turned]
            for longitudes in product(*choices):
                pairs = [f"{y} {x}" for x, (_, y) in zip(longitudes, turned, strict=True)]
                yield " ".join([*pairs, pairs[0]])


@pytest.mark.parametrize("south", [45, -46, 83])
@pytest.mark.parametrize("name", RINGS)
def test_rings_around_180_degrees(name: str, south: int) -> None:
    """However a ring is written, the library makes the same area of it."""
    ring = [(x, y + south) for x, y in RINGS[name]]
    expected = Polygon(ring)
    for text in iterate_notations(ring):
        numbers = [float(number) for number in orient(text).split()]
        corners = [*zip(numbers[1::2], numbers[::2], strict=True)]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made = shape(fix_polygon(Polygon(corners)))
        parts = getattr(made, "geoms", [made])
        assert all(part.is_valid and part.exterior.is_ccw for part in parts), text
        whole = union_all([translate(part, 360 if part.bounds[0] < 0 else 0) for part in parts])
        # The library cuts along great circles.
        assert whole.symmetric_difference(expected).area < 0.005, text
        assert made.area == pytest.approx(expected.area, abs=0.005), text


def test_a_ring_that_is_not_closed() -> None:
    assert orient("46 9 46 10 45 10 45 9") == "46.0 9.0 45.0 9.0 45.0 10.0 46.0 10.0 46.0 9.0"


def test_a_ring_around_a_pole_stays() -> None:
    ring = "80.0 -120.0 80.0 0.0 80.0 120.0 80.0 -120.0"
    assert orient(ring) == ring
