"""Forgetting an actor: all that they said leaves the counts, and their name leaves the store, item by item.

What else holds names in the store is told first, once every hub knows that the actor is being forgotten; whoever would
write a name down asks lately() before.

It is a job, since it looks through the whole store: a document of the space `jobs`, done by whichever hub holds the
lease, so that it goes on where it was when that hub ends. When it is done the document no longer says whom it was
about.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import orjson

from tallycast.bars import Bars
from tallycast.chores import every
from tallycast.lease import Lease
from tallycast.mirrors import Mirror, Mirrors
from tallycast.store.base import Snapshot
from tallycast.store.moderation import Moderation
from tallycast.store.records import ANY

SPACE = "jobs"
LEASE = "forgetting"
LEASE_S = 10.0
LOOK_EVERY_S = 0.5
SETTLE_S = 2.5  # from the ban until every hub knows of it, and what was on its way is counted
SAVE_EVERY_S = 1.0
AT_ONCE = 10  # items that the store is asked about before it has answered
LATELY_S = 120.0  # longer than any hub keeps in mind who reacted
KEPT_S = 30 * 86_400.0  # a job that is done


class Job(NamedTuple):
    """How far an actor is forgotten. `actor` is None once that is done; times are Unix times in seconds."""

    by: str
    begun_at: float
    actor: str | None
    cursor: str = ""
    items: int = 0  # of which something was taken out
    ended_at: float | None = None

    def public(self, id: str) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "id": id,
            "act": "actor.forget",
            "actor": self.actor,
            "by": self.by,
            "state": "running" if self.ended_at is None else "done",
            "items": self.items,
            "begun_at": self.begun_at,
            "ended_at": self.ended_at,
        }


def load_job(body: bytes) -> Job:
    """A document of the space `jobs`."""
    return Job(**orjson.loads(body))


def dump_job(job: Job) -> bytes:
    """The document of a job."""
    return orjson.dumps(job._asdict())


def alias(actor: str) -> str:
    """What stands for an actor in the audit log, which must not keep their name: whoever knows it finds it there."""
    return "sha256:" + hashlib.sha256(actor.encode()).hexdigest()[:16]


class Forgetting:
    """The jobs of all hubs, and the one who does them.

    `gone` is told of each item that the actor's values were taken out of. `others` take an actor's name out of what
    they keep in the store, as often as they are called; they may raise Unavailable. `clock_s` gives Unix time in
    seconds.
    """

    def __init__(
        self,
        mirrors: Mirrors,
        moderation: Moderation,
        bars: Bars,
        lease: Lease,
        gone: Callable[[str, Snapshot], None],
        *,
        clock_s: Callable[[], float] = time.time,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._jobs: Mirror[Job] = mirrors.of(SPACE, load_job, dump_job)
        self._moderation = moderation
        self._bars = bars
        self._lease = lease
        self._gone = gone
        self._clock_s = clock_s
        self._settle_s = settle_s
        self.others: list[Callable[[str], Awaitable[None]]] = []

    @property
    def jobs(self) -> Mapping[str, Job]:
        """All jobs by id, those of the last month that are done among them."""
        return self._jobs

    async def begin(self, actor: str, by: str) -> str:
        """Begin to forget `actor`, who may not react until it is done; the job's id, which is the running one's if
        there is one. Raises Unavailable."""
        id = _id_of(actor)
        await self._bars.ban(actor, by, "is being forgotten")
        standing = self._jobs.get(id)
        if standing is None or standing.ended_at is not None:
            await self._jobs.put(id, Job(by, self._clock_s(), actor), standing)
        return id

    def lately(self, actor: str) -> bool:
        """Whether the actor is being forgotten, or was less than LATELY_S ago."""
        job = self._jobs.get(_id_of(actor))
        return job is not None and (job.ended_at is None or self._clock_s() - job.ended_at < LATELY_S)

    async def run(self) -> None:
        """Do what is to be done, as long as the hub runs."""
        await every(LOOK_EVERY_S, self.work, "forgetting actors")

    async def work(self) -> None:
        """Do the jobs that have settled, if no other hub does, and let go of old ones. Raises Unavailable."""
        now_s = self._clock_s()
        due = [id for id, job in self._jobs.items() if job.ended_at is None and now_s - job.begun_at >= self._settle_s]
        old = [id for id, job in self._jobs.items() if job.ended_at is not None and now_s - job.ended_at > KEPT_S]
        for id in due:
            if await self._lease.hold():
                await self._do(id)
        for id in old:
            await self._jobs.delete(id, ANY)

    async def _do(self, id: str) -> None:
        standing = job = self._jobs[id]
        actor = job.actor
        assert actor is not None
        for forget in self.others:
            await forget(actor)
        saved_s = time.monotonic()
        ended = False
        while not ended:
            began_s = time.monotonic()
            try:
                items, cursor = await self._moderation.items_of(actor, job.cursor)
            except ValueError:  # the cursor is that of a store before this one
                items, cursor = await self._moderation.items_of(actor, "")
            for at in range(0, len(items), AT_ONCE):
                some = items[at : at + AT_ONCE]
                for removed in await asyncio.gather(*(self._moderation.remove(item, (actor,)) for item in some)):
                    self._gone(actor, removed.snapshot)
            job = job._replace(cursor=cursor, items=job.items + len(items))
            ended = not cursor
            now_s = time.monotonic()
            if not ended and now_s - saved_s >= SAVE_EVERY_S:
                if not await self._lease.hold() or not await self._jobs.put(id, job, standing):
                    return  # another hub goes on with it
                standing, saved_s = job, now_s
            await asyncio.sleep(now_s - began_s)  # half of the store's time at most
        await self._bars.unban(actor)
        await self._jobs.put(id, job._replace(actor=None, cursor="", ended_at=self._clock_s()), standing)


def _id_of(actor: str) -> str:
    """The id of an actor's job, also when the job no longer says whom it was about."""
    return alias(actor).removeprefix("sha256:")
