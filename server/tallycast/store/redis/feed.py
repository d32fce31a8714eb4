"""What other hubs change, as Redis publishes it: only of the items that this hub follows.

Publications may be lost, and nobody is told. So each subscription that Redis confirms is followed by a reading of its
item, and some of what is followed is read again now and then: a store that lost its data without ending a connection
(FLUSHALL) shows in a version that went back. What was lost is given a new version, so that it counts everywhere.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from importlib import resources
from itertools import count, islice

from tallycast.errors import Unavailable
from tallycast.store.base import Snapshot
from tallycast.store.redis.client import connect
from tallycast.store.redis.keys import Keys, snapshot_of, version_of
from tallycast.store.redis.link import Link
from tallycast.store.redis.routes import TROUBLE, routes_of
from tallycast.store.redis.tasks import end
from tallycast.store.redis.url import RedisUrl

log = logging.getLogger("tallycast.redis")

READ_AT_ONCE = 500  # items
CONNECTIONS = 4  # to a server, for probes, besides the one that is subscribed
SWEEP_S = 1.0
SWEPT_ITEMS = 50  # in a sweep
LEAST_PAUSE_S = 0.05
TRY_AGAIN_S = 0.25  # after a reading that failed, or until the cluster is asked again who has what
RENEW = resources.files("tallycast.store.redis").joinpath("scripts/renew.lua").read_bytes()
WARN_AGAIN_S = 60.0  # of the same

Read = Callable[[Collection[str]], Awaitable[dict[str, Snapshot]]]
Heard = Callable[[Snapshot], object]


class Followed:
    """An item that is followed. `v` is the newest version that was told of it, -1 for none."""

    __slots__ = ("channel", "heard", "item", "server", "v")

    def __init__(self, item: str, channel: bytes, heard: Heard) -> None:
        self.item = item
        self.channel = channel
        self.heard = heard
        self.server: str | None = None
        self.v = -1


class Feed:
    """Tells of the items that are followed: once each time they can be heard anew, and with every change.

    `read` gives the items' counts as the Redis at `url` has them, and raises Unavailable. `published` is told of each
    publication that is news. The connections here are the feed's own: no reaction waits for one. Starts with the first
    item that is followed, inside the running loop.
    """

    def __init__(self, url: RedisUrl, keys: Keys, read: Read, published: Heard) -> None:
        self._routes = routes_of(connect(url, name="tallycast-feed", most=CONNECTIONS))
        self._keys = keys
        self._read = read
        self._published = published
        self._name = secrets.token_hex(8)
        self._items: dict[str, Followed] = {}
        self._channels: dict[bytes, Followed] = {}
        self._links: dict[str, Link] = {}
        self._unread: dict[str, None] = {}
        self._to_read = asyncio.Event()
        self._misplaced = asyncio.Event()
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
            self._tasks = [loop.create_task(part()) for part in (self._keep_placed, self._catch_up, self._sweep)]
        for item in items:
            followed = self._items.get(item)
            if followed is not None:
                followed.heard = heard
                continue
            followed = Followed(item, self._keys.channel(item).encode(), heard)
            self._items[item] = followed
            self._channels[followed.channel] = followed
            self._place(followed)

    def unfollow(self, items: Collection[str]) -> None:
        """Tell nothing more of these items."""
        for item in items:
            followed = self._items.pop(item, None)
            if followed is not None:
                del self._channels[followed.channel]
                self._unread.pop(item, None)
                if followed.server is not None:
                    self._links[followed.server].drop(followed.channel)

    async def close(self) -> None:
        """End the connections."""
        self._closed = True
        await end(self._tasks)
        await asyncio.gather(*(link.close() for link in self._links.values()))
        self._links.clear()
        await self._routes.close()

    # What the links tell

    def message(self, channel: bytes, message: bytes) -> None:
        """A publication; see Listener."""
        followed = self._channels.get(channel)
        if followed is None:  # left a moment ago
            return
        if version_of(message) <= followed.v:  # told already
            return
        try:
            snapshot = snapshot_of(followed.item, message)
        except ValueError:
            self._warn("somebody else publishes on channels of Tallycast's, which is passed over")
            return
        self._published(snapshot)
        self._tell(followed, snapshot)

    def joined(self, channel: bytes) -> None:
        """A channel can be heard; see Listener."""
        followed = self._channels.get(channel)
        if followed is not None:
            self._ask((followed.item,))

    def left(self, channel: bytes) -> None:
        """The channel's slot has moved; see Listener."""
        followed = self._channels.get(channel)
        if followed is not None and followed.server is not None:
            self._links[followed.server].drop(channel)
            followed.server = None
            self._misplaced.set()

    def broke(self) -> None:
        """A server does not answer; see Listener. In a cluster another may have its slots by now."""
        if self._routes.sharded:
            self._misplaced.set()

    # Where items are

    def _place(self, followed: Followed) -> None:
        """Subscribe to the item at the server that has it."""
        server = self._routes.server(followed.channel)
        if server == followed.server and server is not None:
            return
        if followed.server is not None:
            self._links[followed.server].drop(followed.channel)
        followed.server = server
        if server is None:
            self._misplaced.set()
            return
        if server not in self._links:
            self._links[server] = self._link(server)
        self._links[server].want(followed.channel)

    def _link(self, server: str) -> Link:
        routes = self._routes
        names = (self._keys.probe(f"{self._name}.{number}").encode() for number in count())
        return Link(
            server,
            self,
            sharded=routes.sharded,
            dial=lambda: routes.connection(server),
            is_former=routes.is_former,
            probe=lambda: routes.probe(server, names),
            publish=routes.publish,
        )

    async def _keep_placed(self) -> None:
        while True:
            await self._misplaced.wait()
            self._misplaced.clear()
            try:
                await self._routes.refresh()
            except TROUBLE as error:
                log.debug("asking the cluster who has what failed: %s", error)
                self._misplaced.set()
            except Exception:
                log.exception("asking the cluster who has what failed")
                self._misplaced.set()
            else:
                for followed in list(self._items.values()):
                    self._place(followed)
                for server in list(self._links):
                    if not self._links[server]:
                        await self._links.pop(server).close()
            await asyncio.sleep(TRY_AGAIN_S)

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
        before = {item: self._items[item].v for item in items}
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
                await self._routes.evaluate(RENEW, self._keys.item(item), v)
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
