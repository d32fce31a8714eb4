"""bursts/judge.py: what is taken for a burst, and what is not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tallycast.bursts.judge import CROWD, FLOOR, MOST_FRESH, MOST_NETWORKS, TIMES, WINDOW_S, Verdict, Watch
from tallycast.bursts.networks import network

LEAST = int(TIMES * FLOOR)  # newcomers a minute on an item that is usually quiet
names = (f"v:{number}" for number in count())


def crowd(number: int, *networks: str) -> list[tuple[str, str, str]]:
    """So many newcomers, spread evenly over the networks."""
    return [(next(names), networks[at % len(networks)], "like") for at in range(number)]


def seconds(number: int, now_s: float = 0.0) -> Iterator[float]:
    return (now_s + second for second in range(number))


def steady(watch: Watch, per_minute: int, minutes: int) -> float:
    """People who are no newcomers, for so long; when that ends."""
    now_s = 0.0
    for _ in range(minutes):
        now_s += 60.0
        watch.note(now_s, (), per_minute)
    return now_s


def test_newcomers_from_one_network_far_above_the_usual_are_a_burst() -> None:
    watch = Watch(0.0)
    watch.note(1.0, crowd(LEAST, "n"), 0)
    assert watch.judge(1.0) == Verdict(frozenset({"n"}), float(LEAST), 0.0, 1.0)
    assert len(watch.of({"n"})) == LEAST and watch.of({"elsewhere"}) == []


def test_one_less_is_none() -> None:
    watch = Watch(0.0)
    watch.note(1.0, crowd(LEAST - 1, "n"), 0)
    assert watch.judge(1.0) is None


def test_it_adds_up_over_the_window_and_not_beyond() -> None:
    quick, slow = Watch(0.0), Watch(0.0)
    for now_s in seconds(30):
        quick.note(now_s, crowd(2, "n"), 0)
    assert quick.judge(29.0) is not None
    for now_s in seconds(600):
        slow.note(now_s, crowd(1, "n") if now_s % 2 else (), 0)
        assert slow.judge(now_s) is None


def test_one_person_who_says_much_is_one() -> None:
    watch = Watch(0.0)
    watch.note(1.0, [("v:1", "n", kind) for kind in ("like", "love", "share") for _ in range(LEAST)], 0)
    assert watch.judge(1.0) is None
    assert watch.of({"n"}) == [("v:1", "like")]


def test_newcomers_from_everywhere_are_no_burst() -> None:
    watch = Watch(0.0)
    watch.note(1.0, [each for number in range(1000) for each in crowd(3, f"n{number}")], 0)
    assert watch.judge(1.0) is None


def test_a_small_network_in_a_great_crowd_is_no_burst() -> None:
    watch = Watch(0.0)
    watch.note(1.0, crowd(LEAST, "n") + crowd(5 * LEAST, *(f"n{number}" for number in range(100))), 0)
    assert watch.judge(1.0) is None


def test_in_a_burst_the_small_networks_are_left_alone() -> None:
    watch = Watch(0.0)
    watch.note(1.0, crowd(2 * LEAST, "a", "b") + crowd(20, *(f"n{number}" for number in range(20))), 0)
    verdict = watch.judge(1.0)
    assert verdict is not None and verdict.networks == {"a", "b"}


def test_a_network_needs_a_crowd_and_no_more_than_some_are_named() -> None:
    watch = Watch(0.0)
    every = [f"n{number}" for number in range(MOST_NETWORKS + 4)]
    watch.note(1.0, crowd(CROWD * len(every), *every), 0)
    verdict = watch.judge(1.0)
    assert verdict is not None and len(verdict.networks) == MOST_NETWORKS


def test_an_office_whose_people_are_known_is_no_burst() -> None:
    watch = Watch(0.0)
    watch.note(1.0, (), 500)
    assert watch.judge(1.0) is None
    watch.note(2.0, crowd(LEAST, "office"), 0)
    assert watch.judge(2.0) is None  # newcomers among so many others


@pytest.mark.parametrize(("per_minute", "hours"), [(30, 24), (300, 24)])
def test_what_is_usual_is_the_mean_of_the_past_hours(per_minute: int, hours: int) -> None:
    watch = Watch(0.0)
    now_s = steady(watch, per_minute, hours * 60)
    assert watch.usual(now_s) == pytest.approx(per_minute, rel=0.01)
    assert watch.usual(now_s + 2 * 3600) == pytest.approx(per_minute / 2.718, rel=0.02)


def test_an_item_that_usually_gets_much_takes_more() -> None:
    watch = Watch(0.0)
    now_s = steady(watch, 60, 12 * 60)
    watch.note(now_s + WINDOW_S + 1, crowd(500, "n"), 0)
    assert watch.judge(now_s + WINDOW_S + 1) is None
    watch.note(now_s + WINDOW_S + 2, crowd(200, "n"), 0)
    assert watch.judge(now_s + WINDOW_S + 2) is not None


def test_a_burst_does_not_become_what_is_usual() -> None:
    watch = Watch(0.0)
    for now_s in seconds(600):
        watch.note(now_s, crowd(10, "n"), 0, frozenset({"n"}))
    assert watch.usual(600.0) == 0.0
    for now_s in seconds(600, 600.0):
        watch.note(now_s, crowd(10, "n"), 0)
    assert watch.usual(1200.0) > 30


def test_what_is_kept_of_an_item_is_bounded() -> None:
    watch = Watch(0.0)
    watch.note(1.0, crowd(MOST_FRESH + 500, "n"), 0)
    assert len(watch.of({"n"})) == MOST_FRESH


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("2001:db8:1:3::/64", "2001:db8:1::/48"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_a_network_is_what_one_customer_may_have(address: str, expected: str) -> None:
    assert network(address) == expected
