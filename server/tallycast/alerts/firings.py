"""What fired. A firing is one document, written by compare-and-set: so each fires once, however many hubs judge it.

A firing and its deliveries are several documents, between which a hub may die. So a firing is `pending` until all of
its deliveries are in the queue, and whoever comes next finishes what is pending: each delivery is put where nothing
stands under its name, so that finishing twice is finishing once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import orjson

from tallycast.alerts import deliveries
from tallycast.alerts.alert import Alert
from tallycast.alerts.deliveries import Delivery, dump_delivery
from tallycast.alerts.rules import name_of
from tallycast.alerts.webhooks import new_id
from tallycast.store.records import Records

SPACE = "firings"
MOST_FIRINGS = 5000  # of which it is known that they were; older ones go, and might fire again


class Event(NamedTuple):
    """What is to be told: of which item (or target), in words, and what else there is to say, as JSON."""

    item: str
    text: str
    data: dict[str, Any]


class Firing(NamedTuple):
    """An alert fired, at `at` (Unix time in seconds). `id` is the message's, for every webhook.

    `armed`: it has ceased since, and the same may fire again.
    """

    id: str
    alert: str
    name: str
    rule: str
    target: str
    webhooks: tuple[str, ...]
    item: str
    text: str
    data: dict[str, Any]
    at: float
    pending: bool = True
    armed: bool = False

    def public(self) -> dict[str, Any]:
        """The firing as the API shows it."""
        unsaid = ("target", "webhooks", "pending")
        return {name: value for name, value in self._asdict().items() if name not in unsaid}

    def delivery(self, webhook: str) -> Delivery:
        """The message for one webhook."""
        alert = {"id": self.alert, "name": self.name, "rule": self.rule, "target": self.target}
        data = {"text": self.text, "item": self.item, "alert": alert, **self.data}
        prefix = self.target.removesuffix("*")
        return Delivery(self.id, webhook, self.alert, prefix, f"alert.{self.rule}", data, self.at)


def load_firing(body: bytes) -> Firing:
    """A document of the space `firings`."""
    document = orjson.loads(body)
    return Firing(**{**document, "webhooks": tuple(document["webhooks"])})


def dump_firing(firing: Firing) -> bytes:
    """The document of a firing."""
    return orjson.dumps(firing._asdict())


class Firings:
    """The firings that this process has read, for whoever holds the lease. `clock_s` gives Unix time in seconds.

    A key names what fires once: alert, item and mark, or alert and item where it may fire again. Methods raise
    Unavailable; call load() after that, and before all else.
    """

    def __init__(self, records: Records, *, clock_s: Callable[[], float]) -> None:
        self._records = records
        self._clock_s = clock_s
        self._known: dict[str, tuple[bytes, Firing]] = {}

    async def load(self) -> None:
        """Read what fired, and finish what was begun."""
        bodies = await self._records.all(SPACE)
        self._known = {key: (body, load_firing(body)) for key, body in bodies.items()}
        for key in [key for key, (_, firing) in self._known.items() if firing.pending]:
            await self._finish(key)

    def get(self, key: str) -> Firing | None:
        """The last firing under that key."""
        known = self._known.get(key)
        return known[1] if known else None

    async def fire(self, key: str, alert: Alert, event: Event, *, quiet_s: float = 0.0) -> bool:
        """Fire, unless it has and was not armed since, or fired less than `quiet_s` seconds ago. Whether it did."""
        known = self._known.get(key)
        now_s = self._clock_s()
        if known is not None and (not known[1].armed or abs(now_s - known[1].at) < quiet_s):
            return False
        firing = Firing(
            new_id("msg"),
            alert.id,
            alert.name,
            name_of(alert.rule),
            alert.target.text,
            alert.webhooks,
            event.item,
            event.text,
            event.data,
            now_s,
        )
        fired = await self._put(key, firing)
        stands = self.get(key)
        if stands is not None and stands.pending:  # our own, or of a hub that may be dead
            await self._finish(key)
        return fired

    async def arm(self, key: str, *, after_s: float | None = None) -> None:
        """What fired under that key has ceased: it may fire again. With `after_s`: if it fired before that."""
        known = self._known.get(key)
        if known is not None and not known[1].armed and (after_s is None or known[1].at < after_s):
            await self._put(key, known[1]._replace(armed=True))

    async def trim(self, alerts: Collection[str]) -> None:
        """Forget the firings of other alerts than these, and the oldest of what is over MOST_FIRINGS."""
        gone = [key for key, (_, firing) in self._known.items() if firing.alert not in alerts]
        kept = sorted(self._known.keys() - gone, key=lambda key: self._known[key][1].at)
        for key in (*gone, *kept[: max(len(kept) - MOST_FIRINGS, 0)]):
            body, _ = self._known.pop(key)
            await self._records.delete(SPACE, key, body)

    async def _finish(self, key: str) -> None:
        firing = self._known[key][1]
        for webhook in firing.webhooks:
            delivery = firing.delivery(webhook)
            await self._records.put(deliveries.SPACE, delivery.key, dump_delivery(delivery), None)
        await self._put(key, firing._replace(pending=False))

    async def _put(self, key: str, firing: Firing) -> bool:
        """Write it where nobody has written meanwhile; else know what they wrote."""
        known = self._known.get(key)
        body = dump_firing(firing)
        if await self._records.put(SPACE, key, body, known[0] if known else None):
            self._known[key] = (body, firing)
            return True
        stands = await self._records.get(SPACE, key)
        if stands is None:
            self._known.pop(key, None)
        else:
            self._known[key] = (stands, load_firing(stands))
        return False
