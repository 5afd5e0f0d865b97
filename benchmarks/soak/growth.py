"""Whether what a process holds grows from product to product."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

LEAST = 10  # products, of which something can be told
WARM_UP = 0.1  # of the products, at the beginning, which are not looked at
WARM_UP_LEAST = 3  # products


@dataclass(frozen=True)
class Growth:
    """How one figure changes from product to product.

    Attributes:
        first: median of the first quarter, once the process is warm.
        last: median of the last quarter.
        slope: per 100 products, of the line with the least squares.
    """

    first: float
    last: float
    slope: float

    @property
    def share(self) -> float:
        """By which part of the first the last is more."""
        return (self.last - self.first) / self.first if self.first else float(self.last > 0)

    def exceeds(self, allowed: float = 0.0) -> bool:
        """Tell whether it grows by more than a share of the first."""
        return self.share > allowed


def judge(series: Sequence[float]) -> Growth:
    """Compare the beginning of a series with its end.

    Medians: what one product takes for a moment is no growth, and what is left behind by one in
    some products is.

    Args:
        series: one figure after each product.

    Raises:
        ValueError: there are too few.
    """
    if len(series) < LEAST:
        raise ValueError(f"expected figures of at least {LEAST} products, found {len(series)}")
    warm = series[max(WARM_UP_LEAST, round(WARM_UP * len(series))) :]
    quarter = len(warm) // 4
    middle, mean = (len(warm) - 1) / 2, fmean(warm)
    steps = sum((x - middle) ** 2 for x in range(len(warm)))
    slope = sum((x - middle) * (y - mean) for x, y in enumerate(warm)) / steps
    return Growth(median(warm[:quarter]), median(warm[-quarter:]), 100 * slope)
