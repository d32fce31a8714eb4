"""What an administrator may do to items and to what was said of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from tallycast.kinds import Said
from tallycast.store.base import Snapshot

Values = dict[str, dict[str, Said]]  # by actor and kind; of `event` kinds how many were counted


class Removed(NamedTuple):
    """What was taken out of an item: the counts that are left, and what was said."""

    snapshot: Snapshot
    values: Values


class Page(NamedTuple):
    """Some items, and where to go on; `cursor` is "" at the end."""

    items: list[Snapshot]
    cursor: str


class Moderation(Protocol):
    """Acts on items. What moves counts is durable when a method returns, is in the journal of changes, and has a new
    version, which other processes hear of as of every change. Methods raise Unavailable; then nothing has changed.

    A batch of reactions is counted before such an act or after it. Whoever calls tells the hub of the snapshot.
    """

    async def items(self, prefix: str, cursor: str, limit: int) -> Page:
        """About `limit` items whose ids begin with `prefix` and that were ever reacted to, in the store's own order.

        From `cursor` on, "" for the beginning; one that this store did not give raises ValueError. While items change,
        one may come twice on a shared store.
        """
        ...

    async def values(self, item: str, cursor: str, limit: int) -> tuple[Values, str]:
        """What some of the item's actors say, undeclared kinds and zeros left out, and where to go on: see items()."""
        ...

    async def remove(self, item: str, actors: Collection[str]) -> Removed:
        """Take all that these actors say of the item out of its counts and out of the store, their events' ids too."""
        ...

    async def put_back(self, item: str, values: Mapping[str, Mapping[str, Said]]) -> Snapshot:
        """Say again what remove() took out, of kinds of which the actor (or of a group, the actor on any of its kinds)
        has said nothing since. Doing it twice does it once."""
        ...

    async def delete(self, item: str) -> Snapshot:
        """Take everything said of the item away. Its version goes on growing, so that its viewers see the zeros.

        What many said may go piece by piece, the counts with it: after an Unavailable the rest is still there.
        """
        ...

    async def items_of(self, actor: str, cursor: str) -> tuple[list[str], str]:
        """Items of which the actor says something, and where to go on, as in items(). Looks through the whole store, a
        piece with each call, so that reactions are not held up."""
        ...
