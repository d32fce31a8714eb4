"""Entries of the journal of changes as rises of series and rankings. Pure, no I/O.

A roll is some entries merged: by how much each kind of each item moved in each minute. It is rolled up in pieces, and
where one ends is a Position, from which the same roll can be made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

import orjson

from tallycast.store.history import DAY, HOUR, MINUTE, SECTION, TOTAL, UNDATED, Rise
from tallycast.store.records import Entry

MOST_PREFIXES = 4  # of an item: its sections besides the whole site
PIECE_MOVES = 50  # some 700 numbers: a few milliseconds of the store's time

Move = tuple[int, str, str]  # minute, item, kind


class Position(NamedTuple):
    """Up to where the journal has been rolled up: all entries up to the one with the id `after`, and the first `done`
    moves of the roll of those behind it up to `upto`. `turn` grows with each step, so that no two are written alike.
    """

    after: str = ""
    upto: str = ""
    done: int = 0
    turn: int = 0

    def __str__(self) -> str:
        """As it stands in a checkpoint."""
        return orjson.dumps(list(self)).decode() if self.turn else ""

    @classmethod
    def parse(cls, checkpoint: str) -> Position:
        """The position that a checkpoint says."""
        return cls(*orjson.loads(checkpoint)) if checkpoint else cls()


class Roll:
    """Merges entries. `moves` are in the order in which they were first seen, whoever merges the same entries."""

    def __init__(self) -> None:
        self.moves: dict[Move, int] = {}
        self.upto = ""

    def add(self, entry: Entry) -> int:
        """Merge an entry; how many changes it has."""
        minute = entry.at_ms // (MINUTE * 1000)
        moves = self.moves
        size = 0
        for item, _, by_kind in orjson.loads(entry.body):
            for kind, by in by_kind.items():
                move = (minute, item, kind)
                moves[move] = moves.get(move, 0) + by
                size += 1
        self.upto = entry.id
        return size

    def piece(self, position: Position) -> tuple[Position, list[Rise]]:
        """What comes next at `position`, of this roll, and the position behind it."""
        moves = list(islice(self.moves.items(), position.done, position.done + PIECE_MOVES))
        done = position.done + len(moves)
        turn = position.turn + 1
        if done >= len(self.moves):
            return Position(self.upto, "", 0, turn), rises_of(moves)
        return Position(position.after, self.upto, done, turn), rises_of(moves)


@lru_cache(10_000)
def sections_of(item: str) -> tuple[str, ...]:
    """The sections of an item: the whole site, and for its first MOST_PREFIXES `:` and `/` what stands up to there."""
    ends = (at for at, character in enumerate(item, 1) if character in ":/")
    return (SECTION, *(item[:end] + SECTION for end in islice(ends, MOST_PREFIXES)))


def is_section(prefix: str) -> bool:
    """Whether there is a series of all items that begin with `prefix`."""
    return not prefix or (prefix[-1] in ":/" and sections_of(prefix)[-1] == prefix + SECTION)


def rises_of(moves: Iterable[tuple[Move, int]]) -> list[Rise]:
    """What moves add to all series and rankings; what cancels out is left out."""
    by_place: dict[tuple[str, int, int, str], int] = {}
    for (minute, item, kind), n in moves:
        sections = sections_of(item)
        places = (MINUTE, minute), (HOUR, minute * MINUTE // HOUR), (DAY, minute * MINUTE // DAY), (TOTAL, 0)
        for name in (item, *sections):
            for step, bucket in places:
                place = (name, step, bucket, kind)
                by_place[place] = by_place.get(place, 0) + n
    return _rises(by_place)


def corrections(short: Mapping[str, Mapping[str, int]]) -> list[Rise]:
    """What sets totals right that are `short` by so much, by item and kind, nobody knows since when."""
    by_place: dict[tuple[str, int, int, str], int] = {}
    for item, by_kind in short.items():
        for kind, n in by_kind.items():
            for name in (item, *sections_of(item)):
                for step, bucket in ((DAY, UNDATED), (TOTAL, 0)):
                    place = (name, step, bucket, kind)
                    by_place[place] = by_place.get(place, 0) + n
    return _rises(by_place)


def items_in(entries: Sequence[Entry]) -> set[str]:
    """The items that entries are about."""
    return {item for entry in entries for item, _, _ in orjson.loads(entry.body)}


def _rises(by_place: Mapping[tuple[str, int, int, str], int]) -> list[Rise]:
    return [
        Rise(name, step, bucket, kind, n, sections_of(name) if _ranked(name, step, bucket) else ())
        for (name, step, bucket, kind), n in by_place.items()
        if n
    ]


def _ranked(name: str, step: int, bucket: int) -> bool:
    return name[-1] != SECTION and (step in (TOTAL, HOUR) or (step == DAY and bucket != UNDATED))
