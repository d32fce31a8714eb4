"""What a store keeps of how counts moved, by minute, hour and day, and who was ahead. Derived from the journal.

A *name* is an item, or a section: `*` for the whole site, `blog/*` for the items that begin with `blog/`. No item's id
has a `*`. A *step* is the length of its buckets in seconds, MINUTE, HOUR or DAY, or TOTAL, which has but bucket 0; the
bucket of a moment is its Unix time divided by the step, rounded down.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

MINUTE, HOUR, DAY = 60, 3_600, 86_400
TOTAL = 0
UNDATED = 0  # the bucket of DAY for what moved nobody knows when

KEPT_S = {MINUTE: 48 * HOUR, HOUR: 90 * DAY}  # at least; days and totals stay
RANKS_KEPT_S = {HOUR: 48 * HOUR, DAY: 35 * DAY}  # those by total stay
MOST_RANKED = 2_000  # items of one ranking at least; more of them may go
SECTION = "*"

Series = dict[str, dict[int, int]]  # by kind and bucket, by how much a count moved in it, never 0
Ranking = list[tuple[str, int]]  # items and by how much their counts rose, most first


class Rise(NamedTuple):
    """By how much a count of a name moved in one bucket. An item's place in the rankings of `sections` follows it."""

    name: str
    step: int
    bucket: int
    kind: str
    n: int
    sections: tuple[str, ...] = ()


class Asked(NamedTuple):
    """A series to be read: buckets `first` to `last`, both included."""

    name: str
    step: int
    first: int
    last: int


class History(Protocol):
    """Series and rankings. Methods raise Unavailable; then nothing has changed."""

    async def checkpoint(self) -> str:
        """Up to where the journal has been rolled up, as roll() was told; "" at the beginning."""
        ...

    async def roll(self, since: str, upto: str, rises: Sequence[Rise]) -> bool:
        """Add rises and move the checkpoint from `since` to `upto`, in one step. Each is of another bucket.

        False: the checkpoint is neither `since` nor `upto`, and nothing was done. True also where it is `upto` already,
        so that this may be called again.
        """
        ...

    async def series(self, asked: Sequence[Asked]) -> list[Series]:
        """A series for each that is asked for, all as of one moment as far as a caller can tell."""
        ...

    async def ranking(self, section: str, kind: str, step: int, buckets: Collection[int], limit: int) -> Ranking:
        """The `limit` items of the section whose counts rose most in all these buckets together, each reckoned by those
        of them in which it was among the first `limit` itself, at most MOST_RANKED."""
        ...

    async def sweep(self) -> bool:
        """Take away some of what need not be kept any longer; True when there may be more of it."""
        ...
