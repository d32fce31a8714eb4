"""A hub's bursts without its sockets: what reacts goes by the guard and into the store, and time is handed in."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Sequence

from tallycast.bursts import Bursts
from tallycast.bursts.burst import Burst
from tallycast.daily import Daily
from tallycast.forgetting import SETTLE_S
from tallycast.hub import Hub
from tallycast.identity import Actor
from tallycast.kinds import Kinds, Reaction, parse
from tallycast.metrics import Metrics
from tallycast.mirrors import Mirrors
from tallycast.moderator import Moderator
from tallycast.store import open_store
from tallycast.store.base import OpenStore

VISITOR_S = 365 * 86_400.0
NOON_S = 1_790_000_000.0
KINDS: Kinds = parse(
    '[like]\nrule = "toggle"\ngroup = "o"\n[dislike]\nrule = "toggle"\ngroup = "o"\n[clap]\nrule = "amount"\nmax = 50\n'
    '[share]\nrule = "event"\n[stars]\nrule = "rating"\n',
    "kinds of the bursts' tests",
)


class Clock:
    """Unix time that passes when it is told to."""

    now_s = NOON_S

    def __call__(self) -> float:
        return self.now_s


def visitor(clock: Clock, *, age_s: float = 5.0) -> Actor:
    """Somebody whose token was made so long ago."""
    return Actor("v:" + secrets.token_urlsafe(16), clock() - age_s + VISITOR_S, None)


def user() -> Actor:
    """Somebody whom the site knows."""
    return Actor("u:" + secrets.token_hex(8), time.time() + 1e9, None)


class Rig:
    """One hub of possibly several on a store."""

    def __init__(self, url: str, prefix: str, clock: Clock) -> None:
        self.clock = clock
        self.store: OpenStore = open_store(url, KINDS, prefix=prefix)
        self.hub = Hub(self.store, Metrics(), tick_s=0.05, clock=time.monotonic)
        self.mirrors = Mirrors(self.store.records, clock=time.monotonic)
        self.daily = Daily(self.store.records, clock=clock)
        self.moderator = Moderator(
            self.store, self.hub, KINDS, self.mirrors, owner=secrets.token_hex(8), clock_s=clock, ticks_s=clock
        )
        self.bursts = Bursts(
            self.store,
            self.hub,
            self.mirrors,
            self.daily,
            visitor_s=VISITOR_S,
            forgotten=self.moderator.forgetting.lately,
            owner=secrets.token_hex(8),
            clock=clock,
        )
        self.moderator.forgetting.others.append(self.bursts.forget)

    async def forget(self, actor: Actor) -> None:
        """The actor is forgotten from beginning to end."""
        await self.moderator.forgetting.begin(actor.name, "Ada")
        self.clock.now_s += SETTLE_S
        await self.moderator.forgetting.work()

    async def say(self, *said: tuple[Actor, str, Reaction]) -> None:
        """Reactions as they come: by the guard, then into the store."""
        for actor, address, reaction in said:
            self.bursts.guard.check(actor, reaction, address)
        await self.store.apply([reaction for _, _, reaction in said])

    async def crowd(self, item: str, actors: Sequence[Actor], address: str, kind: str = "like") -> None:
        """All of them say the kind of the item."""
        said = [(actor, address, KINDS.reaction(item, actor.name, kind, 1, None, None)) for actor in actors]
        await self.say(*said)

    async def look(self) -> None:
        """A second goes by."""
        await self.daily.renew()
        await self.mirrors.refresh()
        self.clock.now_s += 1.0
        await self.bursts.look()

    async def counts(self, item: str) -> dict[str, int]:
        return (await self.store.read([item], [])).snapshots[item].counts

    async def sums(self, item: str) -> dict[str, int]:
        """What the values that are in the store add up to: the oracle of the counts."""
        total: Counter[str] = Counter()
        cursor = ""
        while True:
            values, cursor = await self.store.moderation.values(item, cursor, 1000)
            for by_kind in values.values():
                total.update({kind: said.value for kind, said in by_kind.items()})
            if not cursor:
                return {kind: n for kind, n in total.items() if n}

    @property
    def only(self) -> tuple[str, Burst]:
        """The one burst that is known."""
        ((id, burst),) = self.bursts.bursts.items()
        return id, burst

    async def close(self) -> None:
        await self.store.close()
