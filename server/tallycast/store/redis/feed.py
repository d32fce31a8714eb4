"""What other hubs change, as Redis publishes it: only of the items that this hub follows.

Publications may be lost, and nobody is told. So each subscription that Redis confirms is followed by a reading of its
item, and some of what is followed is read again now and then: a store that lost its data without ending a connection
(FLUSHALL) shows in a version that went back. What was lost is given a new version, so that it counts everywhere.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from importlib import resources
from itertools import islice

from tallycast.errors import Unavailable
from tallycast.store.base import Snapshot
from tallycast.store.redis.channels import Channels
from tallycast.store.redis.keys import Keys, snapshot_of, version_of
from tallycast.store.redis.routes import TROUBLE
from tallycast.store.redis.tasks import end

log = logging.getLogger("tallycast.redis")

READ_AT_ONCE = 500  # items
SWEEP_S = 1.0
SWEPT_ITEMS = 50  # in a sweep
LEAST_PAUSE_S = 0.05
TRY_AGAIN_S = 0.25  # after a reading that failed
RENEW = resources.files("tallycast.store.redis").joinpath("scripts/renew.lua").read_bytes()
WARN_AGAIN_S = 60.0  # of the same

Read = Callable[[Collection[str]], Awaitable[dict[str, Snapshot]]]
Heard = Callable[[Snapshot], object]


class Followed:
    """An item that is followed: a Subscriber to its channel. `v` is the newest version that was told, `own_v` the
    newest that this hub made itself, -1 for none."""

    __slots__ = ("_feed", "channel", "heard", "item", "own_v", "server", "v")

    def __init__(self, feed: Feed, item: str, channel: bytes, heard: Heard) -> None:
        self._feed = feed
        self.item = item
        self.channel = channel
        self.heard = heard
        self.server: str | None = None
        self.v = self.own_v = -1

    def joined(self) -> None:
        """See Subscriber."""
        self._feed.joined(self)

    def message(self, message: bytes) -> None:
        """See Subscriber."""
        self._feed.published(self, message)


class Feed:
    """Tells of the items that are followed: once each time they can be heard anew, and with every change.

    `read` gives the items' counts as the Redis of `channels` has them, and raises Unavailable. `told` is given each
    publication that is news. Starts with the first item that is followed, inside the running loop.
    """

    def __init__(self, channels: Channels, keys: Keys, read: Read, told: Heard) -> None:
        self._channels = channels
        self._keys = keys
        self._read = read
        self._told = told
        self._items: dict[str, Followed] = {}
        self._unread: dict[str, None] = {}
        self._to_read = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._rotation: list[str] = []
        self._warned_s: dict[str, float] = {}
        self._closed = False

    def follow(self, items: Collection[str], heard: Heard) -> None:
        """From now on tell `heard` of these items; see Store.follow."""
        if self._closed:
            return
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(part()) for part in (self._catch_up, self._sweep)]
        for item in items:
            followed = self._items.get(item)
            if followed is not None:
                followed.heard = heard
                continue
            followed = self._items[item] = Followed(self, item, self._keys.channel(item).encode(), heard)
            self._channels.want(followed)

    def unfollow(self, items: Collection[str]) -> None:
        """Tell nothing more of these items."""
        for item in items:
            followed = self._items.pop(item, None)
            if followed is not None:
                self._unread.pop(item, None)
                self._channels.drop(followed)

    def changed(self, snapshot: Snapshot) -> None:
        """This hub moved an item's counts: Redis has this version, or has lost it.

        It is not `told`: others may not have been, and the feed, should it be silently dead, hears nothing of it.
        """
        followed = self._items.get(snapshot.item)
        if followed is not None and followed.own_v < snapshot.v:
            followed.own_v = snapshot.v

    async def close(self) -> None:
        """Tell no more. The channels are closed by whoever made them."""
        self._closed = True
        await end(self._tasks)

    # What the channels tell

    def published(self, followed: Followed, message: bytes) -> None:
        """A publication of the item's."""
        if version_of(message) <= followed.v:  # told already
            return
        try:
            snapshot = snapshot_of(followed.item, message)
        except ValueError:
            self._warn("somebody else publishes on channels of Tallycast's, which is passed over")
            return
        self._told(snapshot)
        self._tell(followed, snapshot)

    def joined(self, followed: Followed) -> None:
        """The item's channel can be heard."""
        self._ask((followed.item,))

    # Reading

    def _ask(self, items: Iterable[str]) -> None:
        self._unread.update((item, None) for item in items if item in self._items)
        self._to_read.set()

    async def _catch_up(self) -> None:
        """Read what was just subscribed to, as much in one go as there is."""
        while True:
            await self._to_read.wait()
            items = list(islice(self._unread, READ_AT_ONCE))
            if not items:
                self._to_read.clear()
                continue
            lost = await self._bring_up(items)
            if lost is None:
                await asyncio.sleep(TRY_AGAIN_S)
            elif lost:  # the next reading should show other versions; should it not, this must be no busy loop
                await asyncio.sleep(LEAST_PAUSE_S)

    async def _sweep(self) -> None:
        """Read some of what is followed, in turn."""
        while True:
            await asyncio.sleep(SWEEP_S)
            if not self._rotation:
                self._rotation = list(self._items)
            items = [self._rotation.pop() for _ in range(min(SWEPT_ITEMS, len(self._rotation)))]
            items = [item for item in items if item in self._items and item not in self._unread]
            if items and await self._bring_up(items):
                self._ask(self._items)

    async def _bring_up(self, items: list[str]) -> bool | None:
        """Read `items` and tell of them: whether some were lost, or None when they are still to be read."""
        before = {item: max(self._items[item].v, self._items[item].own_v) for item in items}
        for item in items:
            self._unread.pop(item, None)  # before the reading: whoever asks again meanwhile is read again
        try:
            snapshots = await self._read(items)
        except Exception as error:
            if not isinstance(error, Unavailable):
                log.exception("reading what is followed failed")
            self._ask(items)
            return None
        lost = {}
        for item, snapshot in snapshots.items():
            followed = self._items.get(item)
            if snapshot.v < before[item]:
                lost[item] = before[item]
            elif followed is not None and snapshot.v >= followed.v:
                self._tell(followed, snapshot)
        if not lost:
            return False
        self._ask(lost)
        return True if await self._renew(lost) else None

    async def _renew(self, lost: dict[str, int]) -> bool:
        """Let what Redis has of `lost`, by the versions that it had, count from now on; False when that failed."""
        self._warn("Redis has lost data; what it has now counts")
        try:
            for item, v in lost.items():
                await self._channels.routes.evaluate(RENEW, self._keys.item(item), v)
        except TROUBLE as error:
            log.debug("giving new versions to what was lost failed: %s", error)
            return False
        return True

    def _warn(self, message: str) -> None:
        now_s = time.monotonic()
        if now_s - self._warned_s.get(message, -math.inf) >= WARN_AGAIN_S:
            self._warned_s[message] = now_s
            log.warning(message)

    def _tell(self, followed: Followed, snapshot: Snapshot) -> None:
        followed.v = snapshot.v
        try:
            followed.heard(snapshot)
        except Exception:
            log.exception("telling of %s failed", followed.item)
