"""A Redis store as source and target of a migration."""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from redis.asyncio import RedisCluster

from tallycast.errors import ConfigError
from tallycast.kinds import START, Kinds, Said
from tallycast.store.check import Report
from tallycast.store.pieces import EventRow, Piece, Says
from tallycast.store.redis import scan
from tallycast.store.redis.check import Unreadable, look_through, read_header, said_in
from tallycast.store.redis.keys import HEADER, make_header, make_record, parse_header
from tallycast.store.redis.shared import SharedTarget
from tallycast.store.redis.shared import read as read_shared
from tallycast.store.shared import Shared

DAY_S = 86_400
MOST_KINDS = 255  # that a header has room for
HUB = "tallycast"  # what CLIENT LIST calls a hub


class RedisSource:
    """All items of a store, while no hub is connected to it."""

    def __init__(self, store: scan.Opened) -> None:
        self._store = store

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, prefix: str) -> AsyncIterator[RedisSource]:
        """The store at `url`. Raises ConfigError, also while hubs run on it."""
        async with scan.opened(url, prefix, purpose="migrate") as store:
            await _refuse_hubs(store)
            origin = await _mark(store)
            if origin is not None:
                raise ConfigError(f"store {store.name}: is no whole copy of {origin} yet: finish that migration first")
            yield cls(store)

    async def items(self) -> int:
        """See Source.items."""
        number = 0
        async for names in scan.items(self._store):
            number += len(names)
        return number

    async def pieces(self) -> AsyncIterator[Piece]:
        """See Source.pieces."""
        async for names in scan.items(self._store):
            sets = await self._event_sets(names)
            async for found in scan.hashes(self._store, names):
                try:
                    async for piece in self._pieces_of(found, sets.get(found.item, {})):
                        yield piece
                except Unreadable as error:
                    raise self._damaged(found.item, str(error)) from None

    def _damaged(self, item: str, why: str) -> ConfigError:
        return ConfigError(f"store {self._store.name}: {item}: {why}: see `tallycast check`")

    async def _event_sets(self, names: Sequence[str]) -> dict[str, dict[str, int]]:
        """The sets of event ids that the items have, and when those were counted: the end of the set's day, or now."""
        found = await scan.events(self._store, names)
        for name, _, size in found:
            if isinstance(size, Exception):
                raise self._damaged(name, "the key of its event ids holds something else")
        now_s = int(time.time())
        sets: dict[str, dict[str, int]] = {}
        for (name, key, _), end_s in zip(
            found, await scan.expiries(self._store, [key for _, key, _ in found]), strict=True
        ):
            # A set ends with the day after its own.
            sets.setdefault(name, {})[key] = min(now_s, end_s - DAY_S - 1) if end_s > 0 else now_s
        return sets

    async def _pieces_of(self, found: scan.Hash, sets: dict[str, int]) -> AsyncIterator[Piece]:
        store, item = self._store, found.item
        if found.wrong:
            raise Unreadable(found.wrong)
        v, counts = read_header(found.whole.get(HEADER) if found.whole is not None else await scan.header(store, item))
        names = list(counts)
        counts = {kind: n for kind, n in counts.items() if n}
        if found.whole is not None:
            says = _says(found.whole, names)
            sums: Counter[str] = Counter()
            for _, said in says:
                sums.update({kind: value for kind, (value, _) in said.items()})
            people = await scan.people(store, item, [kind for kind, n in counts.items() if n != sums[kind]])
            yield Piece(item, v, counts, says, [], people)
        else:
            people = await scan.people(store, item, list(counts))
            async for page in scan.pages(store, item):
                yield Piece(item, v, counts, _says(page, names), [], people)
        for key, at_s in sets.items():
            async for ids in scan.members(store, key):
                yield Piece(item, v, counts, [], [_event(member, at_s) for member in ids], people)

    async def shared(self) -> AsyncIterator[Shared]:
        """See Source.shared."""
        async for one in read_shared(self._store):
            yield one


