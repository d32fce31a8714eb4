"""Group commit: the reactions that come while one batch is being made durable form the next.

Nobody is acknowledged before the store has the whole batch, and a batch costs the store one transaction however many
reactions are in it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from tallycast import wire
from tallycast.errors import Refused, Unavailable
from tallycast.hub import Hub
from tallycast.kinds import Reaction
from tallycast.metrics import Metrics
from tallycast.store.base import Applied, Store

log = logging.getLogger("tallycast.intake")

MOST_WAITING = 100_000  # reactions: some seconds of work; beyond that a client is better told to come back
MOST_IN_A_BATCH = 4_000  # so that acks and ticks have their turn


class Asker(Protocol):
    """Who sent reactions and wants to know what became of them; each is told of once, by one of the two."""

    def acked(self, answers: Sequence[tuple[int | None, bytes]]) -> None:
        """Some are durable: for each its ref and what stands now, wire.body() with `mine`."""
        ...

    def refused(self, ref: int | None, refusal: Refused) -> None:
        """It was not counted."""
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

    def put(self, asker: Asker, ref: int | None, reaction: Reaction) -> None:
        """Count `reaction` with the next batch. Raises Unavailable when too many wait already."""
        if len(self._waiting) >= MOST_WAITING:
            raise Unavailable("too many reactions at once")
        if not self._waiting:
            self._since_s = self._clock()
        self._waiting.append((asker, ref, reaction))
        if self._committing is None:
            self._committing = asyncio.get_running_loop().create_task(self._commit())

    async def drain(self) -> None:
        """Wait until all that was put is answered."""
        while self._committing is not None:
            await asyncio.wait([self._committing])

    async def _commit(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST_IN_A_BATCH], self._waiting[MOST_IN_A_BATCH:]
                began_s, since_s = self._clock(), self._since_s
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
                    shared = bodies[id(snapshot)] = wire.body(self._hub.newest(snapshot))
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
