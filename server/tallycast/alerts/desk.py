"""Alerts, webhooks and deliveries as administrators see and change them, and the chores that do the work.

Each administrator sees what lies within the prefix of their key: alerts by their target, webhooks by who made them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from tallycast.alerts import alert as alert_documents
from tallycast.alerts import deliveries, firings, webhooks
from tallycast.alerts.alert import MOST_ALERTS, Alert, changed, dump_alert, load_alert, new_alert
from tallycast.alerts.courier import Courier
from tallycast.alerts.deliveries import DEAD, MOST_DEAD, Delivery, dump_delivery, load_delivery
from tallycast.alerts.firings import Firing, Firings, load_firing
from tallycast.alerts.targets import Barred, Doors, parse_target
from tallycast.alerts.watcher import Paces, Watcher
from tallycast.alerts.webhooks import MOST_WEBHOOKS, Webhook, dump_webhook, load_webhook, message, new_id, new_webhook
from tallycast.chores import every
from tallycast.errors import Refused, Unavailable
from tallycast.lease import Lease
from tallycast.mirrors import Mirror, Mirrors
from tallycast.store.base import OpenStore

if TYPE_CHECKING:
    from tallycast.alerts.sender import Result, Sender

EVERY_S = 1.0
LEASE_S = 5.0  # after which another hub goes on with what a dead one did
TESTS_AT_ONCE = 4
PAGE = 1000  # entries of the journal read at a time

Named = TypeVar("Named", Alert, Webhook)


class Alerts:
    """All of it, of one hub. `networks` are those that webhooks may go to besides the open Internet, `owner` is this
    process's own name, `paces` are history's. `fired` is told the rule of each firing, `counted` how each attempt to
    deliver ended. `clock_s` gives Unix time, `ticks_s` a clock that nobody sets, both in seconds.
    """

    def __init__(
        self,
        store: OpenStore,
        mirrors: Mirrors,
        kinds: Collection[str],
        *,
        networks: Sequence[str],
        owner: str,
        paces: Paces,
        fired: Callable[[str], None],
        counted: Callable[[str], None],
        clock_s: Callable[[], float] = time.time,
        ticks_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records, self._journal = store.records, store.journal
        self._kinds = kinds
        self._clock_s = clock_s
        self._alerts: Mirror[Alert] = mirrors.of(alert_documents.SPACE, load_alert, dump_alert)
        self._webhooks: Mirror[Webhook] = mirrors.of(webhooks.SPACE, load_webhook, dump_webhook)
        self._doors = Doors(networks)
        self._sender: Sender | None = None
        self._tests = asyncio.Semaphore(TESTS_AT_ONCE)

        def lease(name: str) -> Lease:
            return Lease(store.records, name, owner=owner, ttl_s=LEASE_S, clock_s=ticks_s)

        self._watching, self._delivering = lease("alerts"), lease("deliveries")
        self.watcher = Watcher(
            self._alerts,
            Firings(store.records, clock_s=clock_s),
            store.records,
            store.journal,
            self._watching,
            read=store.read,
            paces=paces,
            fired=fired,
            clock_s=clock_s,
            ticks_s=ticks_s,
        )
        self.courier = Courier(
            store.records,
            store.journal,
            self._webhooks,
            self._delivering,
            send=self._send,
            counted=counted,
            clock_s=clock_s,
            rng=Random(),
        )

    # Chores

    @property
    def chores(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """What runs for as long as the hub does."""
        return [self.watch, self.deliver]

    async def watch(self) -> None:
        """Judge alerts, when it is this hub that does, until cancelled."""
        try:
            await every(EVERY_S, self.watcher.round, "alerts")
        finally:
            await _release(self._watching)

    async def deliver(self) -> None:
        """Deliver what waits, when it is this hub that does, until cancelled."""
        try:
            await every(EVERY_S, self.courier.round, "webhooks")
        finally:
            await self.courier.stop()
            self._doors.close()
            if self._sender is not None:
                await self._sender.close()
            await _release(self._delivering)

    async def _send(self, webhook: Webhook, id: str, body: bytes) -> Result:
        """See Sender.send."""
        return await (await self._open()).send(webhook, id, body)

    async def _open(self) -> Sender:
        """The sender. Its HTTP client is 5 MB that hubs without webhooks do without, and 0.1 s, off the loop."""
        if self._sender is None:
            await asyncio.to_thread(import_module, "tallycast.alerts.sender")
            from tallycast.alerts.sender import Sender

            self._sender = self._sender or Sender(self._doors, clock_s=self._clock_s)
        return self._sender

    # Alerts

    def alerts(self, prefix: str) -> list[Alert]:
        """Those whose target lies within the prefix, the oldest first."""
        return sorted((a for a in self._alerts.values() if a.target.name.startswith(prefix)), key=lambda a: a.made_ms)

    def alert(self, id: str, prefix: str) -> Alert:
        """The alert with that id. Raises Refused (`not_found`)."""
        return _of(self.alerts(prefix), id, "alert")

    def describe_alert(self, body: Mapping[str, Any], prefix: str) -> Alert:
        """The alert that a request describes, to be added. Raises Refused."""
        if len(self._alerts) >= MOST_ALERTS:
            raise Refused("conflict", f"there are {MOST_ALERTS} alerts already: delete one first")
        return new_alert(body, self._kinds, [one.id for one in self.webhooks(prefix)], now_s=self._clock_s())

    async def add_alert(self, alert: Alert) -> None:
        """Judge by it from now on. Raises Unavailable."""
        await self._alerts.put(alert.id, alert, None)

    async def change_alert(self, alert: Alert, body: Mapping[str, Any], prefix: str) -> Alert:
        """Give it another `name` or `webhooks`, or turn it on or off. Raises Refused."""
        after = changed(alert, body, [one.id for one in self.webhooks(prefix)] + list(alert.webhooks))
        return await _exchange(self._alerts, alert, after)

    async def remove_alert(self, alert: Alert) -> None:
        """Judge by it no more. Raises Unavailable."""
        await self._alerts.delete(alert.id, "any")

    async def firings(self, prefix: str, limit: int) -> list[Firing]:
        """What fired within the prefix, the newest first. Raises Unavailable."""
        found = map(load_firing, (await self._records.all(firings.SPACE)).values())
        seen = [one for one in found if one.target.removesuffix("*").startswith(prefix)]
        return sorted(seen, key=lambda one: one.at, reverse=True)[:limit]

    # Webhooks

    def webhooks(self, prefix: str) -> list[Webhook]:
        """Those that keys of that prefix made, the oldest first."""
        return sorted((w for w in self._webhooks.values() if w.prefix.startswith(prefix)), key=lambda w: w.made_at)

    def webhook(self, id: str, prefix: str) -> Webhook:
        """The webhook with that id. Raises Refused (`not_found`)."""
        return _of(self.webhooks(prefix), id, "webhook")

    async def describe_webhook(self, body: Mapping[str, Any], prefix: str) -> Webhook:
        """The webhook that a request describes, to be added; where it goes has been looked at. Raises Refused."""
        if len(self._webhooks) >= MOST_WEBHOOKS:
            raise Refused("conflict", f"there are {MOST_WEBHOOKS} webhooks already: delete one first")
        await self._open()
        try:
            webhook = new_webhook(body, prefix=prefix, now_s=self._clock_s())
            await self._doors.addresses(parse_target(webhook.url))
        except Barred as barred:
            raise Refused("bad_request", str(barred)) from None
        return webhook

    async def add_webhook(self, webhook: Webhook) -> None:
        """Let alerts use it. Raises Unavailable."""
        await self._webhooks.put(webhook.id, webhook, None)

    async def change_webhook(self, webhook: Webhook, body: Mapping[str, Any]) -> Webhook:
        """Give it another `name`, or turn it on or off. Raises Refused."""
        enabled = webhooks.check_switch(body.get("enabled", webhook.enabled))
        because = webhook.disabled_because if "enabled" not in body else ""
        name = webhooks.check_name(body.get("name", webhook.name))
        return await _exchange(
            self._webhooks, webhook, webhook._replace(name=name, enabled=enabled, disabled_because=because)
        )

    async def remove_webhook(self, webhook: Webhook) -> None:
        """Send nothing there any more; no alert names it then. Raises Unavailable, Refused (`conflict`)."""
        for alert in list(self._alerts.values()):
            if webhook.id in alert.webhooks:
                left = tuple(id for id in alert.webhooks if id != webhook.id)
                await _exchange(self._alerts, alert, alert._replace(webhooks=left))
        await self._webhooks.delete(webhook.id, "any")

    async def test_webhook(self, webhook: Webhook) -> Result:
        """Send a message of the type `test` there now, and say what became of it."""
        data = {"text": f"Tallycast: this is a test of the webhook {webhook.name}"}
        async with self._tests:
            return await self._send(webhook, new_id("msg"), message(webhook.type, "test", self._clock_s(), data))

    # Deliveries

    async def deliveries(self, prefix: str, limit: int) -> list[Delivery]:
        """Those that wait and those that ended lately, the newest first. Raises Unavailable."""
        found = map(load_delivery, (await self._records.all(deliveries.SPACE)).values())
        seen = [one for one in found if one.prefix.startswith(prefix)]
        return sorted(seen, key=lambda one: one.made_at, reverse=True)[:limit]

    async def dead_letters(self, prefix: str, before: str, limit: int) -> tuple[list[tuple[str, Delivery]], str]:
        """Deliveries that were given up, with the ids of their entries, the newest first, and where to go on.

        `before` is "" for the newest; what is returned to go on with is "" at the end. Raises Unavailable.
        """
        found: list[tuple[str, Delivery]] = []
        while True:
            entries = await self._journal.newest(DEAD, before=before, limit=PAGE)
            for entry in entries:
                dead = load_delivery(entry.body)
                if dead.prefix.startswith(prefix):
                    if len(found) == limit:
                        return found, found[-1][0]
                    found.append((entry.id, dead))
            if len(entries) < PAGE:
                return found, ""
            before = entries[-1].id

    async def redeliver(self, entry: str, prefix: str) -> Delivery:
        """Put a dead letter in the queue again. Raises Refused (`not_found`, `conflict`)."""
        letters, _ = await self.dead_letters(prefix, "", MOST_DEAD)
        dead = next((letter for id, letter in letters if id == entry), None)
        if dead is None:
            raise Refused("not_found", "there is no such dead letter: GET /v1/admin/dead-letters lists them")
        if dead.webhook not in self._webhooks:
            raise Refused("conflict", "the webhook that it was for has been deleted")
        again = dead._replace(state="waiting", attempts=0, next_at=0.0, status=None, error="", ended_at=0.0)
        stands = await self._records.get(deliveries.SPACE, again.key)
        waits = stands is not None and load_delivery(stands).state == "waiting"
        if waits or not await self._records.put(deliveries.SPACE, again.key, dump_delivery(again), stands):
            raise Refused("conflict", "it is in the queue already")
        return again


def _of(some: Sequence[Named], id: str, what: str) -> Named:
    for one in some:
        if one.id == id:
            return one
    raise Refused("not_found", f"there is no such {what}, or it is beyond this key's prefix")


async def _exchange(mirror: Mirror[Named], before: Named, after: Named) -> Named:
    if not await mirror.put(before.id, after, before):
        raise Refused("conflict", "somebody else has changed it meanwhile: look at it again")
    return after


async def _release(lease: Lease) -> None:
    with suppress(Unavailable):
        await lease.release()
