from __future__ import annotations

from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallycast.history.ratio import Z, wilson_lower

VOTES = st.integers(0, 10**9)


@pytest.mark.parametrize(
    ("up", "down", "lower"),
    [  # R. G. Newcombe, Two-sided confidence intervals for the single proportion (1998), method 3 in table I
        (81, 263 - 81, 0.2553),
        (15, 148 - 15, 0.0624),
        (1, 29 - 1, 0.0061),
        (0, 20, 0.0),
        (20, 0, 1 - 0.1611),
    ],
)
def test_the_bound_is_wilsons(up: int, down: int, lower: float) -> None:
    assert wilson_lower(up, down) == pytest.approx(lower, abs=5.1e-5)


def test_without_votes_nothing_is_sure() -> None:
    assert wilson_lower(0, 0) == 0


@settings(deadline=None)
@given(VOTES, VOTES)
def test_the_bound_solves_the_equation_that_defines_it(up: int, down: int) -> None:
    """At the lower bound p the share is Z standard deviations of p above it."""
    lower = wilson_lower(up, down)
    assert 0 <= lower <= 1
    if up and down:
        n = up + down
        assert up / n - lower == pytest.approx(Z * sqrt(lower * (1 - lower) / n), rel=1e-4, abs=1e-9)


@settings(deadline=None)
@given(st.integers(1, 1000), st.integers(0, 1000), st.integers(2, 1000))
def test_more_votes_of_the_same_share_prove_more(up: int, down: int, times: int) -> None:
    assert wilson_lower(up * times, down * times) > wilson_lower(up, down)
