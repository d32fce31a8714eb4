"""Whether every count is right: what was acknowledged against what the hub and its viewers show. Pure.

A reaction whose answer never came may have been counted or not, so the counts that are right lie in an interval. Values
are absolute and carry a `seq`, so a retry changes nothing, and a late one cannot undo a newer wish.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tallycast_loadtest.results import Oracle
from tallycast_loadtest.wishes import Rule, rivals

EXAMPLES: Final = 5  # of each fault
_VERSIONS_KEPT: Final = 64  # of an item: three seconds of frames at the usual tick, and every process sees them sooner


class Counts(NamedTuple):
    """An item's version and its counts; kinds that are absent are 0."""

    v: int
    counts: Mapping[str, int]


NONE: Final = Counts(0, {})


@dataclass(slots=True)
class Faults:
    """How often something went wrong, and the first few examples of it, a sentence each."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str, times: int = 1) -> None:
        """Count it, and keep the example if there are few yet."""
        self.count += times
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)

    def merge(self, other: Faults) -> None:
        """Add those of another process."""
        self.count += other.count
        self.examples = (self.examples + other.examples)[:EXAMPLES]


@dataclass(slots=True)
class Report:
    """What one process's ledger knows at the end: by how much each count has moved, at least and at most.

    `low` and `high` are by item and kind. `unanswered` reactions are those that make the two differ.
    """

    acked: int = 0
    unanswered: int = 0
    low: Counter[tuple[str, str]] = field(default_factory=Counter)
    high: Counter[tuple[str, str]] = field(default_factory=Counter)

    def merge(self, other: Report) -> None:
        """Add that of another process, whose actors are others."""
        self.acked += other.acked
        self.unanswered += other.unanswered
        for mine, its in ((self.low, other.low), (self.high, other.high)):
            for place, moved in its.items():
                mine[place] += moved


class _Reaction(NamedTuple):
    actor: int
    item: str
    kind: str
    value: int | None
    seq: int
    retried: bool


class Ledger:
    """What the actors of one process said and what was acknowledged. They begin with nothing said.

    Reactions have numbers of the caller's choice, each a reaction of its own; a retry has the number of the first try.
    """

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rivals = {kind: rivals(rules, kind) for kind in rules}
        self._open: dict[int, _Reaction] = {}
        self._unknown: dict[int, _Reaction] = {}
        self._stands: dict[tuple[int, str, str], tuple[int, int]] = {}  # actor, item, kind → seq and value
        self._events: Counter[tuple[str, str]] = Counter()
        self._acked = 0

    def sent(self, number: int, actor: int, item: str, kind: str, value: int | None, seq: int = 0) -> None:
        """The reaction was sent, or sent again. `value` is None for an event."""
        retried = number in self._open or self._unknown.pop(number, None) is not None
        self._open[number] = _Reaction(actor, item, kind, value, seq, retried)

    def acked(self, number: int) -> None:
        """The hub has acknowledged it; from the second time on, nothing."""
        reaction = self._open.pop(number, None)
        if reaction is None:
            return
        self._acked += 1
        if reaction.value is None:
            self._events[reaction.item, reaction.kind] += 1
            return
        for kind, value in self._says(reaction):
            place = (reaction.actor, reaction.item, kind)
            if reaction.seq >= self._stands.get(place, (0, 0))[0]:
                self._stands[place] = (reaction.seq, value)

    def refused(self, number: int) -> None:
        """The hub has answered with an error: by this try, nothing was counted."""
        reaction = self._open.pop(number, None)
        if reaction is not None and reaction.retried:
            self._unknown[number] = reaction

    def report(self) -> Report:
        """By how much the counts have moved; what is not answered now counts as unanswered."""
        unknown = [*self._unknown.values(), *self._open.values()]
        report = Report(self._acked, len(unknown), Counter(self._events), Counter(self._events))
        possible: defaultdict[tuple[int, str, str], set[int]] = defaultdict(set)
        for reaction in unknown:
            if reaction.value is None:
                report.high[reaction.item, reaction.kind] += 1
                continue
            for kind, value in self._says(reaction):
                place = (reaction.actor, reaction.item, kind)
                if reaction.seq >= self._stands.get(place, (0, 0))[0]:
                    possible[place].add(value)
        for place in self._stands.keys() | possible.keys():
            values = possible[place] | {self._stands.get(place, (0, 0))[1]}
            report.low[place[1:]] += min(values)
            report.high[place[1:]] += max(values)
        return report

    def _says(self, reaction: _Reaction) -> Iterable[tuple[str, int]]:
        """The kinds that the reaction sets, with their values."""
        assert reaction.value is not None
        yield reaction.kind, reaction.value
        if reaction.value:
            for kind in self._rivals[reaction.kind]:
                yield kind, 0


class Order:
    """What the viewers of one process saw out of order."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._seen: dict[str, dict[int, Mapping[str, int]]] = defaultdict(dict)

    def frame(self, item: str, v: int, counts: Mapping[str, int]) -> None:
        """A frame that was not seen before, of whichever viewer."""
        seen = self._seen[item]
        known = seen.setdefault(v, counts)
        if len(seen) > _VERSIONS_KEPT:
            del seen[next(iter(seen))]
        if _differ(known, counts):
            self.faults.add(f"item {item} at version {v} was shown as {_text(known)} and as {_text(counts)}")

    def fell(self, viewer: str, item: str, before: int, after: int) -> None:
        """A viewer got a frame of an older version after one of a newer, on one connection."""
        self.faults.add(f"viewer {viewer} saw item {item} fall from version {before} to {after}")


