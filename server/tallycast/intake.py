"""Group commit: the reactions that come while one batch is being made durable form the next.

Nobody is acknowledged before the store has the whole batch, and a batch costs the store one transaction however many
reactions are in it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from tallycast import wire
from tallycast.errors import Refused, Unavailable
from tallycast.hub import Hub
from tallycast.kinds import POLL, Reaction
from tallycast.metrics import Metrics
from tallycast.store.base import Applied, Store

log = logging.getLogger("tallycast.intake")

MOST_WAITING = 100_000  # reactions: some seconds of work; beyond that a client is better told to come back
MOST_IN_A_BATCH = 4_000  # so that acks and ticks have their turn
CROWD = 2 * MOST_IN_A_BATCH  # that wait, from which on those who react are not listened to for a while
TURN = 500  # that those who are released may add in one turn of the loop


class Asker(Protocol):
    """Who sent reactions and wants to know what became of them; each is told of once, by one of the two."""

    def acked(self, answers: Sequence[tuple[int | None, bytes]]) -> None:
        """Some are durable: for each its ref and what stands now, wire.body() with `mine`."""
        ...

    def refused(self, ref: int | None, refusal: Refused) -> None:
        """It was not counted."""
        ...


class Listener(Protocol):
    """What brings reactions and can be asked to wait."""

    def hold(self) -> None:
        """Bring nothing more until release()."""
        ...

    def release(self) -> None:
        """The end of hold(); also where the connection has gone meanwhile."""
        ...


class Intake:
    """Collects reactions, hands them to the store in batches, answers the askers, tells the hub what moved."""

    def __init__(self, store: Store, hub: Hub, metrics: Metrics, *, clock: Callable[[], float]) -> None:
        self._store = store
        self._hub = hub
        self._metrics = metrics
        self._clock = clock
        self._waiting: list[tuple[Asker, int | None, Reaction]] = []
        self._since_s = 0.0  # when the first of those that wait came, or one before it
        self._committing: asyncio.Task[None] | None = None
        self._held: deque[Listener] = deque()  # longest first
        self.shut: set[str] = set()  # items of which nothing more is counted, not even what was let in before
        self._draining = False

    def put(self, asker: Asker, ref: int | None, reaction: Reaction) -> bool:
        """Count `reaction` with the next batch; whether who brought it is better held.

        Raises Unavailable when too many wait already.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise Unavailable("too many reactions at once")
        if not self._waiting:
            self._since_s = self._clock()
        self._waiting.append((asker, ref, reaction))
        if self._committing is None:
            self._committing = asyncio.get_running_loop().create_task(self._commit())
        return len(self._waiting) >= CROWD

    def hold(self, listener: Listener) -> None:
        """Let it bring nothing more until fewer wait. It is held once at a time."""
        listener.hold()
        self._held.append(listener)

    async def drain(self) -> None:
        """Wait until all that was put is answered. From now on who is held stays so: the end is near."""
        self._draining = True
        while self._committing is not None:
            await asyncio.wait([self._committing])

    async def _commit(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST_IN_A_BATCH], self._waiting[MOST_IN_A_BATCH:]
                began_s, since_s = self._clock(), self._since_s
                if self._held:  # soon: the store is asked first
                    asyncio.get_running_loop().call_soon(self._release)
                if self.shut:
                    batch = self._without_shut(batch)
                    if not batch:
                        continue
                try:
                    applied = await self._store.apply([reaction for _, _, reaction in batch])
                except Unavailable as unavailable:
                    self._refuse(batch, unavailable)
                except Exception:
                    log.exception("applying a batch failed")
                    self._refuse(batch, Unavailable("the store failed; it is in the hub's log"))
                else:
                    self._metrics.commit_seconds.observe(self._clock() - began_s)
                    self._metrics.commit_reactions.observe(len(batch))
                    self._answer(batch, applied)
                    self._metrics.ack_seconds.observe(self._clock() - since_s)
        finally:
            self._committing = None

    def _release(self) -> None:
        """Listen again to some of those who are held, a turn of the loop after the other until enough wait."""
        enough = min(len(self._waiting) + TURN, CROWD)
        while self._held and len(self._waiting) < enough and not self._draining:
            self._held.popleft().release()
        if self._held and len(self._waiting) < CROWD and not self._draining:
            asyncio.get_running_loop().call_soon(self._release)

    def _answer(self, batch: list[tuple[Asker, int | None, Reaction]], applied: Applied) -> None:
        bodies: dict[int, bytes] = {}  # by identity: reactions share outcomes, and outcomes share snapshots
        answers: dict[Asker, list[tuple[int | None, bytes]]] = {}  # one write an asker: each is a system call
        devices = self._hub.devices
        alone: Mapping[str, object] = devices.alone
        several: dict[tuple[str, str], tuple[dict[str, int], list[Asker]]] = {}  # who may have other connections, too
        for (asker, ref, reaction), outcome in zip(batch, applied.outcomes, strict=True):
            body = bodies.get(id(outcome))
            if body is None:
                snapshot = outcome.snapshot
                shared = bodies.get(id(snapshot))
                if shared is None:
                    newest = self._hub.newest(snapshot)
                    if snapshot.item[:5] == POLL:  # how much of it is told depends on who asks
                        shared = self._hub.body(newest, outcome.mine)
                    else:
                        shared = bodies[id(snapshot)] = wire.body(newest)
                body = bodies[id(outcome)] = wire.with_mine(shared, outcome.mine)
            if asker in answers:
                answers[asker].append((ref, body))
            else:
                answers[asker] = [(ref, body)]
            if alone.get(reaction.actor) is not asker:
                several.setdefault((reaction.item, reaction.actor), (outcome.mine, []))[1].append(asker)
        for asker, its in answers.items():
            asker.acked(its)
        for (item, actor), (mine, askers) in several.items():
            devices.say(actor, item, mine, askers)
        for snapshot in applied.changed:
            self._hub.note(snapshot)
        self._hub.flush()
        self._count(batch, "accepted")

    def _without_shut(
        self, batch: list[tuple[Asker, int | None, Reaction]]
    ) -> list[tuple[Asker, int | None, Reaction]]:
        """The batch without what is said of items that are shut meanwhile, which is refused."""
        late = [each for each in batch if each[2].item in self.shut]
        for asker, ref, reaction in late:
            asker.refused(ref, Refused("closed", f"{reaction.item} has closed: this came too late"))
        self._count(late, "closed")
        return [each for each in batch if each[2].item not in self.shut] if late else batch

    def _refuse(self, batch: list[tuple[Asker, int | None, Reaction]], unavailable: Unavailable) -> None:
        devices = self._hub.devices
        alone: Mapping[str, object] = devices.alone
        for asker, ref, reaction in batch:
            asker.refused(ref, unavailable)
            if alone.get(reaction.actor) is not asker:
                devices.doubtful(reaction.actor, reaction.item)
        self._count(batch, unavailable.code)

    def _count(self, batch: list[tuple[Asker, int | None, Reaction]], result: str) -> None:
        for kind, number in Counter(reaction.kind for _, _, reaction in batch).items():
            self._metrics.reactions.labels(kind, result).inc(number)
