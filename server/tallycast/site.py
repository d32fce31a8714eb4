"""The parts for creators and administrators, put together on a hub: what its routes and its reactions' guards need."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from tallycast.access import Access
from tallycast.alerts.desk import Alerts
from tallycast.audit import Audit
from tallycast.bursts import Bursts
from tallycast.changes import Changes
from tallycast.daily import Daily
from tallycast.errors import Unavailable
from tallycast.history.queries import Queries
from tallycast.history.roller import Roller
from tallycast.idempotency import Idempotency
from tallycast.identity import resolve_secret
from tallycast.lease import Lease
from tallycast.mirrors import Mirrors
from tallycast.moderator import Moderator
from tallycast.polls.polls import Polls
from tallycast.proof import Proofs
from tallycast.service import Guard, Service
from tallycast.sessions.links import Links
from tallycast.sessions.sessions import Sessions

HISTORY_LEASE_S = 5.0
OPEN_S = 2.0


class Site:
    """All of it, on one hub. Puts its guards and chores into the `service`, before that is started."""

    def __init__(self, service: Service) -> None:
        store, settings, metrics = service.store, service.settings, service.metrics
        self._service = service
        self._reading: asyncio.Task[None] | None = None
        owner = secrets.token_hex(8)  # this process's name among those that share the store
        self.mirrors = Mirrors(store.records, clock=service.now_s)
        self.audit = Audit(store.journal)
        self.access = Access(self.mirrors)
        self.idempotency = Idempotency(store.records)
        secret = resolve_secret(settings)
        self.sessions = Sessions(self.access, Links(self.mirrors), secret)
        self.moderator = Moderator(store, service.hub, service.kinds, self.mirrors, owner=owner)
        self.polls = Polls(self.mirrors, service.hub, service.intake, self.audit, store.moderation)
        self.changes = Changes(store.journal)
        self.history = Queries(store.history)
        self.alerts = Alerts(
            store,
            self.mirrors,
            service.kinds.shown,
            networks=settings.webhook_networks,
            owner=owner,
            paces=self.history.paces,
            fired=lambda rule: metrics.alerts_fired.labels(rule).inc(),
            counted=lambda result: metrics.webhook_attempts.labels(result).inc(),
        )
        self.daily = Daily(store.records)
        service.gate.daily = self.daily
        self.bursts = Bursts(
            store,
            service.hub,
            self.mirrors,
            self.daily,
            visitor_s=settings.visitor_days * 86_400,
            forgotten=self.moderator.forgetting.lately,
            owner=owner,
        )
        self.moderator.forgetting.others.append(self.bursts.forget)
        if settings.proof == "bursts":
            service.gate.proofs = Proofs(secret[0], wanted=lambda: self.bursts.lasting)
        lease = Lease(store.records, "history", owner=owner, ttl_s=HISTORY_LEASE_S, clock_s=service.now_s)
        roller = Roller(store.history, store.journal, store.moderation, lease, service.kinds)
        may: list[Guard] = [self.moderator.bars.check]
        if settings.viewing == "token":
            may.append(self.sessions.check)  # who may only look
        count = self.bursts.guard.check  # last: it counts what the others let pass
        service.guards = (*may, count)
        service.vote_guards = (*may, self.polls.check, count)
        service.chores += [
            self.mirrors.run,
            self.access.run,
            self.idempotency.run,
            self.daily.run,
            self.moderator.forgetting.run,
            self.polls.run,
            roller.run,
            self.bursts.run,
            *self.alerts.chores,
        ]

    async def open(self) -> None:
        """Start the hub, and read who may do what before anybody is let in: until then every reaction is refused.

        Called before each request; the first one counts. A store that is away is waited for no longer than OPEN_S.
        """
        self._service.start()
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read())
        if not self._reading.done():
            await asyncio.wait([self._reading])

    async def _read(self) -> None:
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(OPEN_S):
                await self.mirrors.refresh()
