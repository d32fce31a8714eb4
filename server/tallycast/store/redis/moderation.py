"""What an administrator does to items in Redis. See store/moderation.py.

An item's hash is changed by scripts that compare what an actor says with what was read of it: so nothing that is said
meanwhile is lost, and a script that is sent again does nothing twice. Of `unique` kinds Redis knows how many people
there were, and not who: they cannot be taken out one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

from tallycast.errors import Unavailable
from tallycast.kinds import START, Kinds, Said
from tallycast.store.base import Snapshot
from tallycast.store.moderation import Page, Removed, Values
from tallycast.store.records import CHANGES, MOST_CHANGES
from tallycast.store.redis.batch import Reader
from tallycast.store.redis.keys import HEADER, Keys, make_record, parse_header, parse_record
from tallycast.store.redis.line import Ask
from tallycast.store.redis.scan import FIELDS_A_STEP, KEYS_A_STEP, pattern
from tallycast.store.redis.servers import Command, command
from tallycast.store.redis.walk import Walk

SCRIPTS = resources.files("tallycast.store.redis").joinpath("scripts")
MOVED = SCRIPTS.joinpath("moved.lua").read_bytes()
REPLACE = MOVED + SCRIPTS.joinpath("replace.lua").read_bytes()
DELETE = MOVED + SCRIPTS.joinpath("delete.lua").read_bytes()

ACTORS_A_CALL = 200  # about a millisecond of Redis's time
MEMBERS_A_CALL = 1_000
STEPS = 20  # to look for items, until a page is given that is not full
TRIES = 20  # to change what is changed meanwhile

Say = Callable[[str, dict[str, Said]], dict[str, Said]]  # what an actor who says that shall say


class RedisModeration:
    """Acts on items. `told` is given each snapshot that came of one, and what moved where the scripts could not add
    that to the journal of changes."""

    def __init__(
        self,
        keys: Keys,
        kinds: Kinds,
        walk: Walk,
        read: Ask,
        write: Ask,
        told: Callable[[Snapshot, bytes], None],
        *,
        cluster: bool,
    ) -> None:
        self._keys = keys
        self._kinds = kinds
        self._reader = Reader(kinds)
        self._walk = walk
        self._read = read
        self._write = write
        self._told = told
        self._journal = () if cluster else (keys.journal(CHANGES),)
        self._words = ("SPUBLISH" if cluster else "PUBLISH", keys.channel_prefix)
        self._unique = [name for name, kind in kinds.items() if kind.rule == "unique"]

    async def items(self, prefix: str, cursor: str, limit: int) -> Page:
        """See Moderation.items. A page may have fewer, and a few more."""
        match = pattern(self._keys.item(prefix)[:-1])
        found: dict[str, Snapshot] = {}
        number = limit
        for _ in range(STEPS):
            keys, cursor = await self._walk.names("i", cursor, match, number)
            found |= {snapshot.item: snapshot for snapshot in await self._snapshots(keys)}
            if len(found) >= limit or not cursor:
                break
            number = min(limit - len(found) if keys else 2 * number, KEYS_A_STEP)
        return Page(list(found.values()), cursor)

    async def values(self, item: str, cursor: str, limit: int) -> tuple[Values, str]:
        """See Moderation.values."""
        key = self._keys.item(item)
        for _ in range(TRIES):
            fields, later = await self._walk.fields("v", cursor, key, limit)
            (header,) = await self._read([Command(command("HGET", key, HEADER), key)])
            try:
                says = {
                    actor.decode(): parse_record(record, _names(header))
                    for actor, record in zip(fields[::2], fields[1::2], strict=True)
                    if actor != HEADER
                }
            except IndexError:  # it was deleted in between, and its records mean nothing any more
                continue
            shown = {actor: self._shown(said) for actor, said in says.items()}
            return {actor: said for actor, said in shown.items() if said}, later
        raise _too_fast(item)

    async def remove(self, item: str, actors: Collection[str]) -> Removed:
        """See Moderation.remove. Many actors go in several steps."""
        names = list(dict.fromkeys(actors))
        events = {key: await self._events_of(key, names) for key in self._keys.events(item)}
        snapshot, values = await self._replace(item, names, lambda _actor, _said: {})
        for key, members in events.items():
            for some in _parts(members, MEMBERS_A_CALL):
                await self._write([Command(command("SREM", key, *some), key)])
        return Removed(snapshot, values)

    async def put_back(self, item: str, values: Mapping[str, Mapping[str, Said]]) -> Snapshot:
        """See Moderation.put_back. Many actors come in several steps."""

        def say(actor: str, said: dict[str, Said]) -> dict[str, Said]:
            return said | {
                kind: its
                for kind, its in values[actor].items()
                if self._kept(actor, kind) and said.keys().isdisjoint((kind, *self._rivals(kind)))
            }

        return (await self._replace(item, list(values), say))[0]

    async def delete(self, item: str) -> Snapshot:
        """See Moderation.delete."""
        key = self._keys.item(item)
        # Commands of their own: while a slot of a cluster moves, Redis refuses a script some of whose keys are gone.
        others = (*self._keys.events(item), *(self._keys.people(item, kind) for kind in self._unique))
        commands = [Command(command("UNLINK", other), other) for other in others]
        *_, (header, moved) = await self._write([*commands, self._call(DELETE, item, key)])
        return self._tell(item, header, moved)

    async def items_of(self, actor: str, cursor: str) -> tuple[list[str], str]:
        """See Moderation.items_of."""
        match = pattern(self._keys.item("")[:-1])
        names, cursor = await self._walk.names("o", cursor, match, KEYS_A_STEP)
        keys = [name for name in names if name.endswith(b"}")]
        answers = await self._read([Command(command("HEXISTS", key, actor), key.decode()) for key in keys])
        return [self._keys.item_of(key) for key, says in zip(keys, answers, strict=True) if says], cursor

    async def _snapshots(self, names: Sequence[bytes]) -> list[Snapshot]:
        keys = [name for name in names if name.endswith(b"}")]
        headers = await self._read([Command(command("HGET", key, HEADER), key.decode()) for key in keys])
        snapshots = [
            self._reader.snapshot(self._keys.item_of(key), header) for key, header in zip(keys, headers, strict=True)
        ]
        return [snapshot for snapshot in snapshots if snapshot.v]

    async def _events_of(self, key: str, actors: Sequence[str]) -> list[bytes]:
        """The actors' members of a set of event ids."""
        wanted = {actor.encode() for actor in actors}
        match = pattern(f"{actors[0]}\0") if len(actors) == 1 else "*"
        found: dict[bytes, None] = {}
        cursor = b"0"
        while True:
            words = ("SSCAN", key, cursor, "MATCH", match, "COUNT", FIELDS_A_STEP)
            ((cursor, members),) = await self._read([Command(command(*words), key)])
            found |= {member: None for member in members if member.partition(b"\0")[0] in wanted}
            if cursor == b"0":
                return list(found)

    async def _replace(self, item: str, actors: Sequence[str], say: Say) -> tuple[Snapshot, Values]:
        """Let each of the actors say what `say` makes of what they say; the snapshot after that, and what was said."""
        before: Values = {}
        header, moved = None, b""
        for some in _parts(actors, ACTORS_A_CALL) if actors else [()]:
            header, moved = await self._replace_some(item, some, say, before)
            snapshot = self._tell(item, header, moved)
        return snapshot, before

    async def _replace_some(
        self, item: str, actors: Sequence[str], say: Say, before: Values
    ) -> tuple[bytes | None, bytes]:
        key = self._keys.item(item)
        told: list[bytes] = []
        for _ in range(TRIES):
            ((header, *records),) = await self._read([Command(command("HMGET", key, HEADER, *actors), key)])
            names = _names(header)
            said = [parse_record(record or b"", names) for record in records]
            wanted = [say(actor, its) for actor, its in zip(actors, said, strict=True)]
            names += dict.fromkeys(kind for its in wanted for kind in its if kind not in names)
            words = [
                word
                for actor, record, its in zip(actors, records, wanted, strict=True)
                for word in (actor, record or b"", make_record(its, names))
            ]
            ((header, moved, *done),) = await self._write([self._call(REPLACE, item, key, " ".join(names), *words)])
            told += [moved] if moved else []
            for actor, its, is_done in zip(actors, said, done, strict=True):
                if is_done and its:
                    before[actor] = its
            actors = [actor for actor, is_done in zip(actors, done, strict=True) if not is_done]
            if not actors:
                return header, b",".join(told)
        raise _too_fast(item)

    def _call(self, script: bytes, item: str, key: str, *words: str | bytes) -> Command:
        keys = (key, *self._journal)
        packed = command("EVAL", script, len(keys), *keys, *self._words, item, MOST_CHANGES, *words)
        return Command(packed, key)

    def _tell(self, item: str, header: bytes | None, moved: bytes) -> Snapshot:
        snapshot = self._reader.snapshot(item, header)
        self._told(snapshot, moved)
        return snapshot

    def _shown(self, said: Mapping[str, Said]) -> dict[str, Said]:
        return {kind: its for kind, its in said.items() if its.value and kind in self._kinds}

    def _kept(self, actor: str, kind: str) -> bool:
        """Whether what the actor says of that kind has a place in its record."""
        return kind not in self._unique or actor.startswith(START)

    def _rivals(self, kind: str) -> tuple[str, ...]:
        return self._kinds.rivals(kind) if kind in self._kinds else ()


def _names(header: bytes | None) -> list[str]:
    return list(parse_header(header)[1]) if header else []


def _parts(words: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for at in range(0, len(words), size):
        yield words[at : at + size]


def _too_fast(item: str) -> Unavailable:
    return Unavailable(f"{item} changes too fast: try again")
