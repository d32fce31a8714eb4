"""When and what: every planned moment of a run, from its scenario and seed alone. Pure.

The schedule is open: no time in it depends on what the hub does. Viewers and reactors are numbered over the whole run;
process `part` of `parts` has those whose number modulo `parts` is `part`, and all parts together make the whole load.
Times are seconds: of viewers after the run's start, of all else after the begin of the reactions.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import accumulate, count, islice
from random import Random
from typing import NamedTuple

from tallycast_loadtest.scenario import Scenario

_DRAWS_PER_ITEM = 20  # for a viewer's items, all different, before the first free ones are taken


class Planned(NamedTuple):
    """One reaction of the schedule: the reactor's number, the item's number and the kind."""

    at_s: float
    reactor: int
    item: int
    kind: str


class Roles(NamedTuple):
    """The numbers of the viewers with a part of their own. None is both slow and stuck."""

    sse: frozenset[int]
    slow: frozenset[int]
    stuck: frozenset[int]
    storm: frozenset[int]


def reactions(scenario: Scenario, part: int = 0, parts: int = 1) -> Iterator[Planned]:
    """The reactions of one process, in the order of their times."""
    reactors = range(part, scenario.reactors, parts)
    if not reactors:
        return
    turns = Turns(reactors, scenario.think_s, _random(scenario, "turns", part))
    items = Items(scenario)
    kinds = tuple(scenario.kinds)
    kind = _Weighted(tuple(scenario.kinds.values()))
    random = _random(scenario, "reactions", part)
    for at_s in arrivals(scenario, part, min(parts, scenario.reactors)):
        yield Planned(at_s, turns.take(at_s), items.choose(random), kinds[kind.draw(random)])


def arrivals(scenario: Scenario, part: int = 0, parts: int = 1) -> Iterator[float]:
    """The times of one process's reactions, ascending, before `duration_s`."""
    if not scenario.rate_per_s:
        return
    times: Iterator[float]
    if scenario.arrivals == "constant":
        times = (number / scenario.rate_per_s for number in count(part, parts))
    else:
        random = _random(scenario, "arrivals", part)
        gaps_s = (random.expovariate(scenario.rate_per_s / parts) for _ in count())
        times = accumulate(gaps_s)
    for at_s in times:
        if at_s >= scenario.duration_s:
            return
        yield at_s


def connect_s(scenario: Scenario, viewer: int) -> float:
    """When a viewer is to connect."""
    return scenario.ramp_s * viewer / scenario.viewers


def churn(scenario: Scenario, part: int = 0, parts: int = 1) -> Iterator[tuple[float, int]]:
    """When which of a process's viewers leaves, to be replaced at once by one with the same number."""
    viewers = range(part, scenario.viewers, parts)
    if not viewers or not scenario.churn_per_s:
        return
    random = _random(scenario, "churn", part)
    at_s = 0.0
    while (at_s := at_s + random.expovariate(scenario.churn_per_s * len(viewers))) < scenario.duration_s:
        yield at_s, random.choice(viewers)


def roles(scenario: Scenario) -> Roles:
    """Which viewers of the whole run have a part of their own."""

    def pick(share: float, purpose: str) -> frozenset[int]:
        random = _random(scenario, purpose, 0)
        return frozenset(random.sample(range(scenario.viewers), round(share * scenario.viewers)))

    # One draw for both, so that nobody is slow and stuck.
    bad = _random(scenario, "readers", 0).sample(range(scenario.viewers), scenario.viewers)
    slow = round(scenario.slow_share * scenario.viewers)
    stuck = min(round(scenario.stuck_share * scenario.viewers), scenario.viewers - slow)
    return Roles(
        sse=pick(scenario.sse_share, "sse"),
        slow=frozenset(bad[:slow]),
        stuck=frozenset(bad[slow : slow + stuck]),
        storm=pick(scenario.storm_share, "storm") if scenario.storm_at_s else frozenset(),
    )


class Items:
    """Chooses items by the scenario's distribution. Item 0 is the most popular one."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._popular = _Weighted(_popularity(scenario))

    def choose(self, random: Random) -> int:
        """The number of one item."""
        return self._popular.draw(random)

    def of_viewer(self, viewer: int) -> list[int]:
        """The numbers of the items that a viewer watches, all different, the same each time."""
        random = _random(self._scenario, "viewer", viewer)
        wanted = self._scenario.items_per_viewer
        chosen: dict[int, None] = {}
        for _ in range(wanted * _DRAWS_PER_ITEM):
            if len(chosen) == wanted:
                break
            chosen[self.choose(random)] = None
        others = (item for item in range(self._scenario.items) if item not in chosen)
        return [*chosen, *islice(others, wanted - len(chosen))]


class Turns:
    """Whose turn it is to react: somebody at random who has let the think time pass.

    Where nobody has, as in a burst of arrivals, whoever has rested longest: the schedule never waits.
    """

    def __init__(self, reactors: Sequence[int], think_s: float, random: Random) -> None:
        self._think_s = think_s
        self._random = random
        self._rested = list(reactors)
        self._resting: deque[tuple[float, int]] = deque()

    def take(self, at_s: float) -> int:
        """The number of the reactor for a reaction at that time; times must not fall."""
        rested, resting = self._rested, self._resting
        while resting and resting[0][0] + self._think_s <= at_s:
            rested.append(resting.popleft()[1])
        if rested:
            chosen = self._random.randrange(len(rested))
            rested[chosen], rested[-1] = rested[-1], rested[chosen]
            reactor = rested.pop()
        else:
            reactor = resting.popleft()[1]
        resting.append((at_s, reactor))
        return reactor


class _Weighted:
    """Draws the number of one of several weights, each in proportion to its size."""

    def __init__(self, weights: Sequence[float]) -> None:
        self._up_to = list(accumulate(weights))

    def draw(self, random: Random) -> int:
        drawn = random.random() * self._up_to[-1]
        return min(bisect_right(self._up_to, drawn), len(self._up_to) - 1)


def _popularity(scenario: Scenario) -> Sequence[float]:
    if scenario.distribution == "zipf":
        return [rank**-scenario.zipf_exponent for rank in range(1, scenario.items + 1)]
    if scenario.distribution == "hot" and scenario.items > 1:
        cold = (1 - scenario.hot_share) / (scenario.items - 1)
        return [scenario.hot_share] + [cold] * (scenario.items - 1)
    return [1.0] * scenario.items


def _random(scenario: Scenario, purpose: str, number: int) -> Random:
    """Random numbers of one purpose, independent of those of all others."""
    return Random(f"{scenario.seed} {purpose} {number}")
