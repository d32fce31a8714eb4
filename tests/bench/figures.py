"""The arithmetic of the benchmark: medians with their spread, ratios of rounds, and lines through points. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

BEND = 0.2  # of what the line foretells: how far off the next point must be


class Spread(NamedTuple):
    """The median of some runs, and the least and the greatest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Raises statistics.StatisticsError where there is no value."""
        return cls(statistics.median(values), min(values), max(values))


def ratios(values: Sequence[float], to: Sequence[float]) -> Spread:
    """How many times `to` the values are, round by round: what slows a whole round down falls out."""
    return Spread.of([value / base for value, base in zip(values, to, strict=True)])


class Line(NamedTuple):
    """`start + slope * x`, and how much of the points' variance it explains (1 is all)."""

    start: float
    slope: float
    r_squared: float

    def at(self, x: float) -> float:
        """The line's value at `x`."""
        return self.start + self.slope * x


def fit(xs: Sequence[float], ys: Sequence[float]) -> Line:
    """The line of least squares. ValueError with fewer than two different xs."""
    if len(set(xs)) < 2:
        raise ValueError("a line needs two points")
    design = np.column_stack([np.ones(len(xs)), np.asarray(xs, float)])
    (start, slope), *_ = np.linalg.lstsq(design, np.asarray(ys, float), rcond=None)
    left = np.asarray(ys, float) - design @ np.array([start, slope])
    total = float(np.sum((np.asarray(ys, float) - np.mean(ys)) ** 2))
    return Line(float(start), float(slope), 1 - float(np.sum(left**2)) / total if total else 1.0)


def exponent(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The slope on doubly logarithmic paper: 1 where cost grows with x, 0 where x does not matter. All must be > 0."""
    return fit([float(np.log(x)) for x in xs], [float(np.log(y)) for y in ys]).slope


def bend(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """The first x whose y is off the line through all points before it by more than BEND. None where there is none.

    Points must be in the order of x; a line is not trusted before it has three of them.
    """
    for n in range(3, len(xs)):
        foretold = fit(xs[:n], ys[:n]).at(xs[n])
        if abs(ys[n] - foretold) > BEND * abs(foretold):
            return xs[n]
    return None
