"""Histograms of latencies against numpy, which keeps every value."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallycast_loadtest.latency import Latency, Window

TEN_MINUTES_US = 600_000_000
# Each order of magnitude is as likely as the others: small and large latencies in one sample.
LATENCIES_US = st.lists(
    st.integers(0, 29).flatmap(lambda bits: st.integers(0, min(2**bits, TEN_MINUTES_US))), min_size=1, max_size=300
)
few = settings(max_examples=15, deadline=None)  # a histogram is walked in milliseconds


def whole(*windows: Sequence[int], second: int = 0) -> Latency:
    """The latencies of a run in which each process recorded one of `windows`, all in one second."""
    latency = Latency()
    for us in windows:
        window = Window()
        window.record_many(us)
        latency.add(second, window.take())
    return latency


def between(ms: float, us: Sequence[int], percentile: float) -> bool:
    """Whether `ms` is, within the histogram's three digits, one of the two values around the percentile."""
    low, high = (float(numpy.percentile(us, percentile, method=side)) for side in ("lower", "higher"))
    return low / 1000 <= ms <= max(high * 1.001, high + 1) / 1000


@few
@given(LATENCIES_US)
def test_percentiles_are_those_of_numpy_within_three_digits(us: list[int]) -> None:
    summary = whole(us).summary()
    assert summary is not None
    assert summary.count == len(us)
    assert between(summary.p50_ms, us, 50)
    assert between(summary.p90_ms, us, 90)
    assert between(summary.p99_ms, us, 99)
    assert between(summary.p999_ms, us, 99.9)


@few
@given(LATENCIES_US)
def test_the_mean_and_the_largest_are_exact(us: list[int]) -> None:
    summary = whole(us).summary()
    assert summary is not None
    assert summary.mean_ms == pytest.approx(float(numpy.mean(us)) / 1000, abs=0.0006)
    assert summary.max_ms == max(us) / 1000


@few
@given(LATENCIES_US)
def test_the_curve_grows_to_the_largest_and_agrees_with_numpy(us: list[int]) -> None:
    summary = whole(us).summary()
    assert summary is not None
    percentiles, latencies = zip(*summary.curve, strict=True)
    assert list(percentiles) == sorted(percentiles)
    assert list(latencies) == sorted(latencies)
    assert summary.curve[-1] == (100.0, summary.max_ms)
    # At each point: at least that share of the values is not above it.
    ordered = numpy.sort(us)
    for percentile, ms in summary.curve:
        not_above = numpy.searchsorted(ordered, ms * 1000 * 1.0005, side="right") / len(us)
        assert not_above * 100 >= percentile - 50 / len(us) - 1e-6


@few
@given(st.lists(LATENCIES_US, min_size=1, max_size=4))
def test_windows_of_many_processes_merge_into_what_one_would_have_recorded(windows: list[list[int]]) -> None:
    together = [us for window in windows for us in window]
    assert whole(*windows).summary() == whole(together).summary()
    assert whole(*windows).take_second(0) == whole(together).take_second(0)


@few
@given(LATENCIES_US)
def test_an_array_counts_as_its_values_one_by_one(us: list[int]) -> None:
    one_by_one = Window()
    for value in us:
        one_by_one.record(value)
    latency = Latency()
    latency.add(0, one_by_one.take())
    many = whole(array("q", us))
    assert latency.summary() == many.summary()


@few
@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 9)), min_size=1, max_size=50))
def test_a_weighted_latency_counts_as_often_as_it_weighs(weighted: list[tuple[int, int]]) -> None:
    one_by_one, many = Window(), Window()
    for us, count in weighted:
        one_by_one.record(us, count)
    many.record_many([us for us, _ in weighted], [count for _, count in weighted])
    repeated = whole([us for us, count in weighted for _ in range(count)]).summary()
    for window in (one_by_one, many):
        latency = Latency()
        latency.add(0, window.take())
        assert latency.summary() == repeated


def test_each_second_has_figures_of_its_own_and_the_whole_has_all() -> None:
    latency = Latency()
    window = Window()
    for second, us in enumerate(([1_000] * 99, [], [2_000, 90_000])):
        window.record_many(us)
        latency.add(second, window.take())
    first, second_, third = (latency.take_second(second) for second in range(3))
    assert first == (99, 1.0, 1.0, 1.0)
    assert second_ is None
    assert third is not None
    assert third.recorded == 2
    assert third.max_ms == 90.0
    summary = latency.summary()
    assert summary is not None
    assert (summary.count, summary.max_ms) == (101, 90.0)


def test_a_latency_beyond_ten_minutes_is_counted_and_told_in_full() -> None:
    summary = whole([1_000, 3 * TEN_MINUTES_US]).summary()
    assert summary is not None
    assert (summary.count, summary.max_ms) == (2, 1_800_000.0)


def test_nothing_recorded_is_no_figure() -> None:
    latency = Latency()
    latency.add(0, Window().take())
    assert latency.summary() is None
    assert latency.take_second(0) is None


def test_a_negative_latency_is_a_defect_and_not_a_figure() -> None:
    with pytest.raises(ValueError, match="-5 µs: the two times are not of one clock"):
        Window().record_many([1, -5])
    with pytest.raises(ValueError, match="-5 µs: the two times are not of one clock"):
        Window().record(-5)