def stale(last: Iterable[tuple[str, Mapping[str, Counts]]], truth: Mapping[str, Counts]) -> Faults:
    """The viewers whose last numbers are not the hub's, from each viewer's name and what it has of its items."""
    faults = Faults()
    for viewer, items in last:
        for item, has in items.items():
            is_ = truth.get(item, NONE)
            if has.v != is_.v or _differ(has.counts, is_.counts):
                faults.add(
                    f"viewer {viewer} ended with {_text(has.counts)} of item {item} at version {has.v}, "
                    f"the hub has {_text(is_.counts)} at {is_.v}"
                )
                break
    return faults


def judge(
    before: Mapping[str, Counts],
    after: Mapping[str, Counts],
    report: Report,
    order: Faults,
    stale: Faults,
    viewers: int,
) -> Oracle:
    """The verdict on a run, from the hub's counts before and after it and what all processes report.

    `viewers` is how many were compared at the end.
    """
    lost, doubled = Faults(), Faults()
    places = {(item, kind) for shown in (before, after) for item, has in shown.items() for kind in has.counts}
    for item, kind in sorted(places | report.low.keys() | report.high.keys()):
        was = before.get(item, NONE).counts.get(kind, 0)
        has = after.get(item, NONE).counts.get(kind, 0)
        low, high = was + report.low[item, kind], was + report.high[item, kind]
        right = f"{low}" if low == high else f"{low} to {high}"
        sentence = (
            f"item {item}: the hub counts {has} of {kind}; {was} at the start and what was acknowledged make {right}"
        )
        if has < low:
            lost.add(sentence, low - has)
        elif has > high:
            doubled.add(sentence, has - high)
    return Oracle(
        items=len(after),
        viewers=viewers,
        acked=report.acked,
        unanswered=report.unanswered,
        lost=lost.count,
        doubled=doubled.count,
        reordered=order.count,
        stale_at_end=stale.count,
        examples=(*lost.examples, *doubled.examples, *order.examples, *stale.examples),
    )


def _differ(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    return one != other and any(one.get(kind, 0) != other.get(kind, 0) for kind in one.keys() | other.keys())


def _text(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "nothing"
