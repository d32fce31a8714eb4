"""The bursts of a hub: looks once a second at what its guard saw, and marks newcomers together with the other hubs."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice

import orjson

from tallycast.bursts.burst import (
    SPACE,
    Burst,
    Chunk,
    dump_burst,
    dump_chunk,
    id_of,
    load_burst,
    load_chunk,
    space_of,
)
from tallycast.bursts.guard import Guard, Seen
from tallycast.bursts.judge import Verdict, Watch
from tallycast.bursts.networks import network
from tallycast.bursts.removal import Removals
from tallycast.chores import every
from tallycast.daily import Daily
from tallycast.errors import Refused, Unavailable
from tallycast.hub import Hub
from tallycast.mirrors import Mirror, Mirrors
from tallycast.store.base import OpenStore
from tallycast.store.records import ANY

LOOK_S = 1.0
QUIET_S = 120.0  # after which a burst is over
MOST_BURSTS = 200  # that are kept; the oldest go
KEPT_S = 30 * 86_400.0
MOST_MARKED = 50_000  # visitors of one burst, by one hub
CHUNK = 500  # visitors in one document, and taken out of the counts in one step
MOST_WATCHED = 20_000  # items; those go that got nothing for the longest time
MOST_NETWORKS = 64  # of one burst
TRIES = 10
AT_ONCE = 200  # items that are looked at before others have their turn: a millisecond


class Marks:
    """Whom this hub has marked for one burst, and the document that it adds to."""

    def __init__(self) -> None:
        self.visitors: set[str] = set()
        self.untold: Counter[str] = Counter()  # of them by kind, those whom the burst does not count yet
        self.number = 0
        self.body: bytes | None = None
        self.actors: list[str] = []


class Bursts:
    """Finds bursts, keeps them and takes them out.

    `guard` goes among the service's guards and run() among its chores. `owner` names this process among the hubs;
    `forgotten` says whether somebody is being forgotten, or was a moment ago, so that no name is written down anew.
    `clock` gives Unix time in seconds. `bursts` are all that are known, by id.
    """

    def __init__(
        self,
        store: OpenStore,
        hub: Hub,
        mirrors: Mirrors,
        daily: Daily,
        *,
        visitor_s: float,
        forgotten: Callable[[str], bool],
        owner: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.guard = Guard(visitor_s=visitor_s, clock=clock)
        self._records = store.records
        self._mirror: Mirror[Burst] = mirrors.of(SPACE, load_burst, dump_burst)
        self.bursts: Mapping[str, Burst] = self._mirror
        self.removals = Removals(store, hub, self._mirror, clock=clock)
        self._forgotten = forgotten
        self._daily = daily
        self._owner = owner
        self._clock = clock
        self._watches: dict[str, Watch] = {}
        self._marks: dict[str, Marks] = {}

    @property
    def lasting(self) -> bool:
        """Whether some burst goes on."""
        return any(burst.open for burst in self._mirror.values())

    def find(self, id: str) -> Burst:
        """The burst with that id. Raises Refused (`not_found`)."""
        burst = self._mirror.get(id)
        if burst is None:
            raise Refused("not_found", "there is no such burst, or no more: they are kept for 30 days")
        return burst

    async def forget(self, actor: str) -> None:
        """Take an actor's name, and what they said, out of all that is kept of bursts. Raises Unavailable."""
        name = orjson.dumps(actor)
        for id in [*self._mirror]:
            space = space_of(id)
            for key, body in (await self._records.all(space)).items():
                standing: bytes | None = body
                while standing is not None and name in standing:
                    less = dump_chunk(load_chunk(standing).without(actor))
                    if await self._records.put(space, key, less, standing):
                        break
                    standing = await self._records.get(space, key)

    async def run(self) -> None:
        """look() every LOOK_S seconds, as long as the hub runs."""
        await every(LOOK_S, self.look, "looking for bursts")

    async def look(self) -> None:
        """Judge what came since the last look. Raises Unavailable: who is in the window is then marked next time."""
        now_s = self._clock()
        seen = self.guard.take()
        names: dict[str, str] = {}  # of networks, by address: for no longer than this
        going = {burst.item: id for id, burst in self._mirror.items() if burst.open}
        for at, (item, its) in enumerate(seen.items()):
            self._note(item, its, going.get(item), names, now_s)
            if at % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
        for item in dict.fromkeys((*(item for item, its in seen.items() if its.fresh), *going)):
            await self._judge(item, going.get(item), now_s)
        self._forget()
        await self._settle(now_s)

    def _note(self, item: str, seen: Seen, id: str | None, names: dict[str, str], now_s: float) -> None:
        """Put what was seen into the item's window; nothing where there is no key of the day."""
        try:
            for _, address, _ in seen.fresh:
                if address not in names:
                    names[address] = self._daily.name("network", network(address))
        except Unavailable:
            return
        watch = self._watches.pop(item, None) or Watch(now_s)
        self._watches[item] = watch  # the last one in order
        fresh = [(visitor, names[address], kind) for visitor, address, kind in seen.fresh]
        watch.note(now_s, fresh, len(seen.others), self._apart(id))

    def _apart(self, id: str | None) -> frozenset[str]:
        """The networks of a burst."""
        burst = self._mirror.get(id) if id is not None else None
        return frozenset(burst.networks) if burst is not None else frozenset()

    async def _judge(self, item: str, id: str | None, now_s: float) -> None:
        """Mark who belongs to a burst on the item, which begins now or goes on here or at another hub."""
        watch = self._watches.get(item)
        if watch is None:
            return
        if id is not None:
            watch.note(now_s, (), 0, self._apart(id))
        verdict = watch.judge(now_s)
        networks = self._apart(id) | (verdict.networks if verdict else frozenset())
        if not networks:
            return
        id = id or id_of(item, now_s, self._mirror)
        marks = self._marks.setdefault(id, Marks())
        new = {
            visitor: kind
            for visitor, kind in watch.of(networks)
            if visitor not in marks.visitors and not self._forgotten(visitor)
        }
        room = MOST_MARKED - len(marks.visitors)
        visitors = list(new)[:room]
        # Written down first are the marked: nobody is to be told of some who cannot be found.
        for at in range(0, len(visitors), CHUNK):
            some = visitors[at : at + CHUNK]
            await self._write(id, marks, some)
            marks.visitors.update(some)
        if visitors or verdict is not None:
            marks.untold.update(new[visitor] for visitor in visitors)
            await self._tell(id, partial(_grown, item=item, verdict=verdict, kinds=marks.untold, now_s=now_s))
            marks.untold.clear()

    async def _tell(self, id: str, change: Callable[[Burst | None], Burst]) -> None:
        """Change the burst's document, whatever other hubs do to it."""
        for _ in range(TRIES):
            standing = self._mirror.get(id)
            if await self._mirror.put(id, change(standing), standing):
                return
        raise Unavailable("other hubs write down the same burst")

    async def _write(self, id: str, marks: Marks, some: list[str]) -> None:
        """Add some to this hub's document of the burst, or to a new one where that is full or no longer as it was."""
        space = space_of(id)
        if marks.body is not None and len(marks.actors) + len(some) <= CHUNK:
            actors = [*marks.actors, *some]
            body = dump_chunk(Chunk(actors))
            if await self._records.put(space, f"{self._owner}-{marks.number:04}", body, marks.body):
                marks.body, marks.actors = body, actors
                return
        body = dump_chunk(Chunk(some))
        while not await self._records.put(space, f"{self._owner}-{marks.number + 1:04}", body, None):
            marks.number += 1
        marks.number += 1
        marks.body, marks.actors = body, some

    def _forget(self) -> None:
        """Keep the levels of MOST_WATCHED items, those that got something last, and the marks of bursts that go on."""
        for item in list(islice(self._watches, max(len(self._watches) - MOST_WATCHED, 0))):
            del self._watches[item]
        for id in [id for id in self._marks if (burst := self._mirror.get(id)) is not None and not burst.open]:
            del self._marks[id]

    async def _settle(self, now_s: float) -> None:
        """End bursts of which nothing came for a while, and let go of old ones."""
        for id, burst in list(self._mirror.items()):
            if burst.open and now_s - burst.last_at > QUIET_S:
                await self._mirror.put(id, burst._replace(ended_at=now_s), burst)
        over = sorted((burst.last_at, id) for id, burst in self._mirror.items() if not burst.open)
        too_many = max(len(self._mirror) - MOST_BURSTS, 0)
        for _, id in over[:too_many] + [each for each in over[too_many:] if now_s - each[0] > KEPT_S]:
            await self._delete(id)

    async def _delete(self, id: str) -> None:
        space = space_of(id)
        for key in await self._records.all(space):
            await self._records.delete(space, key, ANY)
        await self._mirror.delete(id, ANY)


def _grown(standing: Burst | None, *, item: str, verdict: Verdict | None, kinds: Counter[str], now_s: float) -> Burst:
    """The burst after so many more were marked, by kind; a new one where there was none."""
    if standing is None:
        assert verdict is not None
        standing = Burst(item, now_s, now_s, None, verdict.rate, verdict.usual, verdict.fresh, [])
    grown = standing._replace(marked=standing.marked + kinds.total(), kinds=dict(Counter(standing.kinds) + kinds))
    if verdict is None:
        return grown
    networks = [*dict.fromkeys((*standing.networks, *sorted(verdict.networks)))][:MOST_NETWORKS]
    return grown._replace(
        last_at=max(standing.last_at, now_s), rate=max(standing.rate, verdict.rate), networks=networks
    )
