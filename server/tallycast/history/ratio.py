"""How sure a share is: the lower bound of Wilson's score interval. Pure."""

from __future__ import annotations

from math import sqrt

Z = 1.959963984540054  # of a normal distribution 95 % lie within so many standard deviations of the mean


def wilson_lower(up: int, down: int) -> float:
    """What share of `up` among all votes there is at least, with 97.5 % confidence; 0 without votes.

    E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference (1927). Few votes prove little:
    9 of 10 are at least 0.60, 90 of 100 at least 0.83.
    """
    n = up + down
    if n <= 0 or up <= 0:
        return 0.0
    share = min(up / n, 1.0)
    z2 = Z * Z
    middle = share + z2 / (2 * n)
    half = Z * sqrt((share * (1 - share) + z2 / (4 * n)) / n)
    return (middle - half) / (1 + z2 / n)
