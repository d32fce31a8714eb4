"""How far counts went: the journal's steps of an item, laid against its counts. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import orjson

from tallycast.store.base import Snapshot
from tallycast.store.records import Entry


class Move(NamedTuple):
    """By how much the counts of an item moved when it came to version `v`, at `at_ms` since 1970."""

    at_ms: int
    v: int
    by: Mapping[str, int]


Moves = dict[str, list[Move]]  # by item, in the order of the journal


def moves_of(entries: Iterable[Entry]) -> Moves:
    """What entries of the journal CHANGES say, by item."""
    moves: Moves = {}
    for entry in entries:
        for item, v, by in orjson.loads(entry.body):
            moves.setdefault(item, []).append(Move(entry.at_ms, v, by))
    return moves


def way(moves: Sequence[Move], ahead: Sequence[Move], now: Snapshot, kind: str, since_ms: int) -> list[int]:
    """How a count went in `moves`, of those not before `since_ms`: what it was before them and after each.

    `now` was read after them, and may show more than they tell: what it shows beyond them stands in `ahead`, the moves
    that follow. So every number is exact, and the ways of one call and the next leave no gap: they may overlap.
    """
    shown = [move for some in (moves, ahead) for move in some if move.v <= now.v and move.at_ms >= since_ms]
    later = [move for move in moves if move.v > now.v and move.at_ms >= since_ms]
    before = now.counts.get(kind, 0) - sum(move.by.get(kind, 0) for move in shown)
    return list(accumulate((move.by.get(kind, 0) for move in (*shown, *later)), initial=before))
