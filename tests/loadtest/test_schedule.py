"""The schedule: open, seeded, the same in however many processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from random import Random

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallycast_loadtest.scenario import Scenario
from tallycast_loadtest.schedule import Items, Planned, Turns, arrivals, churn, connect_s, reactions, roles

BUSY = Scenario(reactors=500, rate_per_s=400.0, duration_s=30.0, items=50)


def whole(scenario: Scenario, parts: int) -> list[Planned]:
    """The reactions of all processes."""
    return sorted(planned for part in range(parts) for planned in reactions(scenario, part, parts))


@pytest.mark.parametrize("parts", [1, 3])
def test_constant_arrivals_are_evenly_apart_over_all_processes(parts: int) -> None:
    scenario = Scenario(arrivals="constant", rate_per_s=8.0, duration_s=5.0)
    times = sorted(at_s for part in range(parts) for at_s in arrivals(scenario, part, parts))
    assert times == [number / 8 for number in range(40)]


@pytest.mark.parametrize("parts", [1, 4])
def test_poisson_arrivals_have_the_rate_and_the_spread_of_independent_people(parts: int) -> None:
    times = [planned.at_s for planned in whole(BUSY, parts)]
    expected = BUSY.rate_per_s * BUSY.duration_s
    assert len(times) == pytest.approx(expected, abs=5 * expected**0.5)
    gaps_s = numpy.diff(times)
    # An exponential distribution: its deviation is its mean.
    assert float(numpy.std(gaps_s)) == pytest.approx(1 / BUSY.rate_per_s, rel=0.1)
    assert max(times) < BUSY.duration_s


def test_the_seed_makes_the_schedule() -> None:
    again = Scenario(**BUSY.to_json())
    other = Scenario(**{**BUSY.to_json(), "seed": 2})
    assert list(reactions(BUSY)) == list(reactions(again))
    assert list(reactions(BUSY)) != list(reactions(other))


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_each_process_has_its_own_reactors_and_all_have_all(parts: int) -> None:
    seen = [{planned.reactor for planned in reactions(BUSY, part, parts)} for part in range(parts)]
    assert set().union(*seen) == set(range(BUSY.reactors))
    for part, reactors in enumerate(seen):
        assert {reactor % parts for reactor in reactors} == {part}


@pytest.mark.parametrize("arrangement", ["constant", "poisson"])
def test_more_processes_than_reactors_still_make_the_whole_rate(arrangement: str) -> None:
    scenario = Scenario(**{**BUSY.to_json(), "arrivals": arrangement, "reactors": 2, "rate_per_s": 100.0, "think_s": 0})
    expected = scenario.rate_per_s * scenario.duration_s
    assert len(whole(scenario, 5)) == pytest.approx(expected, abs=5 * expected**0.5)


def test_no_rate_and_no_reactors_are_no_reactions() -> None:
    assert list(reactions(Scenario(rate_per_s=0.0))) == []
    assert list(reactions(Scenario(rate_per_s=0.0, reactors=0))) == []


def test_actors_let_the_think_time_pass_where_there_are_enough_of_them() -> None:
    scenario = Scenario(**{**BUSY.to_json(), "arrivals": "constant"})
    last_s: dict[int, float] = {}
    for planned in reactions(scenario):
        assert planned.at_s - last_s.get(planned.reactor, -scenario.think_s) >= scenario.think_s - 1e-9
        last_s[planned.reactor] = planned.at_s
    assert len(last_s) == scenario.reactors


@settings(deadline=None)
@given(st.lists(st.floats(0, 0.4), min_size=1, max_size=60), st.integers(1, 6))
def test_turns_go_to_somebody_rested_or_to_the_longest_rested(gaps_s: list[float], reactors: int) -> None:
    turns = Turns(range(reactors), 1.0, Random(0))
    now_s, last_s = 0.0, dict.fromkeys(range(reactors), -9.0)
    for gap_s in gaps_s:
        now_s += gap_s
        chosen = turns.take(now_s)
        rested = {reactor for reactor, at_s in last_s.items() if at_s + 1.0 <= now_s}
        assert chosen in rested or (not rested and last_s[chosen] == min(last_s.values()))
        last_s[chosen] = now_s


def test_items_are_chosen_as_often_as_their_distribution_says() -> None:
    def shares(**keys: object) -> list[float]:
        scenario = Scenario(**{**BUSY.to_json(), "duration_s": 60.0, "items": 4, **keys})
        chosen = Counter(planned.item for planned in reactions(scenario))
        return [chosen[item] / chosen.total() for item in range(4)]

    assert shares(distribution="uniform") == pytest.approx([0.25] * 4, abs=0.02)
    harmonic = sum(1 / rank for rank in range(1, 5))
    assert shares(distribution="zipf") == pytest.approx([1 / rank / harmonic for rank in range(1, 5)], abs=0.02)
    squares = sum(1 / rank**2 for rank in range(1, 5))
    assert shares(distribution="zipf", zipf_exponent=2.0)[0] == pytest.approx(1 / squares, abs=0.02)
    assert shares(distribution="hot", hot_share=0.7) == pytest.approx([0.7, 0.1, 0.1, 0.1], abs=0.02)
    assert shares(distribution="hot", hot_share=1.0) == [1.0, 0.0, 0.0, 0.0]
    assert shares(distribution="hot", hot_share=0.0)[0] == 0.0


def test_kinds_are_chosen_by_their_weights_whatever_these_add_up_to() -> None:
    scenario = Scenario(**{**BUSY.to_json(), "kinds": {"like": 6, "clap": 2}})
    chosen = Counter(planned.kind for planned in reactions(scenario))
    assert chosen["like"] / chosen.total() == pytest.approx(0.75, abs=0.02)
    assert chosen.keys() == {"like", "clap"}


@pytest.mark.parametrize("keys", [{"distribution": "uniform"}, {"distribution": "hot", "hot_share": 1.0}])
@pytest.mark.parametrize("per_viewer", [1, 3, 6])
def test_a_viewer_watches_as_many_different_items_as_wanted_and_the_same_each_time(
    keys: dict[str, object], per_viewer: int
) -> None:
    items = Items(Scenario(**{"items": 6, "items_per_viewer": per_viewer, **keys}))  # type: ignore[arg-type]
    for viewer in range(50):
        watched = items.of_viewer(viewer)
        assert len(set(watched)) == len(watched) == per_viewer
        assert set(watched) <= set(range(6))
        assert items.of_viewer(viewer) == watched


def test_viewers_spread_over_items_as_reactions_do() -> None:
    items = Items(Scenario(items=2, distribution="hot", hot_share=0.8))
    first = sum(items.of_viewer(viewer) == [0] for viewer in range(2000))
    assert first / 2000 == pytest.approx(0.8, abs=0.04)


def test_the_ramp_is_even_and_may_be_none() -> None:
    scenario = Scenario(viewers=5, ramp_s=10.0)
    assert [connect_s(scenario, viewer) for viewer in range(5)] == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert {connect_s(Scenario(ramp_s=0.0), viewer) for viewer in range(100)} == {0.0}


@pytest.mark.parametrize("parts", [1, 3])
def test_churn_takes_its_share_of_the_viewers_each_second(parts: int) -> None:
    scenario = Scenario(viewers=1000, churn_per_s=0.05, duration_s=40.0)
    leaves: list[tuple[float, int]] = []
    for part in range(parts):
        own = list(churn(scenario, part, parts))
        assert {viewer % parts for _, viewer in own} == {part}
        assert ascending([at_s for at_s, _ in own])
        leaves += own
    assert len(leaves) == pytest.approx(2000, abs=5 * 2000**0.5)
    assert all(0 <= at_s < 40 and 0 <= viewer < 1000 for at_s, viewer in leaves)
    assert len({viewer for _, viewer in leaves}) > 700  # anybody, not always the same


def test_without_churn_nobody_leaves() -> None:
    assert list(churn(Scenario())) == []
    assert list(churn(Scenario(viewers=0, churn_per_s=0.5))) == []


def test_roles_have_their_shares_and_nobody_is_slow_and_stuck() -> None:
    scenario = Scenario(viewers=1000, sse_share=0.25, slow_share=0.7, stuck_share=0.3, storm_at_s=1.0, storm_share=0.5)
    found = roles(scenario)
    assert [len(role) for role in found] == [250, 700, 300, 500]
    assert not found.slow & found.stuck
    assert found.sse & found.slow  # other roles are independent
    assert set().union(*found) <= set(range(1000))
    assert roles(scenario) == found


def test_without_a_storm_it_hits_nobody() -> None:
    assert roles(Scenario(storm_share=1.0)).storm == frozenset()


def ascending(values: Sequence[float]) -> bool:
    return all(before <= after for before, after in pairwise(values))
