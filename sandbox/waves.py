"""Smooth surfaces as formulas of the place: plane waves, and bumps that repeat."""

from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

TURN = 2 * pi


def add_products(east: Numbers, south: Numbers) -> Numbers:
    """Return the sum of products of a function of the easting and one of the southing.

    Args:
        east: the values of each function of the easting, in an array of any shape for each.
        south: those of the southing, in shapes that broadcast with it.
    """
    if east.ndim == 3 and east.shape[1] == 1 and south.shape[2] == 1:
        # On a grid, the values are needed for each row and column only.
        product: Numbers = south[:, :, 0].T @ east[:, 0, :]
        return product
    return sum((e * s for e, s in zip(east, south, strict=True)), np.zeros(()))


@dataclass(frozen=True)
class Bump:
    """A hill, which is there again after each period.

    Attributes:
        height: its height.
        place: its distance to the east and to the south of the corner, in metres.
        width: the distances from its top at which it has 0.6 of its height.
        period: the distances after which it is there again.
    """

    height: float
    place: tuple[float, float]
    width: tuple[float, float]
    period: tuple[float, float]

    def get_factor(self, axis: int, metres: Numbers) -> Numbers:
        """Return the bump along one axis, 0 for east and 1 for south, with a height of 1."""
        phase = TURN * (metres - self.place[axis]) / self.period[axis]
        return np.exp(self._get_sharpness(axis) * (np.cos(phase) - 1))

    def get_slope(self, axis: int, metres: Numbers) -> Numbers:
        """Return the derivative of that factor."""
        phase = TURN * (metres - self.place[axis]) / self.period[axis]
        steepness = -self._get_sharpness(axis) * TURN / self.period[axis]
        return steepness * np.sin(phase) * self.get_factor(axis, metres)

    def _get_sharpness(self, axis: int) -> float:
        return (self.period[axis] / TURN / self.width[axis]) ** 2


class Layer:
    """A rough surface: plane waves in all directions, and bumps.

    The waves have a mean of 0 and a standard deviation of 1. Longer ones are higher.
    """

    def __init__(
        self, seed: int, lengths: tuple[float, float], count: int, *bumps: Bump, power: float = 1.0
    ) -> None:
        """Choose the waves.

        Args:
            seed: another one gives another surface.
            lengths: the shortest and the longest wavelength in metres.
            count: the number of waves.
            bumps: what is added to the waves.
            power: the power of a wave's length to which its height is proportional.
        """
        random = np.random.RandomState(seed)  # whose numbers stay the same in new versions of numpy
        shortest, longest = lengths
        steps = (np.arange(count) + random.random_sample(count)) / count
        length = shortest * (longest / shortest) ** steps
        direction = pi * (0.618 * np.arange(count) + 0.15 * random.random_sample(count))
        self._east = TURN / length * np.cos(direction)
        self._south = TURN / length * np.sin(direction)
        self._phase = TURN * random.random_sample(count)
        height = length**power
        self._height = height / np.sqrt((height**2).sum() / 2)
        self._bumps = bumps

    def get_height(self, east: Numbers, south: Numbers) -> Numbers:
        """Return the height at some places."""
        return self._add(east, south, self._height, 0.0, self._get_bumps(east, south))

    def get_slope(self, east: Numbers, south: Numbers, towards: tuple[float, float]) -> Numbers:
        """Return how much the surface rises in a direction, per metre."""
        to_east, to_south = towards
        height = self._height * (self._east * to_east + self._south * to_south)
        bumps = [
            pair
            for bump in self._bumps
            for pair in (
                (bump.height * to_east * bump.get_slope(0, east), bump.get_factor(1, south)),
                (bump.height * to_south * bump.get_factor(0, east), bump.get_slope(1, south)),
            )
        ]
        # The derivative of a cosine is a cosine, a quarter of a turn further.
        return self._add(east, south, height, pi / 2, bumps)

    def _get_bumps(self, east: Numbers, south: Numbers) -> list[tuple[Numbers, Numbers]]:
        return [
            (bump.height * bump.get_factor(0, east), bump.get_factor(1, south))
            for bump in self._bumps
        ]

    def _add(
        self,
        east: Numbers,
        south: Numbers,
        height: Numbers,
        turn: float,
        bumps: list[tuple[Numbers, Numbers]],
    ) -> Numbers:
        """Add up waves and bumps, by cos(a + b) = cos a cos b - sin a sin b."""
        a = np.multiply.outer(self._east, east)
        a += (self._phase + turn).reshape((-1,) + (1,) * east.ndim)
        b = np.multiply.outer(self._south, south)
        height = height.reshape((-1,) + (1,) * east.ndim)
        return add_products(
            np.concatenate([height * np.cos(a), -height * np.sin(a), *([x] for x, _ in bumps)]),
            np.concatenate([np.cos(b), np.sin(b), *([y] for _, y in bumps)]),
        )
