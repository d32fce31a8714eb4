"""The store that hubs share: values, counts, versions and event ids in Redis, changed by one script."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from importlib import resources
from typing import Any

from redis.asyncio import RedisCluster

from tallycast.errors import Unavailable
from tallycast.kinds import RESERVED, Kinds, Reaction
from tallycast.store.base import Applied, Attendant, Reading, Snapshot
from tallycast.store.redis.actors import Actors
from tallycast.store.redis.batch import SCRIPT, Packer, Reader
from tallycast.store.redis.channels import Channels
from tallycast.store.redis.client import Client, connect
from tallycast.store.redis.feed import Feed
from tallycast.store.redis.history import ROLL, RedisHistory
from tallycast.store.redis.keys import HEADER, Keys
from tallycast.store.redis.line import Ack, Line
from tallycast.store.redis.moderation import RedisModeration
from tallycast.store.redis.pace import Pace
from tallycast.store.redis.presence import Presence
from tallycast.store.redis.records import RedisJournal, RedisRecords
from tallycast.store.redis.servers import Command, OneServer, Servers, Shards, command
from tallycast.store.redis.url import RedisUrl
from tallycast.store.redis.walk import Walk

PRESENCE_CONNECTIONS = 4
PULSES = 64  # keys of which at least one is on each node of a cluster; more nodes than that are looked at in part

PUBLISH = resources.files("tallycast.store.redis").joinpath("scripts/publish.lua").read_bytes()
LOAD = (command("SCRIPT", "LOAD", SCRIPT),)
LOAD_ROLL = (command("SCRIPT", "LOAD", ROLL),)


class RedisStore:
    """A Store in the Redis at `url`, under the names that `keys` gives; not connected before it is used.

    All is done in the order in which it was asked for, and so are the answers: one piece of work at a time, as
    intake.py and hub.py make pieces of whatever waits. While Redis is away it raises Unavailable; see Line.
    """

    def __init__(self, url: RedisUrl, keys: Keys, kinds: Kinds, *, ack: Ack = "memory") -> None:
        self._keys = keys
        self._kinds = kinds
        client = connect(url, name="tallycast")
        self._cluster = cluster = isinstance(client, RedisCluster)
        self._servers = _servers(client)
        self._packer = Packer(keys, kinds, cluster=cluster)
        self._reader = Reader(kinds)
        self._line = Line(self._servers, str(url), ack=ack, scripts=LOAD)
        self._writing = self._line.way("takes reactions", confirmed=True)
        self._reading = self._line.way("is read")
        self._publishing = self._line.way("publishes")
        self._pace = Pace(self._publish)
        self._channels = Channels(url, keys)
        self._feed = Feed(self._channels, keys, self._read_items, self._pace.heard)
        self._actors = Actors(self._channels, keys, self._tell_hubs)
        self._publish_words = ("SPUBLISH" if cluster else "PUBLISH", keys.channel_prefix)
        presence = connect(url, name="tallycast-presence", most=PRESENCE_CONNECTIONS)
        hub = secrets.token_hex(8)
        self._presence = Presence(presence, keys, hub)
        # What is not on a reaction's way has connections and turns of its own: it may take long and hold up nobody.
        beside = _servers(connect(url, name="tallycast-beside"))
        self._beside = Line(beside, str(url), ack=ack, scripts=LOAD_ROLL, beside=self._line)
        looking = self._beside.way("shows what hubs share")
        look = self._beside.asking(looking)
        keep = self._beside.asking(self._beside.way("keeps what hubs share", confirmed=True))
        self.records = RedisRecords(keys, look, keep)
        self.journal = RedisJournal(keys, hub, look, keep)
        walk = Walk(self._beside, looking, keys)
        self.moderation = RedisModeration(keys, kinds, walk, look, keep, self._moderated, cluster=cluster)
        asking = (self._beside.asking(self._beside.way(does)) for does in ("is asked for history", "keeps history"))
        self.history = RedisHistory(keys, *asking)
        self._closed = False

    async def apply(self, batch: Sequence[Reaction]) -> Applied:
        """Count a batch: each item's part at once, or parts of it where it is large. See Store.apply.

        When some parts were counted and others could not be, all raise Unavailable: whoever sends them again changes
        nothing twice.
        """
        calls = self._packer.calls(batch, self._pace.due, self.journal.changes.most)
        commands = [Command(call.command, call.key) for call in calls]
        try:
            answers, again = await self._line.send(self._writing, commands)
        except BaseException:
            self._pace.doubtful({item for call in calls for item, _ in call.items})
            raise
        if self._cluster:
            self.journal.changes.note(b",".join(filter(None, (answer[-1] for answer in answers))))
        self.journal.changes.measure_when_due()
        applied = self._reader.applied(batch, calls, answers, again=again)
        published = frozenset().union(*(call.published for call in calls))
        for snapshot in applied.changed:
            self._pace.changed(snapshot, published=snapshot.item in published)
            self._feed.changed(snapshot)
        return applied

    async def read(self, items: Collection[str], pairs: Collection[tuple[str, str]]) -> Reading:
        """What stands now. See Store.read."""
        actors: dict[str, list[str]] = {item: [] for item in items}
        for item, actor in pairs:
            actors.setdefault(item, []).append(actor)
        commands = []
        for item, its in actors.items():
            key = self._keys.item(item)
            commands.append(Command(command("HMGET", key, HEADER, *its), key))
        answers, _ = await self._line.send(self._reading, commands)
        snapshots: dict[str, Snapshot] = {}
        mine: dict[tuple[str, str], dict[str, int]] = {}
        for (item, its), (header, *records) in zip(actors.items(), answers, strict=True):
            snapshots[item] = self._reader.snapshot(item, header)
            for actor, record in zip(its, records, strict=True):
                reader = self._reader.given if actor.startswith(RESERVED) else self._reader.mine
                mine[item, actor] = reader(header, record)
        return Reading({item: snapshots[item] for item in items}, mine)

    def follow(self, items: Collection[str], heard: Callable[[Snapshot], None]) -> None:
        """Hear of the items by pub/sub. See Store.follow."""
        self._feed.follow(items, partial(self._tell, heard))

    def unfollow(self, items: Collection[str]) -> None:
        """Hear of them no more. See Store.unfollow."""
        self._feed.unfollow(items)

    def attend(self, actor: str, attendant: Attendant) -> None:
        """Hear of the actor by pub/sub. See Store.attend."""
        self._actors.attend(actor, attendant)

    def unattend(self, actor: str) -> None:
        """Hear of them no more. See Store.unattend."""
        self._actors.unattend(actor)

    def announce(self, actor: str, item: str) -> None:
        """Tell the other hubs. See Store.announce."""
        self._actors.announce(actor, item)

    async def tell_viewers(self, here: Mapping[str, int]) -> None:
        """Tell the other hubs. See Store.tell_viewers."""
        await self._presence.tell(here)

    async def count_viewers(self, items: Collection[str]) -> dict[str, int]:
        """Ask for the other hubs' viewers. See Store.count_viewers."""
        return await self._presence.count(items)

    def health(self) -> Mapping[str, bool]:
        """What is asked of Redis, and whether other hubs' changes are heard. See OpenStore.health."""
        return {
            "reactions": self._writing.trouble is None,
            "reads": self._reading.trouble is None,
            "publications": self._publishing.trouble is None,
            "feed": self._channels.well,
        }

    async def ping(self) -> None:
        """Write a key to each server that has slots, confirmed as a reaction would be. See Store.ping."""
        now_s = int(time.time())
        commands = [
            Command(command("SET", key, now_s), key)
            for key in self._servers.each([self._keys.pulse(number) for number in range(PULSES)])
        ]
        await self._line.send(self._writing, commands)

    async def close(self) -> None:
        """Finish what was asked for and close all connections. Closing twice is allowed."""
        if not self._closed:
            await self._pace.close()
            await self._actors.close()
            await self.journal.changes.close()
            self._closed = True
            await self._beside.close()
            await self._line.close()
            await self._feed.close()
            await self._channels.close()
            await self._presence.close()

    async def _publish(self, items: Collection[str]) -> None:
        keys = [self._keys.item(item) for item in items]
        await self._tell_hubs([Command(command("EVAL", PUBLISH, 1, key, *self._publish_words), key) for key in keys])

    async def _tell_hubs(self, commands: Sequence[Command]) -> list[Any]:
        if self._writing.trouble and self._reading.trouble:  # both are tried anyway: this need not take turns with them
            raise Unavailable(self._reading.trouble)
        return (await self._line.send(self._publishing, commands))[0]

    def _moderated(self, snapshot: Snapshot, moved: bytes) -> None:
        self.journal.changes.note(moved)
        self._pace.heard(snapshot)
        self._feed.changed(snapshot)

    def _tell(self, heard: Callable[[Snapshot], None], snapshot: Snapshot) -> None:
        if not snapshot.counts.keys() <= self._kinds.keys():  # published by a hub with another kinds file
            counts = {kind: n for kind, n in snapshot.counts.items() if kind in self._kinds}
            snapshot = snapshot._replace(counts=counts)
        heard(snapshot)

    async def _read_items(self, items: Collection[str]) -> dict[str, Snapshot]:
        return (await self.read(items, ())).snapshots


def _servers(client: Client) -> Servers:
    """Who answers, as the client knows them."""
    return Shards(client) if isinstance(client, RedisCluster) else OneServer(client)
