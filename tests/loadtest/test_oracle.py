"""The oracle against a model of a hub behind a network that loses, repeats and delays: it finds what was planted."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tallycast_loadtest.oracle import NONE, Counts, Faults, Ledger, Order, Report, judge, stale
from tallycast_loadtest.wishes import Rule, Wishes

RULES = {
    "like": Rule("toggle", "opinion"),
    "dislike": Rule("toggle", "opinion"),
    "clap": Rule("amount", max=3),
    "share": Rule("event"),
}
# Of one try to react: all goes well, the answer is lost, the message is lost, the hub refuses it.
Fate = Literal["acked", "answer lost", "message lost", "refused"]
Planted = Literal["dropped", "doubled", None]


class Step(NamedTuple):
    """A new reaction of the actor, or, where `retry` is given, another try of one that is not acknowledged yet."""

    actor: int
    item: str
    kind: str
    fate: Fate
    planted: Planted
    retry: int | None


def steps(fates: list[Fate], planted: list[Planted]) -> st.SearchStrategy[list[Step]]:
    return st.lists(
        st.builds(
            Step,
            st.integers(0, 2),
            st.sampled_from(["a", "b"]),
            st.sampled_from(list(RULES)),
            st.sampled_from(fates),
            st.sampled_from(planted),
            st.none() | st.integers(0, 5),
        ),
        max_size=40,
    )


class Reaction(NamedTuple):
    actor: int
    item: str
    kind: str
    value: int | None
    seq: int
    number: int


@dataclass
class ModelHub:
    """Counts by the rules of the protocol, but for what is planted; `drift` is by how much that made it wrong."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    drift: Counter[tuple[str, str]] = field(default_factory=Counter)
    stands: dict[tuple[int, str, str], tuple[int, int]] = field(default_factory=dict)
    events: set[tuple[int, int]] = field(default_factory=set)

    def react(self, reaction: Reaction, planted: Planted) -> None:
        if reaction.value is None:
            event = (reaction.actor, reaction.number)
            self._move((reaction.item, reaction.kind), int(event not in self.events), planted)
            self.events.add(event)
            return
        rivals = {"like": ["dislike"], "dislike": ["like"]}.get(reaction.kind, []) if reaction.value else []
        for kind, value in ((reaction.kind, reaction.value), *((rival, 0) for rival in rivals)):
            place = (reaction.actor, reaction.item, kind)
            seq, stood = self.stands.get(place, (0, 0))
            if reaction.seq >= seq:
                self.stands[place] = (reaction.seq, value)
                self._move((reaction.item, kind), value - stood, planted)

    def _move(self, place: tuple[str, str], by: int, planted: Planted) -> None:
        counted = {"dropped": 0, "doubled": 2 * by, None: by}[planted]
        self.counts[place] += counted
        self.drift[place] += counted - by

    def shown(self) -> dict[str, Counts]:
        return {
            item: Counts(9, {kind: count for (of, kind), count in self.counts.items() if of == item and count})
            for item in ("a", "b")
        }


class Run:
    """Two processes' ledgers on one model hub."""

    def __init__(self) -> None:
        self.hub = ModelHub()
        self.ledgers = (Ledger(RULES), Ledger(RULES))
        self._wishes = Wishes(RULES)
        self._open: list[Reaction] = []
        self._seq = 0

    def go(self, steps: list[Step]) -> None:
        for step in steps:
            if step.retry is not None and step.retry < len(self._open):
                reaction = self._open[step.retry]
            else:
                value = self._wishes.next(step.actor, step.item, step.kind)
                self._seq += 1
                reaction = Reaction(step.actor, step.item, step.kind, value, self._seq, self._seq)
                self._open.append(reaction)
            self._try(reaction, step.fate, step.planted)

    def answer_all(self) -> None:
        for reaction in list(self._open):
            self._try(reaction, "acked", None)

    def _try(self, reaction: Reaction, fate: Fate, planted: Planted) -> None:
        ledger = self.ledgers[reaction.actor % 2]
        ledger.sent(reaction.number, reaction.actor, reaction.item, reaction.kind, reaction.value, reaction.seq)
        if fate in ("acked", "answer lost"):
            self.hub.react(reaction, planted)
        if fate == "acked":
            ledger.acked(reaction.number)
            ledger.acked(reaction.number)  # an answer that comes twice means nothing more
            self._open.remove(reaction)
        elif fate == "refused":
            ledger.refused(reaction.number)

    def report(self) -> Report:
        report = Report()
        for ledger in self.ledgers:
            report.merge(pickle.loads(pickle.dumps(ledger.report())))
        return report


ANY_FATE: list[Fate] = ["acked", "answer lost", "message lost", "refused"]


@settings(deadline=None)
@given(steps(ANY_FATE, [None]))
def test_a_right_hub_is_never_accused_whatever_the_network_does(steps: list[Step]) -> None:
    run = Run()
    run.go(steps)
    verdict = judge({}, run.hub.shown(), run.report(), Faults(), Faults(), 0)
    assert not verdict.wrong, verdict.examples


@settings(deadline=None)
@given(steps(ANY_FATE, [None]))
def test_once_all_is_answered_the_counts_are_known_to_the_last_one(steps: list[Step]) -> None:
    run = Run()
    run.go(steps)
    run.answer_all()
    report = run.report()
    assert +report.low == +report.high == +run.hub.counts
    assert report.unanswered == 0


@settings(deadline=None)
@given(steps(ANY_FATE, [None, None, None, "dropped", "doubled"]))
def test_each_dropped_and_doubled_reaction_is_found_and_no_other(steps: list[Step]) -> None:
    run = Run()
    run.go(steps)
    run.answer_all()
    verdict = judge({}, run.hub.shown(), run.report(), Faults(), Faults(), 0)
    assert verdict.lost == sum(-drift for drift in run.hub.drift.values() if drift < 0)
    assert verdict.doubled == sum(drift for drift in run.hub.drift.values() if drift > 0)
    assert verdict.wrong == bool(verdict.examples)


