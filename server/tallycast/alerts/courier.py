"""Delivers what waits: one hub at a time, to each webhook one message at a time, to all webhooks at once.

So a target that hangs holds up its own messages and no others. Each step is a compare-and-set: a hub that lost the
lease in the middle changes nothing after that, and the worst that happens is a message that comes twice, with one id.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from tallycast.alerts.deliveries import (
    DEAD,
    MOST_DEAD,
    MOST_DONE,
    MOST_WAITING,
    SPACE,
    Delivery,
    delay_s,
    dump_delivery,
    load_delivery,
)
from tallycast.alerts.webhooks import Webhook
from tallycast.errors import Unavailable
from tallycast.lease import Lease
from tallycast.mirrors import Mirror
from tallycast.store.records import Journal, Records

if TYPE_CHECKING:
    from tallycast.alerts.sender import Result

log = logging.getLogger("tallycast.alerts")

GONE = 410  # a target that says so wants nothing any more

Counted = Callable[[str], None]
Send = Callable[[Webhook, str, bytes], Awaitable["Result"]]
Queued = tuple[bytes, Delivery]  # the document, and what it means


class Courier:
    """The queue of deliveries and the attempts that are under way.

    `send` is Sender's; `counted` is told of every attempt's end: delivered, failed (it will be tried again) or dead.
    `clock_s` gives Unix time in seconds.
    """

    def __init__(
        self,
        records: Records,
        journal: Journal,
        webhooks: Mirror[Webhook],
        lease: Lease,
        *,
        send: Send,
        counted: Counted,
        clock_s: Callable[[], float],
        rng: Random,
    ) -> None:
        self._records, self._journal = records, journal
        self._webhooks = webhooks
        self._send = send
        self._lease = lease
        self._counted = counted
        self._clock_s = clock_s
        self._rng = rng
        self._revision = -1  # of the space, as of which the queue was read
        self._waiting: dict[str, dict[str, Queued]] = {}  # by webhook and key
        self._serving: dict[str, asyncio.Task[None]] = {}  # by webhook
        self._one_at_a_time = asyncio.Lock()  # a reading begun before a write must not end after it

    async def round(self) -> None:
        """Begin what is due. To be called about once a second. Raises Unavailable."""
        revision = (await self._records.revisions((SPACE,)))[SPACE]
        if revision == self._revision and not self._serving and not self._due():
            await self._lease.release()  # idle: no lease need be renewed until something is due, or comes
            return
        held = False
        try:
            held = await self._lease.hold()
        finally:
            if not held:
                await self.stop()
        if not held:
            return
        if revision != self._revision:
            await self._look(revision)
        for id, due in self._due().items():
            if id not in self._serving:
                task = self._serving[id] = asyncio.create_task(self._serve(id, due))
                task.add_done_callback(partial(self._served, id))

    async def settled(self) -> None:
        """Wait until no attempt is under way."""
        while self._serving:
            await asyncio.wait(self._serving.values())

    async def stop(self) -> None:
        """Break off what is under way, and forget the queue: another hub goes on with it."""
        self._waiting, self._revision = {}, -1
        for task in self._serving.values():
            task.cancel()
        await self.settled()

    # The queue

    def _due(self) -> dict[str, list[Queued]]:
        """What is to be tried now, by webhook, what waits longest first."""
        now_s = self._clock_s()
        found: dict[str, list[Queued]] = {}
        for id, waiting in self._waiting.items():
            due = [one for one in waiting.values() if one[1].due(now_s)]
            if due:
                found[id] = sorted(due, key=lambda one: (one[1].next_at, one[1].made_at))
        return found

    async def _look(self, revision: int) -> None:
        """Read the queue, which is as of that revision or newer."""
        async with self._one_at_a_time:
            read = {key: (body, load_delivery(body)) for key, body in (await self._records.all(SPACE)).items()}
            waiting: dict[str, dict[str, Queued]] = defaultdict(dict)
            for key, (body, delivery) in read.items():
                if delivery.state == "waiting":
                    waiting[delivery.webhook][key] = (body, delivery)
            self._waiting, self._revision = waiting, revision
        done = sorted((one for one in read.values() if one[1].state != "waiting"), key=lambda one: one[1].ended_at)
        for body, delivery in done[: max(len(done) - MOST_DONE, 0)]:
            await self._records.delete(SPACE, delivery.key, body)
        for id, queue in waiting.items():
            too_many = sorted(queue.values(), key=lambda one: one[1].made_at)[MOST_WAITING:]
            for body, delivery in too_many:
                await self._give_up(body, delivery._replace(error=f"{MOST_WAITING} others wait for this webhook"))
            if too_many:
                log.warning("webhook %s: %d deliveries are too many to wait, and given up", id, len(too_many))

    async def _put(self, before: bytes, delivery: Delivery) -> None:
        """Write what has become of it, unless somebody else has."""
        body = dump_delivery(delivery)
        async with self._one_at_a_time:
            written = await self._records.put(SPACE, delivery.key, body, before)
            queue = self._waiting.get(delivery.webhook, {})
            if written and delivery.state == "waiting":
                queue[delivery.key] = (body, delivery)
            else:
                queue.pop(delivery.key, None)

    async def _drop(self, before: bytes, delivery: Delivery) -> None:
        """There is nobody any more whom it could go to."""
        async with self._one_at_a_time:
            await self._records.delete(SPACE, delivery.key, before)
            self._waiting.get(delivery.webhook, {}).pop(delivery.key, None)

    async def _give_up(self, before: bytes, delivery: Delivery) -> None:
        """Into the dead letters first: what dies between is there twice and not lost."""
        dead = delivery._replace(state="dead", ended_at=self._clock_s())
        await self._journal.append(DEAD, dump_delivery(dead), most=MOST_DEAD)
        await self._put(before, dead)
        self._counted("dead")

    # Attempts

    async def _serve(self, id: str, due: list[Queued]) -> None:
        for body, delivery in due:
            webhook = self._webhooks.get(id)
            if webhook is None:
                await self._webhooks.refresh()  # it may have been made at another hub a moment ago
                webhook = self._webhooks.get(id)
            if webhook is None:
                await self._drop(body, delivery)
            elif not webhook.enabled:
                await self._give_up(body, delivery._replace(error="the webhook is disabled"))
            else:
                result = await self._send(webhook, delivery.id, delivery.body(webhook.type))
                await self._note(webhook, body, delivery, result)

    async def _note(self, webhook: Webhook, before: bytes, delivery: Delivery, result: Result) -> None:
        now_s = self._clock_s()
        delivery = delivery._replace(attempts=delivery.attempts + 1, status=result.status, error=result.error)
        if result.ok:
            await self._put(before, delivery._replace(state="delivered", ended_at=now_s))
            self._counted("delivered")
            return
        if result.status == GONE:
            log.warning("webhook %s answered 410 Gone and is disabled", webhook.id)
            await self._webhooks.put(
                webhook.id, webhook._replace(enabled=False, disabled_because="it answered 410 Gone"), webhook
            )
        wait_s = None if result.status == GONE else delay_s(delivery.attempts, self._rng, result.retry_after_s)
        if wait_s is None:
            log.warning("delivery %s is given up: %s", delivery.key, delivery.error)
            await self._give_up(before, delivery)
        else:
            await self._put(before, delivery._replace(next_at=now_s + wait_s))
            self._counted("failed")

    def _served(self, id: str, task: asyncio.Task[None]) -> None:
        del self._serving[id]
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._revision = -1  # who knows what stands there now
            if not isinstance(error, Unavailable):
                log.error("delivering to webhook %s failed", id, exc_info=error)
