"""How many watch each item: told to the other hubs, and learned from them, once a second.

Whoever watches counts, whether they asked for the number or not. So each hub tells the others of all of its items,
but only what has moved; and asks only for those items whose number somebody here wants to know.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from tallycast.errors import Unavailable
from tallycast.items import Item
from tallycast.store.base import Store

log = logging.getLogger("tallycast.presence")

BEAT_S = 1.0


class Presence:
    """Keeps Item.elsewhere of the items that somebody is curious about, and tells `store` how many watch here."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._moved: set[Item] = set()  # watchers came or went since it was last told
        self._curious: set[Item] = set()

    def moved(self, item: Item) -> None:
        """Somebody began or ceased to watch `item`."""
        self._moved.add(item)

    def curious(self, item: Item) -> None:
        """Somebody began or ceased to want to know how many watch `item`."""
        if item.curious:
            self._curious.add(item)
        else:
            self._curious.discard(item)
            item.elsewhere = None

    async def learn(self) -> None:
        """Ask how many watch, elsewhere, what nobody here was curious about before."""
        unknown = [item for item in self._curious if item.elsewhere is None]
        if unknown:
            await self._ask(unknown)
            for item in unknown:
                item.recount()

    async def beat(self) -> list[Item]:
        """Tell what has moved and ask for what is wanted: the items whose number, as they tell it, is another now.

        What could not be told is told again with the next beat by the store, and what could not be asked stays.
        """
        moved, self._moved = self._moved, set()
        try:
            await self._store.tell_viewers({item.snapshot.item: len(item.watchers) for item in moved})
        except Unavailable as unavailable:
            log.debug("telling who watches here failed: %s", unavailable)
        await self._ask(self._curious)
        return [item for item in self._curious if item.recount()]

    async def _ask(self, items: Collection[Item]) -> None:
        asked = list(items)
        if not asked:
            return
        try:
            elsewhere = await self._store.count_viewers([item.snapshot.item for item in asked])
        except Unavailable as unavailable:
            log.debug("asking who watches elsewhere failed: %s", unavailable)
            return
        for item in asked:
            if item.curious:
                item.elsewhere = elsewhere.get(item.snapshot.item, 0)
