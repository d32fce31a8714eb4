"""limits.py: the meter against a plain bucket of tokens, and that neither limit remembers for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallycast.limits import Cap, Rate


class Bucket:
    """The oracle: `burst` tokens, `per_s` more a second up to `burst`, one taken a time."""

    def __init__(self, per_s: float, burst: float) -> None:
        self.per_s, self.burst = per_s, burst
        self.tokens, self.at_s = burst, 0.0

    def wait_s(self, now_s: float) -> float:
        self.tokens = min(self.burst, self.tokens + (now_s - self.at_s) * self.per_s)
        self.at_s = now_s
        if self.tokens >= 1:
            self.tokens -= 1
            return 0.0
        return (1 - self.tokens) / self.per_s


# Powers of two and steps of 1/64 s: neither the meter nor the oracle rounds, so they must agree to the bit.
@given(
    st.sampled_from([0.25, 0.5, 1.0, 2.0, 8.0, 64.0]),
    st.integers(1, 12),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 640)), max_size=60),
)
def test_a_rate_admits_what_a_bucket_of_tokens_would(per_s: float, burst: int, calls: list[tuple[str, int]]) -> None:
    rate, buckets, now_s = Rate(per_s, burst), {key: Bucket(per_s, burst) for key in "abc"}, 1024.0
    for key, step in calls:
        now_s += step / 64
        assert rate.wait_s(key, now_s) == buckets[key].wait_s(now_s)


@given(
    st.floats(0.01, 10_000),
    st.floats(1, 1000),
    st.floats(0, 2e9),
    st.integers(1, 2000),
)
def test_whoever_waits_as_told_is_admitted(per_s: float, burst: float, now_s: float, tries: int) -> None:
    rate = Rate(per_s, burst)
    for _ in range(min(tries, int(burst) + 1)):
        wait_s = rate.wait_s("a", now_s)
    if wait_s:
        assert rate.wait_s("a", now_s + wait_s) == 0.0


def test_a_burst_of_one_admits_one_at_a_time() -> None:
    rate = Rate(0.1, 1)
    assert rate.wait_s("a", 1_763_750_000.123) == 0.0
    assert rate.wait_s("a", 1_763_750_000.123) == pytest.approx(10.0)
    assert rate.wait_s("a", 1_763_750_005.123) == pytest.approx(5.0)
    assert rate.wait_s("a", 1_763_750_010.123) == 0.0


def test_what_is_refused_is_not_counted() -> None:
    rate = Rate(1, 2)
    assert [rate.wait_s("a", 0.0) for _ in range(100)][-1] == 1.0
    assert rate.wait_s("a", 1.0) == 0.0


def test_keys_do_not_share_a_rate() -> None:
    rate = Rate(1, 1)
    assert [rate.wait_s(key, 0.0) for key in ("a", "b", "a", "b")] == [0.0, 0.0, 1.0, 1.0]


def test_a_rate_of_zero_is_no_limit_and_remembers_nobody() -> None:
    rate = Rate(0, 0)
    assert [rate.wait_s("a", 0.0) for _ in range(1000)] == [0.0] * 1000
    assert len(rate) == 0


def test_a_rate_forgets_keys_that_are_full_again() -> None:
    rate = Rate(10, 40)  # full again after 4 s at the most
    most = 0
    for second in range(100):
        for call in range(50):
            rate.wait_s(f"{second}-{call}", float(second))
        most = max(most, len(rate))
    assert most <= 50 * 8
    rate.wait_s("last", 1000.0)
    assert len(rate) == 1


@pytest.mark.parametrize(("per_s", "burst"), [(-1, 1), (1, 0), (1, 0.5)])
def test_a_rate_without_sense_is_refused(per_s: float, burst: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        Rate(per_s, burst)


@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from("ab"), st.booleans())))
def test_a_cap_admits_that_many_at_a_time(most: int, moves: list[tuple[str, bool]]) -> None:
    cap, inside = Cap(most), {"a": 0, "b": 0}
    for key, enters in moves:
        if enters:
            assert cap.enter(key) == (inside[key] < most)
            inside[key] = min(inside[key] + 1, most)
        elif inside[key]:
            cap.leave(key)
            inside[key] -= 1
        assert len(cap) == sum(1 for count in inside.values() if count)


def test_a_cap_of_zero_is_no_limit() -> None:
    cap = Cap(0)
    assert all(cap.enter("a") for _ in range(1000))
    cap.leave("a")
    assert len(cap) == 0


def test_leaving_without_having_entered_is_a_defect_that_shows() -> None:
    with pytest.raises(KeyError):
        Cap(1).leave("a")


def test_a_cap_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="cap"):
        Cap(-1)
