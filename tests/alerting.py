"""Alerts on a store's file, by a clock that the test moves: rounds are called, nothing is waited for."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tallycast.alerts import Alerts
from tallycast.alerts.alert import Alert
from tallycast.alerts.firings import MOST_FIRINGS
from tallycast.alerts.webhooks import Webhook
from tallycast.history.queries import Pace
from tallycast.kinds import Kinds, Reaction
from tallycast.mirrors import Mirrors
from tallycast.settings import Settings, read_kinds
from tallycast.store.base import OpenStore
from tallycast.store.sqlite import SqliteStore

LOOPBACK = ("127.0.0.0/8", "::1")
KINDS: Kinds = read_kinds(Settings())


class Clock:
    """A wall clock and one that nobody sets."""

    def __init__(self) -> None:
        self.wall_s = time.time()
        self.ticks_s = 1000.0

    def spend(self, seconds: float) -> None:
        """Time passes."""
        self.wall_s += seconds
        self.ticks_s += seconds

    def wall_ns(self) -> int:
        return int(self.wall_s * 1e9)


class Hub:
    """The alerts of one hub."""

    def __init__(self, store: OpenStore, clock: Clock, owner: str) -> None:
        self.store, self.clock = store, clock
        self.paces: dict[str, Pace] = {}
        self.fired: list[str] = []
        self.counted: list[str] = []
        self.alerts = Alerts(
            store,
            Mirrors(store.records, clock=lambda: clock.ticks_s),
            KINDS,
            networks=LOOPBACK,
            owner=owner,
            paces=self._paces,
            fired=self.fired.append,
            counted=self.counted.append,
            clock_s=lambda: clock.wall_s,
            ticks_s=lambda: clock.ticks_s,
        )

    async def _paces(self, names: Sequence[str], _kind: str, _minutes: int) -> dict[str, Pace]:
        return {name: self.paces.get(name, Pace(0, 0.0)) for name in names}

    async def alert(self, **body: Any) -> Alert:
        """A new alert."""
        alert = self.alerts.describe_alert({"name": "An alert", **body}, "")
        await self.alerts.add_alert(alert)
        return alert

    async def webhook(self, url: str, **body: Any) -> Webhook:
        """A new webhook."""
        webhook = await self.alerts.describe_webhook({"name": "A hook", "url": url, **body}, "")
        await self.alerts.add_webhook(webhook)
        return webhook

    async def react(self, item: str, actors: int, value: int = 1, *, kind: str = "like", first: int = 0) -> None:
        """So many actors say something of an item, in one batch."""
        batch = [Reaction(item, f"u:{first + n}", kind, value) for n in range(actors)]
        await self.store.apply(batch)

    async def watch(self, seconds: float = 1.0) -> list[str]:
        """Time passes and the watcher looks: the texts of what has fired."""
        before = {one.id for one in await self.alerts.firings("", MOST_FIRINGS)}
        self.clock.spend(seconds)
        await self.alerts.watcher.round()
        return sorted(one.text for one in await self.alerts.firings("", MOST_FIRINGS) if one.id not in before)

    async def deliver(self, seconds: float = 1.0) -> list[str]:
        """Time passes and the courier goes round, and comes back: how each attempt ended."""
        before = len(self.counted)
        self.clock.spend(seconds)
        await self.alerts.courier.round()
        await self.alerts.courier.settled()
        return self.counted[before:]


@asynccontextmanager
async def alerting(directory: Path) -> AsyncIterator[Hub]:
    """One hub's alerts for one block, on a store in `directory`."""
    clock = Clock()
    store = SqliteStore(directory / "hub.db", KINDS, durability="normal", clock_ns=clock.wall_ns)
    hub = Hub(store, clock, "hub 1")
    try:
        yield hub
    finally:
        await hub.alerts.courier.stop()
        await store.close()


def another(hub: Hub, owner: str = "hub 2") -> Hub:
    """Another hub on the same store, which a process of its own would be."""
    return Hub(hub.store, hub.clock, owner)
