"""The footprint of a product, in MTD_MSIL1C.xml, checked before a library computes with it."""

from collections.abc import Sequence
from itertools import combinations, pairwise

from stage_in.errors import ProductError
from stage_in.safe.tile import Tile
from stage_in.safe.xml import parse_number
from stage_in.secrets import excerpt

FOOTPRINT = "{*}Geometric_Info/Product_Footprint/Product_Footprint/Global_Footprint/EXT_POS_LIST"
# Real footprints have 5 to 56 corners, and hardly cross themselves. Repairing a ring of 200 corners
# that crosses itself thousands of times takes the library a minute.
_MAX_CORNERS = 200
_MAX_CROSSINGS = 50
_MIN_CORNERS = 4  # of a closed triangle
_DIGITS = 6  # to which stactools-sentinel2 rounds: 179.9999999 becomes 180


def check_footprint(text: str, tile: Tile, what: str) -> None:
    """Check that a footprint is a possible ring of pairs of latitude and longitude at a tile.

    The specification also allows triples with a height, which the library would read as pairs.

    Args:
        text: the content of EXT_POS_LIST.
        tile: where it must be.
        what: what it is, for the message.

    Raises:
        ProductError: it is something else.
    """
    numbers = [parse_number(number, what) for number in text.split()]
    corners = len(numbers) / 2
    if (
        not _MIN_CORNERS <= corners <= _MAX_CORNERS
        or len(numbers) % 2
        or not all(abs(latitude) <= 90 for latitude in numbers[::2])
        or not all(abs(longitude) <= 180 for longitude in numbers[1::2])
        or _is_ring_of_triples(numbers)
    ):
        raise ProductError(
            f"{what} must be pairs of latitude and longitude of {_MIN_CORNERS} to {_MAX_CORNERS} "
            f"corners, but is {excerpt(text, 80)!r}"
        )
    positions = [*zip(numbers[::2], numbers[1::2], strict=True)]
    for latitude, longitude in positions:
        if not tile.is_near(latitude, longitude):
            raise ProductError(
                f"{what} must be at the tile in the product's name, but has a corner at latitude "
                f"{latitude:g} and longitude {longitude:g}"
            )
    # As all of them are near the tile, longitudes from its meridian make the ring a plane one.
    ring = [(latitude, tile.get_offset(longitude)) for latitude, longitude in positions]
    if (crossings := _count_crossings(ring)) > _MAX_CROSSINGS:
        raise ProductError(
            f"{what} must cross itself {_MAX_CROSSINGS} times at most, but does so {crossings} "
            "times"
        )


def _count_crossings(ring: Sequence[tuple[float, float]]) -> int:
    """Return how often the sides of a ring cross each other."""

    def turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
        return (b[0] - a[0]) * (c[1] - a[1]) > (b[1] - a[1]) * (c[0] - a[0])

    return sum(
        turn(a, b, c) != turn(a, b, d) and turn(c, d, a) != turn(c, d, b)
        for (a, b), (c, d) in combinations(pairwise(ring), 2)
    )


def _is_ring_of_triples(numbers: list[float]) -> bool:
    """Tell whether the numbers are a closed ring as triples, and none as pairs."""
    return len(numbers) % 3 == 0 and numbers[:3] == numbers[-3:] and numbers[:2] != numbers[-2:]


def orient(text: str) -> str:
    """Return a valid footprint counter-clockwise, with longitudes on the right side of 180°.

    Otherwise the antimeridian library, which reverses a clockwise ring only after it has looked for
    crossings, takes a ring that touches 180° for one around the globe, or leaves it clockwise.

    Args:
        text: the content of EXT_POS_LIST.
    """
    numbers = [round(float(number), _DIGITS) for number in text.split()]
    if numbers[:2] != numbers[-2:]:
        numbers += numbers[:2]
    latitudes, given = numbers[::2], numbers[1::2]
    longitudes = given[:1]  # continuous, so that they may exceed 180
    for longitude in given[1:]:
        last = longitudes[-1]
        longitudes.append(round(last + (longitude - last + 180) % 360 - 180, _DIGITS))
    if longitudes[0] != longitudes[-1]:
        return text  # it goes around a pole
    corners = [*zip(longitudes, latitudes, strict=True)]
    corners = corners if _get_area(corners) > 0 else corners[::-1]
    turns = ((min(longitudes) + max(longitudes)) / 2 + 180) // 360
    return " ".join(f"{y} {round(_wrap(x - 360 * turns), _DIGITS)}" for x, y in corners)


def _get_area(corners: list[tuple[float, float]]) -> float:
    """Return twice the area of a closed ring: positive if it is counter-clockwise."""
    return sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in pairwise(corners))


def _wrap(longitude: float) -> float:
    """Return a longitude of -540 to 540 from -180 to 180; 180 and -180 stay."""
    if longitude > 180:
        return longitude - 360
    return longitude + 360 if longitude < -180 else longitude
