"""What a migration carries from store to store, and what it wants of each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple, Protocol

from tallycast.kinds import Kinds, Said
from tallycast.store.check import Report
from tallycast.store.shared import Shared

PIECE_ROWS = 1_000  # actors and event ids of one piece at most

Says = tuple[str, dict[str, Said]]  # an actor, and what it says by kind
EventRow = tuple[str, str, str, int]  # actor, kind, id, when it was counted in s since 1970
NOBODY: Mapping[str, bytes] = MappingProxyType({})


class Piece(NamedTuple):
    """An item or, where it is large, a part of one: its version and counts, what some of its actors say, and some event
    ids. An actor is in one piece with all that it says.

    What says nothing, a value of 0 with seq 0, and kinds counted 0 are left out. `people` has the kinds that were
    counted without keeping who it was, each with the HyperLogLog of them.
    """

    item: str
    v: int
    counts: dict[str, int]
    says: list[Says]
    events: list[EventRow]
    people: Mapping[str, bytes] = NOBODY

    @property
    def empty(self) -> bool:
        """Whether it says as much as no item at all."""
        return not (self.v or self.counts or self.says or self.events)

    @property
    def rows(self) -> int:
        """How much it is: 1, its actors and its event ids."""
        return 1 + len(self.says) + len(self.events)


def pieces_of(
    item: str, v: int, counts: dict[str, int], says: Iterable[Says], events: Iterable[EventRow]
) -> Iterator[Piece]:
    """An item as one piece or more."""
    says, events = iter(says), iter(events)
    first = True
    while True:
        some = list(islice(says, PIECE_ROWS))
        ids = list(islice(events, PIECE_ROWS - len(some)))
        if first or some or ids:
            yield Piece(item, v, counts, some, ids)
        if len(some) + len(ids) < PIECE_ROWS:
            return
        first = False


class Source(Protocol):
    """A store that is read while nobody writes to it."""

    async def items(self) -> int:
        """About how many items it holds."""
        ...

    def pieces(self) -> AsyncIterator[Piece]:
        """All that is counted, the pieces of one item one after another."""
        ...

    def shared(self) -> AsyncIterator[Shared]:
        """All documents and notes that are to be carried, a journal's notes in their order."""
        ...


class Target(Protocol):
    """A store that is filled. It holds nothing yet, or what was left of the same migration."""

    async def write(self, pieces: Sequence[Piece]) -> int:
        """Put the pieces where they belong. What is there is written over, but no version goes back.

        How many values they made there.
        """
        ...

    async def write_shared(self, some: Sequence[Shared]) -> None:
        """Put documents and notes where they belong, over what is there."""
        ...

    async def check(self, kinds: Kinds) -> Report:
        """Look through all that was written."""
        ...

    async def finish(self) -> None:
        """All is there: hubs may use it."""
        ...