def test_what_was_there_before_the_run_is_not_counted_as_its_own() -> None:
    before = {"a": Counts(5, {"like": 41, "love": 3})}
    ledger = Ledger(RULES)
    ledger.sent(1, 0, "a", "like", 1, 1)
    ledger.acked(1)

    def verdict(**after: int) -> tuple[int, int, tuple[str, ...]]:
        found = judge(before, {"a": Counts(6, after)}, ledger.report(), Faults(), Faults(), 0)
        return found.lost, found.doubled, found.examples

    assert verdict(like=42, love=3) == (0, 0, ())
    assert verdict(like=41, love=3) == (
        1,
        0,
        ("item a: the hub counts 41 of like; 41 at the start and what was acknowledged make 42",),
    )
    assert verdict(like=44, love=3)[:2] == (0, 2)
    assert verdict(like=42)[:2] == (3, 0)  # a kind that nobody reacted with has no right to move


def test_a_reaction_without_an_answer_may_have_been_counted_or_not() -> None:
    ledger = Ledger(RULES)
    ledger.sent(1, 0, "a", "clap", 2, 1)
    ledger.acked(1)
    ledger.sent(2, 0, "a", "clap", 3, 2)
    ledger.sent(3, 0, "a", "share", None)
    report = ledger.report()
    assert report.unanswered == 2
    assert report.acked == 1

    def wrong(clap: int, share: int) -> tuple[int, int]:
        found = judge({}, {"a": Counts(1, {"clap": clap, "share": share})}, report, Faults(), Faults(), 0)
        return found.lost, found.doubled

    assert [wrong(2, 0), wrong(3, 0), wrong(2, 1), wrong(3, 1)] == [(0, 0)] * 4
    assert wrong(1, 2) == (1, 1)


def test_a_refusal_settles_a_first_try_but_not_a_retry() -> None:
    ledger = Ledger(RULES)
    ledger.sent(1, 0, "a", "share", None)
    ledger.refused(1)
    assert ledger.report().unanswered == 0
    ledger.sent(1, 0, "a", "share", None)
    ledger.sent(1, 0, "a", "share", None)  # the connection was lost; the first try may have been counted
    ledger.refused(1)
    assert ledger.report().unanswered == 1
    ledger.sent(1, 0, "a", "share", None)
    ledger.acked(1)
    assert (ledger.report().unanswered, ledger.report().acked) == (0, 1)


def test_a_late_retry_does_not_undo_a_newer_wish() -> None:
    ledger = Ledger(RULES)
    ledger.sent(1, 0, "a", "like", 1, 1)  # its answer is lost
    ledger.sent(2, 0, "a", "like", 0, 2)
    ledger.acked(2)
    ledger.sent(1, 0, "a", "like", 1, 1)
    ledger.acked(1)
    assert +ledger.report().high == Counter()


def test_other_counts_under_one_version_are_found_and_repeats_are_not() -> None:
    order = Order()
    order.frame("a", 1, {"like": 1})
    order.frame("a", 1, {"like": 1, "clap": 0})
    order.frame("b", 1, {"like": 2})
    assert order.faults.count == 0
    order.frame("a", 1, {"like": 2})
    assert order.faults.examples == ["item a at version 1 was shown as 1 like and as 2 like"]


def test_versions_are_forgotten_when_hundreds_of_newer_ones_have_come() -> None:
    order = Order()
    for v in range(1000):
        order.frame("a", v, {"like": v})
    order.frame("a", 999, {"like": 5})
    order.frame("a", 0, {"like": 5})
    assert order.faults.count == 1


def test_a_fall_is_told_with_its_viewer() -> None:
    order = Order()
    order.fell("17", "a", 8, 7)
    assert order.faults == Faults(1, ["viewer 17 saw item a fall from version 8 to 7"])


@given(st.dictionaries(st.integers(0, 30), st.sampled_from(["right", "older", "other counts", "nothing"]), max_size=20))
def test_exactly_the_stale_viewers_are_found(viewers: dict[int, str]) -> None:
    truth = {"a": Counts(7, {"like": 2}), "b": Counts(3, {})}
    has = {
        "right": Counts(7, {"like": 2, "clap": 0}),
        "older": Counts(6, {"like": 2}),
        "other counts": Counts(7, {"like": 1}),
        "nothing": NONE,
    }
    last = [(str(viewer), {"a": has[state], "b": Counts(3, {})}) for viewer, state in viewers.items()]
    found = stale(last, truth)
    wrong = [str(viewer) for viewer, state in viewers.items() if state != "right"]
    assert found.count == len(wrong)
    assert [example.split()[1] for example in found.examples] == wrong[:5]


def test_an_item_that_nobody_ever_reacted_to_is_not_stale() -> None:
    assert stale([("1", {"a": NONE})], {}).count == 0


def test_faults_of_many_processes_add_up_and_keep_few_examples() -> None:
    order = Faults()
    for process in range(3):
        own = Faults()
        for number in range(4):
            own.add(f"{process}.{number}")
        order.merge(pickle.loads(pickle.dumps(own)))
    assert order.count == 12
    assert order.examples == ["0.0", "0.1", "0.2", "0.3", "1.0"]
    verdict = judge({}, {"a": NONE}, Report(), order, Faults(2, ["viewer 1 ended"]), viewers=8)
    assert (verdict.reordered, verdict.stale_at_end, verdict.viewers, verdict.items) == (12, 2, 8, 1)
    assert verdict.wrong
    assert verdict.examples[-1] == "viewer 1 ended"
