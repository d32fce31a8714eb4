"""Counts as they went, from the journal and from a reading that is somewhat newer."""

from __future__ import annotations

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tallycast.alerts.moves import Move, moves_of, way
from tallycast.store.base import Snapshot
from tallycast.store.records import Entry

STEPS = st.lists(st.integers(-5, 5).filter(bool), min_size=1, max_size=40)


def moves(steps: list[int]) -> list[Move]:
    return [Move(1000 + n, n + 1, {"like": by}) for n, by in enumerate(steps)]


def counts(steps: list[int]) -> list[int]:
    """What the count was before the first step and after each."""
    found = [100]
    for by in steps:
        found.append(found[-1] + by)
    return found


@settings(max_examples=40, deadline=None)
@given(STEPS, st.data())
def test_the_ways_of_pieces_follow_each_other_without_a_gap_however_late_counts_are_read(
    steps: list[int], data: st.DataObject
) -> None:
    all_moves, all_counts = moves(steps), counts(steps)
    at = 0
    while at < len(steps):
        upto = data.draw(st.integers(at + 1, len(steps)), "judged")
        read = data.draw(st.integers(upto, len(steps)), "read")
        now = Snapshot("post:1", read, {"like": all_counts[read]})
        assert way(all_moves[at:upto], all_moves[upto:], now, "like", 0) == all_counts[at : read + 1]
        at = upto


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_a_reading_that_is_older_than_the_moves_is_completed_by_them(steps: list[int]) -> None:
    for read in range(len(steps)):
        now = Snapshot("post:1", read, {"like": counts(steps)[read]})
        assert way(moves(steps), (), now, "like", 0) == counts(steps)


@settings(max_examples=40, deadline=None)
@given(STEPS, st.integers(0, 45))
def test_what_was_before_the_alert_was_made_does_not_count(steps: list[int], since: int) -> None:
    now = Snapshot("post:1", len(steps), {"like": counts(steps)[-1]})
    assert way(moves(steps), (), now, "like", 1000 + since) == counts(steps)[min(since, len(steps)) :]


def test_entries_are_taken_apart_by_item() -> None:
    entries = [
        Entry("1", 10, orjson.dumps([["a", 5, {"like": 1}], ["b", 6, {"like": -1, "share": 2}]])),
        Entry("2", 20, orjson.dumps([["a", 7, {"share": 1}]])),
    ]
    assert moves_of(entries) == {
        "a": [Move(10, 5, {"like": 1}), Move(20, 7, {"share": 1})],
        "b": [Move(10, 6, {"like": -1, "share": 2})],
    }
