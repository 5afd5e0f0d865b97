"""The footprint of a product, in MTD_MSIL1C.xml, checked before a library computes with it."""

from stage_in.errors import ProductError
from stage_in.safe.xml import parse_number

# Real footprints have 5 to 56 corners. Repairing a ring of 200 corners that crosses itself takes
# the antimeridian library 100 s, and one of 1000 corners far longer.
_MAX_CORNERS = 200
_MIN_CORNERS = 4  # of a closed triangle


def check_footprint(text: str, what: str) -> None:
    """Check that a footprint is a possible ring of pairs of latitude and longitude.

    The specification also allows triples with a height, which the library would read as pairs.

    Args:
        text: the content of EXT_POS_LIST.
        what: what it is, for the message.

    Raises:
        ProductError: it is something else.
    """
    numbers = [parse_number(number, what) for number in text.split()]
    corners = len(numbers) / 2
    in_range = all(abs(latitude) <= 90 for latitude in numbers[::2]) and all(
        abs(longitude) <= 180 for longitude in numbers[1::2]
    )
    if (
        not _MIN_CORNERS <= corners <= _MAX_CORNERS
        or len(numbers) % 2
        or not in_range
        or _is_ring_of_triples(numbers)
    ):
        raise ProductError(
            f"expected pairs of latitude and longitude of {_MIN_CORNERS} to {_MAX_CORNERS} corners "
            f"as {what}, found {text[:80]!r}"
        )


def _is_ring_of_triples(numbers: list[float]) -> bool:
    """Tell whether the numbers are a closed ring as triples, and none as pairs."""
    return len(numbers) % 3 == 0 and numbers[:3] == numbers[-3:] and numbers[:2] != numbers[-2:]
