"""Times: which buckets a query is about, and what is no time to ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallycast.errors import Refused
from tallycast.history.spans import MOST_DAYS, Span, compared, span_of, step_of, within_of, zone_of
from tallycast.store.history import DAY, HOUR, KEPT_S, MINUTE

NOW_S = 1_763_812_345.6  # 2025-11-22 11:52:25.6
STEPS = (MINUTE, HOUR, DAY)


@settings(deadline=None)
@given(st.sampled_from(STEPS), st.integers(0, 40 * HOUR), st.integers(1, 8 * HOUR), st.floats(0, 1))
def test_a_span_has_all_buckets_that_its_time_touches_and_no_other(
    step: int, ago: int, length: int, part: float
) -> None:
    until_s = NOW_S - ago
    from_s = until_s - length - part
    span = span_of(step, from_s, until_s, NOW_S)
    assert span.from_s <= from_s < span.from_s + step
    assert span.until_s - step < until_s <= span.until_s
    assert span.before.until_s == span.from_s
    assert span.until_s - span.from_s == span.before.until_s - span.before.from_s


@pytest.mark.parametrize(("step", "buckets"), [(MINUTE, 181), (HOUR, 169), (DAY, 91)])
def test_unless_said_otherwise_it_is_the_time_until_now(step: int, buckets: int) -> None:
    span = span_of(step, None, None, NOW_S)
    assert span.last == NOW_S // step
    assert span.last - span.first + 1 == buckets


def test_the_bucket_that_has_just_begun_is_in_it() -> None:
    for step in STEPS:
        now_s = NOW_S // DAY * DAY
        assert span_of(step, None, None, now_s).last == now_s // step
        assert compared(None, None, now_s).last == now_s // HOUR


def test_a_time_that_ends_with_a_bucket_does_not_touch_the_next() -> None:
    assert span_of(HOUR, 1_763_805_600, 1_763_809_200, NOW_S) == Span(HOUR, 489_946, 489_946)


@pytest.mark.parametrize("step", [MINUTE, HOUR])
def test_what_is_just_kept_can_be_asked_for_and_what_is_older_not(step: int) -> None:
    oldest_s = NOW_S - KEPT_S[step]
    assert span_of(step, oldest_s, None, NOW_S).from_s <= oldest_s
    with pytest.raises(Refused, match="ask from later on, or with step="):
        span_of(step, oldest_s - 3 * step, oldest_s, NOW_S)


def test_days_are_kept_for_ever_and_asked_for_some_at_once() -> None:
    old_s = NOW_S - 20 * 365 * DAY
    assert span_of(DAY, old_s, old_s + (MOST_DAYS - 1) * DAY, NOW_S).last
    with pytest.raises(Refused, match="shorter"):
        span_of(DAY, old_s, old_s + (MOST_DAYS + 1) * DAY, NOW_S)
    assert span_of(DAY, 0, DAY + 1, NOW_S) == Span(DAY, 1, 1), "bucket 0 is for what is undated"


@pytest.mark.parametrize(
    ("from_s", "until_s", "said"),
    [
        (NOW_S, NOW_S, "before until"),
        (NOW_S - 5, NOW_S - 6, "before until"),
        (NOW_S + 100, None, "future"),
        (None, NOW_S + 2 * HOUR, "future"),
        (NOW_S + 2 * DAY, NOW_S + 3 * DAY, "future"),
    ],
)
def test_a_time_that_is_none_is_refused(from_s: float | None, until_s: float | None, said: str) -> None:
    with pytest.raises(Refused, match=said) as refused:
        span_of(HOUR, from_s, until_s, NOW_S)
    assert refused.value.code == "bad_request"


def test_times_are_compared_by_hour_as_long_as_the_hours_of_both_are_kept() -> None:
    assert compared(None, None, NOW_S).step == HOUR
    assert compared(NOW_S - 40 * DAY, None, NOW_S).step == HOUR
    assert compared(NOW_S - 46 * DAY, None, NOW_S).step == DAY
    assert compared(NOW_S - 400 * DAY, NOW_S - 390 * DAY, NOW_S) == Span(DAY, 20_014, 20_024)
    assert compared(None, NOW_S - 40 * DAY, NOW_S).from_s // DAY == NOW_S // DAY - 47


def test_zones_are_names_or_offsets() -> None:
    noon = datetime(2025, 7, 1, 12, tzinfo=UTC)
    assert noon.astimezone(zone_of("Europe/Berlin")).hour == 14
    assert noon.astimezone(zone_of("UTC")).hour == 12
    assert noon.astimezone(zone_of("+05:30")).strftime("%H:%M") == "17:30"
    assert noon.astimezone(zone_of("-14:00")).utcoffset() == timedelta(hours=-14)


@pytest.mark.parametrize("name", ["", "Mars", "/etc/localtime", "../x", "Europe", "+1", "+15:00", "05:30", "a" * 500])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(Refused, match="zone"):
        zone_of(name)


def test_steps_and_windows_have_names() -> None:
    assert step_of("hour") == HOUR
    assert within_of("all") == "all"
    for wrong in ("", "week ", "HOUR"):
        with pytest.raises(Refused):
            step_of(wrong)
        with pytest.raises(Refused):
            within_of(wrong)
