"""Taking a burst out of the counts, exactly, and putting it back: one act that any hub can go on with."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

from tallycast.bursts.burst import Burst, Chunk, Removal, Values, dump_chunk, load_chunk, space_of
from tallycast.errors import Refused
from tallycast.hub import Hub
from tallycast.kinds import Said
from tallycast.mirrors import Mirror
from tallycast.store.base import OpenStore, Snapshot


class Removals:
    """Takes out what the marked of a burst say, piece by piece, and puts it back.

    Each piece is written down before it is taken, with what was last read, and again with what really was taken. When
    the store fails in between, the same act goes on where it stopped. Who was forgotten meanwhile is no more in the
    documents, and is taken out again. `clock` gives Unix time in seconds.
    """

    def __init__(
        self, store: OpenStore, hub: Hub, bursts: Mirror[Burst], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._hub = hub
        self._bursts = bursts
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._unwritten: dict[tuple[str, str], Values] = {}  # taken, while the store could not keep that it was

    async def remove(self, id: str, by: str) -> Burst:
        """Take all out that the marked say of the item, also those that were marked since it was done before.

        Raises Refused (`not_found`, `unavailable`: the same again goes on).
        """
        async with self._one_at_a_time:
            standing = self._known(id).removal
            if standing is None or standing.state == "putting_back":
                await self._set(id, Removal("removing", by, self._clock(), {}, 0))
            space = space_of(id)
            for key, body in (await self._store.records.all(space)).items():
                if load_chunk(body).state != "taken":
                    await self._take(id, key, body)
            return await self._conclude(id, by)

    async def put_back(self, id: str, by: str) -> Burst:
        """Say again what was taken out, where its actors have said nothing since. Raises Refused as remove() does."""
        async with self._one_at_a_time:
            if self._known(id).removal is None:
                return self._known(id)
            await self._set(id, Removal("putting_back", by, self._clock(), {}, 0))
            for key, body in (await self._store.records.all(space_of(id))).items():
                if load_chunk(body).state == "taking":
                    body = await self._take(id, key, body)
                if load_chunk(body).state == "taken":
                    await self._give(id, key, body)
            await self._set(id, None)
            return self._known(id)

    async def _take(self, id: str, key: str, body: bytes) -> bytes:
        """Take out what the actors of one chunk say; the chunk's new document."""
        item, space, records = self._known(id).item, space_of(id), self._store.records
        chunk = load_chunk(body)
        before = self._unwritten.get((id, key))
        if chunk.state == "marked":
            reading = await self._store.read([], [(item, actor) for actor in chunk.actors])
            said = {
                actor: {kind: Said(value, 0) for kind, value in mine.items()}
                for (_, actor), mine in reading.mine.items()
                if mine
            }
            chunk = Chunk(chunk.actors, "taking", said)
            if not await records.put(space, key, dump_chunk(chunk), body):
                return await self._again(id, key)
        elif before is None:
            before = chunk.taken  # a hub ended in the middle of this: what it read then is the best that is known
        removed = await self._store.moderation.remove(item, chunk.actors)
        taken = self._unwritten[id, key] = _merged(before or {}, removed.values)
        self._tell(removed.snapshot)
        for actor in chunk.actors:
            self._hub.devices.say(actor, item, {})
        standing = dump_chunk(chunk)
        while not await records.put(space, key, body := dump_chunk(chunk.having(taken)), standing):
            # Somebody was forgotten, or another hub has done the same: each knows what it took itself.
            standing = await self._standing(id, key)
            chunk = load_chunk(standing)
            taken = _merged(chunk.taken, removed.values)
        del self._unwritten[id, key]
        return body

    async def _give(self, id: str, key: str, body: bytes) -> None:
        """Say again what the actors of one chunk said."""
        item, space, store = self._known(id).item, space_of(id), self._store
        chunk = load_chunk(body)
        while chunk.state == "taken":
            self._tell(await store.moderation.put_back(item, chunk.taken))
            for actor in chunk.taken:
                self._hub.devices.doubtful(actor, item)
            if await store.records.put(space, key, dump_chunk(Chunk(chunk.actors)), body):
                return
            # Another hub has done the same, or somebody was forgotten.
            body = await self._standing(id, key)
            gone = {*chunk.actors}.difference((chunk := load_chunk(body)).actors)
            if gone:
                self._tell((await store.moderation.remove(item, gone)).snapshot)

    async def _again(self, id: str, key: str) -> bytes:
        """Another hub has changed the chunk meanwhile, by marking more or by the same act."""
        body = await self._standing(id, key)
        return body if load_chunk(body).state == "taken" else await self._take(id, key, body)

    async def _standing(self, id: str, key: str) -> bytes:
        """A chunk's document as it is now."""
        body = await self._store.records.get(space_of(id), key)
        if body is None:
            raise Refused("not_found", "there is no such burst any more")
        return body

    async def _conclude(self, id: str, by: str) -> Burst:
        taken: Counter[str] = Counter()
        actors = 0
        for body in (await self._store.records.all(space_of(id))).values():
            for by_kind in load_chunk(body).taken.values():
                taken.update({kind: said.value for kind, said in by_kind.items() if said.value})
                actors += any(said.value for said in by_kind.values())
        standing = self._known(id).removal
        at = standing.at if standing else self._clock()
        await self._set(id, Removal("removed", standing.by if standing else by, at, dict(taken), actors))
        return self._known(id)

    def _known(self, id: str) -> Burst:
        burst = self._bursts.get(id)
        if burst is None:
            raise Refused("not_found", "there is no such burst, or no more: they are kept for 30 days")
        return burst

    async def _set(self, id: str, removal: Removal | None) -> None:
        while True:
            burst = self._known(id)
            if burst.removal == removal or await self._bursts.put(id, burst._replace(removal=removal), burst):
                return

    def _tell(self, snapshot: Snapshot) -> None:
        """Let viewers see the counts."""
        self._hub.note(snapshot)
        self._hub.flush()


def _merged(before: Values, now: Values) -> Values:
    """What was taken in all: what went now, and what had gone before."""
    return {actor: {**before.get(actor, {}), **now.get(actor, {})} for actor in {**before, **now}}