class RedisTarget:
    """The keys of one prefix, marked as long as not all of them are there."""

    def __init__(self, store: scan.Opened, kinds: Kinds, *, resumed: bool) -> None:
        self._store = store
        self._unique = [name for name, kind in kinds.items() if kind.rule == "unique"]
        self._resumed = resumed
        self._shared = SharedTarget(store, resumed=resumed)
        self._item: str | None = None
        self._kinds: list[str] = []  # of that item, in the order of its header

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, prefix: str, origin: str, kinds: Kinds) -> AsyncIterator[RedisTarget]:
        """The store at `url`, to be filled from `origin` for hubs with those kinds. Raises ConfigError where hubs run
        on it or it holds anything but what a migration from there left."""
        async with scan.opened(url, prefix, purpose="migrate") as store:
            await _refuse_hubs(store)
            begun = await _mark(store)
            if begun is None:
                async for key in store.client.scan_iter(match=scan.pattern(store.keys.item("")[:-1]), count=1_000):
                    raise ConfigError(
                        f"store {store.name}: holds data already, {key.decode('utf-8', 'replace')}: give"
                        " TALLYCAST_PREFIX another value or delete its keys"
                    )
                await store.client.execute_command("SET", store.keys.migration, origin)
            elif begun != origin:
                raise ConfigError(
                    f"store {store.name}: holds a part of {begun}: finish that migration, or delete its keys"
                )
            yield cls(store, kinds, resumed=begun is not None)

    async def write(self, pieces: Sequence[Piece]) -> int:
        """See Target.write."""
        if self._resumed:
            await self._check_versions(pieces)
        pipeline = self._store.client.pipeline(transaction=False)
        keys = self._store.keys
        values = 0
        for piece in pieces:
            key, sets = keys.item(piece.item), keys.events(piece.item)
            if piece.item != self._item:
                self._item, self._kinds = piece.item, list(piece.counts)
                if self._resumed:
                    logs = (keys.people(piece.item, kind) for kind in {*self._unique, *piece.people})
                    pipeline.execute_command("UNLINK", key, *sets, *logs)
                for kind, log in piece.people.items():
                    pipeline.execute_command("SET", keys.people(piece.item, kind), log)
            for kind in self._unique:
                if people := [actor for actor, said in piece.says if kind in said and not actor.startswith(START)]:
                    pipeline.execute_command("PFADD", keys.people(piece.item, kind), *people)
            says = [(actor, self._recorded(actor, said)) for actor, said in piece.says]
            values += sum(len(said) for _, said in says)
            pipeline.execute_command("HSET", key, *self._fields(piece, [its for its in says if its[1]]))
            for day, members in _by_day(piece.events).items():
                pipeline.execute_command("SADD", sets[day % 2], *members)
                pipeline.execute_command("EXPIREAT", sets[day % 2], (day + 2) * DAY_S)
        await pipeline.execute()
        return values

    async def write_shared(self, some: Sequence[Shared]) -> None:
        """See Target.write_shared."""
        await self._shared.write(some)

    async def check(self, kinds: Kinds) -> Report:
        """See Target.check."""
        return await look_through(self._store, kinds)

    async def finish(self) -> None:
        """See Target.finish."""
        await self._store.client.execute_command("DEL", self._store.keys.migration)

    def _recorded(self, actor: str, said: dict[str, Said]) -> dict[str, Said]:
        """What has a place in the actor's record: of `unique` kinds only what was given."""
        if actor.startswith(START) or said.keys().isdisjoint(self._unique):
            return said
        return {kind: its for kind, its in said.items() if kind not in self._unique}

    def _fields(self, piece: Piece, says: Sequence[Says]) -> list[bytes]:
        kinds = self._kinds
        kinds += dict.fromkeys(kind for _, said in says for kind in said if kind not in kinds)
        if len(kinds) > MOST_KINDS:
            raise ConfigError(f"{piece.item}: was reacted to in more than {MOST_KINDS} kinds")
        try:
            header = make_header(piece.v, {kind: piece.counts.get(kind, 0) for kind in kinds})
            records = [part for actor, said in says for part in (actor.encode(), make_record(said, kinds))]
        except (OverflowError, struct.error):
            raise ConfigError(
                f"{piece.item}: a value or count is not possible: run `tallycast check --repair` on the source first"
            ) from None
        return [HEADER, header, *records]

    async def _check_versions(self, pieces: Sequence[Piece]) -> None:
        """What is written over came from the source, which can only be newer, unless a hub was on the target since."""
        items = {piece.item: piece.v for piece in pieces}
        pipeline = self._store.client.pipeline(transaction=False)
        for item in items:
            pipeline.execute_command("HGET", self._store.keys.item(item), HEADER)
        for (item, v), header in zip(items.items(), await pipeline.execute(), strict=True):
            if header is not None and parse_header(header)[0] > v:
                raise ConfigError(
                    f"store {self._store.name}: {item} is newer than in the source: a hub counted here since the"
                    " migration was interrupted; delete the keys and begin again"
                )


def _says(page: scan.Page, kinds: list[str]) -> list[Says]:
    read = ((actor.decode(), said_in(record, kinds)) for actor, record in page.items() if actor != HEADER)
    return [(actor, said) for actor, said in read if said]


def _event(member: bytes, at_s: int) -> EventRow:
    actor, kind, event_id = member.decode().split("\0")
    return actor, kind, event_id, at_s


def _by_day(events: Sequence[EventRow]) -> dict[int, list[str]]:
    """The events as members of the sets of the days on which they were counted, which none was after today."""
    today = int(time.time()) // DAY_S
    days: dict[int, list[str]] = {}
    for actor, kind, event_id, at_s in events:
        days.setdefault(min(at_s // DAY_S, today), []).append(f"{actor}\0{kind}\0{event_id}")
    return days


async def _mark(store: scan.Opened) -> str | None:
    """From where an unfinished migration to the store comes."""
    mark: bytes | None = await store.client.execute_command("GET", store.keys.migration)
    return None if mark is None else mark.decode()


async def _refuse_hubs(store: scan.Opened) -> None:
    """Raises ConfigError where a hub is connected: what it counts now would be lost."""
    client = store.client
    if isinstance(client, RedisCluster):
        lists = [await client.execute_command("CLIENT LIST", target_nodes=node) for node in client.get_primaries()]
    else:
        lists = [await client.client_list()]
    # Which prefix a hub has does not show; its database does.
    if any(one["name"] == HUB and int(one["db"]) == store.database for clients in lists for one in clients):
        raise ConfigError(f"store {store.name}: a hub is running on it: stop it first, and all others")
