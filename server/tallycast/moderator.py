"""What an administrator does to items and to what was said of them; whoever watches sees it at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tallycast.bars import Bars
from tallycast.errors import Refused
from tallycast.forgetting import LEASE, LEASE_S, Forgetting
from tallycast.hub import Hub
from tallycast.kinds import POLL, POLL_KINDS, Kinds, Reaction
from tallycast.lease import Lease
from tallycast.mirrors import Mirrors
from tallycast.store.base import OpenStore, Snapshot
from tallycast.store.moderation import Page, Removed, Values

MOST_TOLD = 1_000  # actors of a deleted item whose other devices are told that they say nothing now


class Given(NamedTuple):
    """An item's counts, and how much of each kind was given to it and not said by anybody."""

    snapshot: Snapshot
    given: dict[str, int]


class Moderator:
    """Acts on items and actors. Every method raises Unavailable; then nothing has changed.

    `owner` names this process among the hubs, `clock_s` gives Unix time and `ticks_s` a clock that does not go back, in
    seconds.
    """

    def __init__(
        self,
        store: OpenStore,
        hub: Hub,
        kinds: Kinds,
        mirrors: Mirrors,
        *,
        owner: str,
        clock_s: Callable[[], float] = time.time,
        ticks_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._hub = hub
        self._kinds = kinds
        self.bars = Bars(mirrors, clock_s=clock_s)
        lease = Lease(store.records, LEASE, owner=owner, ttl_s=LEASE_S, clock_s=ticks_s)
        self.forgetting = Forgetting(mirrors, store.moderation, self.bars, lease, self._gone, clock_s=clock_s)

    # Looking

    async def items(self, prefix: str, cursor: str, limit: int) -> Page:
        """Some items, see Moderation.items. Raises Refused (`bad_request`) for a cursor that is none."""
        try:
            return await self._store.moderation.items(prefix, cursor, limit)
        except ValueError:
            raise _no_cursor() from None

    async def values(self, item: str, cursor: str, limit: int) -> tuple[Values, str]:
        """What some actors say of an item, see Moderation.values. Raises Refused (`bad_request`)."""
        try:
            return await self._store.moderation.values(item, cursor, limit)
        except ValueError:
            raise _no_cursor() from None

    async def items_of(self, actor: str, cursor: str) -> tuple[list[str], str]:
        """Some items of which an actor says something, see Moderation.items_of. Raises Refused (`bad_request`)."""
        try:
            return await self._store.moderation.items_of(actor, cursor)
        except ValueError:
            raise _no_cursor() from None

    async def counts(self, item: str) -> Given:
        """An item's counts as the store has them now."""
        of_poll = item.startswith(POLL)
        pairs = {
            (item, self._kinds.given(item, kind, 0).actor): kind
            for kind in self._kinds
            if (kind in POLL_KINDS) == of_poll
        }
        reading = await self._store.read((item,), pairs.keys())
        given = {kind: n for pair, kind in pairs.items() if (n := reading.mine.get(pair, {}).get(kind, 0))}
        return Given(reading.snapshots[item], given)

    # Acting

    def given(self, item: str, numbers: Mapping[str, int]) -> list[Reaction]:
        """What sets with how many of each kind the item began; of `external` kinds, the number. For apply().

        Raises Refused (`unknown_kind`, `bad_value`).
        """
        return [self._kinds.given(item, kind, n) for kind, n in numbers.items()]

    async def apply(self, batch: Sequence[Reaction]) -> int:
        """Count reactions that nobody sent, as one batch; of how many items the counts moved."""
        applied = await self._store.apply(batch)
        for snapshot in applied.changed:
            self._hub.note(snapshot)
        self._hub.flush()
        return len(applied.changed)

    async def remove(self, item: str, actors: Sequence[str]) -> Removed:
        """Take all that these actors say of the item out of its counts."""
        removed = await self._store.moderation.remove(item, actors)
        for actor in actors:
            self._gone(actor, removed.snapshot)
        return removed

    async def delete(self, item: str) -> Snapshot:
        """Take everything away that was said of the item, what was given to it too."""
        actors, _ = await self._store.moderation.values(item, "", MOST_TOLD)
        snapshot = await self._store.moderation.delete(item)
        for actor in actors:
            self._hub.devices.say(actor, item, {})
        self._tell(snapshot)
        return snapshot

    def _gone(self, actor: str, snapshot: Snapshot) -> None:
        """`actor` says nothing of an item any more."""
        self._hub.devices.say(actor, snapshot.item, {})
        self._tell(snapshot)

    def _tell(self, snapshot: Snapshot) -> None:
        self._hub.note(snapshot)
        self._hub.flush()


def _no_cursor() -> Refused:
    return Refused("bad_request", "this cursor is none of this store's: begin without one")
