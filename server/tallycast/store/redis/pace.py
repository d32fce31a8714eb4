"""When a changed item is published: at once after a quiet moment, else about once in PACE_S, whichever hub changes it.

Each publication costs Redis a delivery to every hub that follows the item, and every hub a message. Were there one for
each call, an item that a hundred hubs change a hundred times a second would cost a million deliveries a second.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Collection
from itertools import islice

from tallycast.errors import Unavailable
from tallycast.store.base import Snapshot
from tallycast.store.redis.tasks import end

log = logging.getLogger("tallycast.redis")

PACE_S = 0.02  # less than half a tick: what is held back here still comes in time for the next one
AGAIN_S = 0.25  # after a publishing that failed

Publish = Callable[[Collection[str]], Awaitable[None]]


class Pace:
    """Remembers what was just published, by this hub or another, and what this hub has held back since.

    `publish` publishes how items stand now, and raises Unavailable. What is held back when this process dies comes
    with the item's next change, or when the other hubs look at what they follow.
    """

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._rested_s: dict[str, float] = {}  # by item: when it may be published again
        self._held: dict[str, float] = {}  # by item: its version that nobody was told of, as far as is known here
        self._publishing: asyncio.Task[None] | None = None

    def due(self, item: str) -> bool:
        """Whether a call that is about to be sent should publish the item."""
        now_s = asyncio.get_running_loop().time()
        if self._rested_s.get(item, -math.inf) > now_s:
            return False
        self._rest(item, now_s)
        return True

    def changed(self, snapshot: Snapshot, *, published: bool) -> None:
        """This hub moved an item's counts, in a call that published it or did not."""
        if published:
            self.heard(snapshot)
        else:
            self._hold(snapshot.item, snapshot.v)

    def doubtful(self, items: Collection[str]) -> None:
        """Nobody knows whether calls on these items were done."""
        for item in items:
            self._hold(item, math.inf)

    def heard(self, snapshot: Snapshot) -> None:
        """An item was published."""
        self._rest(snapshot.item, asyncio.get_running_loop().time())
        if self._held.get(snapshot.item, math.inf) <= snapshot.v:
            del self._held[snapshot.item]

    async def close(self) -> None:
        """See what is held back published, where that can be done at once."""
        if self._publishing is not None:
            await asyncio.wait([self._publishing], timeout=2 * PACE_S)
        if self._publishing is not None:
            await end([self._publishing])

    def _rest(self, item: str, now_s: float) -> None:
        # Drawn each time: hubs that wait for the same moment are then told by the first of them.
        self._rested_s.pop(item, None)
        self._rested_s[item] = now_s + PACE_S * (0.75 + random.random() / 2)
        for oldest in list(islice(self._rested_s, 2)):  # two for one that is added: none is left for long
            if self._rested_s[oldest] <= now_s:
                del self._rested_s[oldest]

    def _hold(self, item: str, v: float) -> None:
        self._held[item] = max(v, self._held.get(item, 0.0))
        if self._publishing is None:
            self._publishing = asyncio.get_running_loop().create_task(self._publish_held())

    async def _publish_held(self) -> None:
        try:
            while self._held:
                now_s = asyncio.get_running_loop().time()
                wait_s = min(self._rested_s.get(item, now_s) for item in self._held) - now_s
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                    continue
                await self._publish_due(now_s)
        finally:
            self._publishing = None

    async def _publish_due(self, now_s: float) -> None:
        due = {item: v for item, v in self._held.items() if self._rested_s.get(item, now_s) <= now_s}
        try:
            await self._publish(list(due))
        except Unavailable as unavailable:
            log.debug("publishing what was held back failed: %s", unavailable)
            await asyncio.sleep(AGAIN_S)
            return
        for item, v in due.items():
            self._rest(item, now_s)
            if self._held.get(item) == v:
                del self._held[item]
