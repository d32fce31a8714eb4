"""Items, who watches them, and the tick: an item's new counts are encoded once and written to all of its watchers.

Counts are state, not events: nothing is queued for anybody. A watcher that cannot be written to keeps only the set of
its items that moved meanwhile, and gets their newest counts when it reads again.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tallycast import wire
from tallycast.devices import Devices, ReadDone
from tallycast.errors import Unavailable
from tallycast.items import Item, Parcel, Watcher, Write
from tallycast.kinds import POLL
from tallycast.metrics import Metrics
from tallycast.presence import BEAT_S, Presence
from tallycast.store.base import Reading, Snapshot, Store
from tallycast.veils import Veil

log = logging.getLogger("tallycast.hub")

LINGER_S = 30.0  # how long an item that nobody watches any more stays in memory, for those who come back
MOST_IDLE = 50_000  # …and how many of them do at most
MOST_REST_S = 0.5  # between two fan-outs; at this a frame goes to 40,000 viewers


class View(NamedTuple):
    """An item as one actor sees it; `mine` is None for nobody in particular."""

    snapshot: Snapshot
    mine: dict[str, int] | None


class Hub:
    """Knows the items that are watched or were just used, and pushes their counts.

    `clock` gives seconds, monotonic. A tick is the same moment for all items, so that what a viewer of many items is
    sent then goes out in one system call.
    """

    def __init__(self, store: Store, metrics: Metrics, *, tick_s: float, clock: Callable[[], float]) -> None:
        self._store = store
        self._metrics = metrics
        self._tick_s = tick_s
        self._now_s = clock
        self._items: dict[str, Item] = {}
        self._veils: dict[str, Veil] = {}
        self._idle: dict[Item, float] = {}  # unwatched items by when they were last used, oldest first
        self._fresh: list[Item] = []  # moved since the last flush
        self._waiting: list[Item] = []  # moved, and sent less than a tick ago
        self._returning: dict[Watcher, None] = {}  # read again after a pause
        self._recounted: list[Item] = []  # watched by more or fewer, which some of them want to know
        self._ticking = False
        self._tick_at_s = 0.0  # when the last tick was due, or the one that is waited for is
        self._rest_until_s = float("-inf")
        self._reads: list[tuple[Sequence[str], str | None, ReadDone]] = []
        self._reading: asyncio.Task[None] | None = None
        self._presence = Presence(store)
        self.devices = Devices(store, self._items, read_then=self.read_then, wake=self.flush)

    # Who watches what

    def item(self, name: str) -> Item:
        """The item of that name, to be watched; brought to memory as one that is not loaded where it was not there."""
        item = self._items.get(name)
        if item is None:
            item = self._items[name] = Item(name, self.veil(name))
            self._idle[item] = self._now_s()
            self._store.follow((name,), self._hear)
        return item

    def watch(self, watcher: Watcher, item: Item) -> bool:
        """Send the item's counts to `watcher` from now on; False where that was so before."""
        if watcher in item.watchers:
            return False
        item.watchers.add(watcher)
        item.audience_changed()
        self._presence.moved(item)
        self._idle.pop(item, None)
        return True

    def unwatch(self, watcher: Watcher, item: Item) -> None:
        """Send it no more. No error where it did not watch."""
        if watcher in item.watchers:
            self.tell_viewers(watcher, item, wanted=False)
            item.watchers.remove(watcher)
            item.audience_changed()
            self._presence.moved(item)
            if not item.watchers:
                self._idle[item] = self._now_s()

    def tell_viewers(self, watcher: Watcher, item: Item, *, wanted: bool) -> None:
        """From now on tell `watcher` how many watch the item, or no more. read_then() before its snapshot is made."""
        if wanted != item.tells(watcher):
            item.tell_viewers(watcher, wanted=wanted)
            self._presence.curious(item)

    def forget_idle(self) -> None:
        """Let go of items that nobody has watched in the last LINGER_S seconds."""
        old = self._now_s() - LINGER_S
        for item, since_s in list(self._idle.items()):
            if since_s > old and len(self._idle) <= MOST_IDLE:
                break
            del self._idle[item]
            del self._items[item.snapshot.item]
            self._store.unfollow((item.snapshot.item,))

    def __len__(self) -> int:
        return len(self._items)

    # Reading: what is not in memory comes from the store, many askers' wishes in one go

    def read_then(self, names: Sequence[str], actor: str | None, done: ReadDone) -> None:
        """Bring `names` up to date from the store, with the values of `actor` if given; then call `done`.

        `done` is called in the turn of the loop in which the store's answer came: what it says and what the items
        here say are of one moment. It gets an Unavailable instead when the store cannot answer.
        """
        self._reads.append((names, actor, done))
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        while self._reads:
            wishes, self._reads = self._reads, []
            items = {name for names, _, _ in wishes for name in names}
            pairs = {(name, actor) for names, actor, _ in wishes if actor is not None for name in names}
            result: Reading | Unavailable
            await self._presence.learn()  # before the reading: after it nothing may be waited for
            try:
                result = await self._store.read(items, pairs)
            except Unavailable as unavailable:
                result = unavailable
            except Exception:
                log.exception("reading from the store failed")
                result = Unavailable("the store failed; it is in the hub's log")
            if isinstance(result, Reading):
                self.devices.learn(pairs, result)
                for snapshot in result.snapshots.values():
                    self._hear(snapshot)
            for _, _, done in wishes:
                try:
                    done(result)
                except Exception:
                    log.exception("answering a reader failed")
        self._reading = None

    async def read(self, names: Sequence[str], actor: str | None) -> list[View]:
        """The newest counts of `names` in their order, with what `actor` says if given. Raises Unavailable."""
        items = [self._items.get(name) for name in names]
        if actor is None and all(item is not None and item.known for item in items):
            return [View(item.snapshot, None) for item in items if item is not None]
        answer: asyncio.Future[Reading] = asyncio.get_running_loop().create_future()

        def done(result: Reading | Unavailable) -> None:
            if answer.done():  # the asker has gone
                return
            if isinstance(result, Unavailable):
                answer.set_exception(result)
            else:
                answer.set_result(result)

        self.read_then(names, actor, done)
        reading = await answer
        return [
            View(reading.snapshots[name], None if actor is None else reading.mine.get((name, actor), {}))
            for name in names
        ]

    # How many watch

    async def share_presence(self) -> None:
        """Tell the other hubs how many watch here, and the curious how many do everywhere, once in BEAT_S seconds.

        Runs until it is cancelled.
        """
        while True:
            due_s = self._now_s() + BEAT_S
            try:
                recounted = await self._presence.beat()
            except Exception:
                log.exception("sharing who watches failed")
            else:
                self._recounted += recounted
                if recounted:
                    self._tick_later()
            await asyncio.sleep(max(due_s - self._now_s(), 0.0))

    def _hear(self, snapshot: Snapshot) -> None:
        """The store says how an item stands."""
        item = self._items.get(snapshot.item)
        if item is not None and not item.loaded:
            item.move(snapshot)  # its watchers are given a snapshot: it is no news to them
        else:
            self.note(snapshot)
            self.flush()

    # Hiding

    def veil(self, name: str) -> Veil | None:
        """What lies over an item's counts: of a poll nothing is seen until somebody has said how much may be."""
        return self._veils.get(name, Veil.HIDDEN) if name[:5] == POLL else None

    def cover(self, name: str, veil: Veil) -> None:
        """Show so much of a poll's counts from now on, and tell its watchers how it stands.

        They are told also where that is nothing new to them: so they hear that something else about the poll is.
        """
        if veil is Veil.HIDDEN:
            self._veils.pop(name, None)
        else:
            self._veils[name] = veil
        item = self._items.get(name)
        if item is None:
            return
        item.cover(veil)
        if item.loaded and item.watchers and not item.dirty:
            item.dirty = True
            self._fresh.append(item)
            self.flush()

    def body(self, snapshot: Snapshot, mine: Mapping[str, int] | None = None) -> bytes:
        """wire.body() as far as its counts are for an actor who says `mine`; None: for everybody."""
        veil = self.veil(snapshot.item)
        return wire.body(snapshot) if veil is None else veil.body(snapshot, mine)

    # Pushing

    def newest(self, snapshot: Snapshot) -> Snapshot:
        """The counts that an answer should tell: `snapshot`, or newer ones of the item that were sent already.

        So that of all that is said with `mine` to one connection the later has no smaller version.
        """
        item = self._items.get(snapshot.item)
        return item.snapshot if item is not None and item.snapshot.v > snapshot.v else snapshot

    def note(self, snapshot: Snapshot) -> None:
        """An item's counts are now `snapshot`, unless newer ones are known. They go out with the next flush()."""
        item = self._items.get(snapshot.item)
        if item is None or not item.move(snapshot) or not item.watchers:
            return
        if item.dirty:
            self._metrics.conflated.inc()
        else:
            item.dirty = True
            self._fresh.append(item)

    def flush(self) -> None:
        """Send what moved, at once where the item was quiet for a tick; the rest goes out at the next tick."""
        if self._fresh:
            self._send_fresh()
        if self._waiting or self.devices.waiting:
            self._tick_later()

    def _send_fresh(self) -> None:
        fresh, self._fresh = self._fresh, []
        now_s = self._now_s()
        if now_s < self._rest_until_s:
            self._waiting += fresh
        else:
            quiet_before_s = now_s - self._tick_s
            at_once = [item for item in fresh if item.sent_s <= quiet_before_s]
            if len(at_once) < len(fresh):
                self._waiting += [item for item in fresh if item.sent_s > quiet_before_s]
            if not self._ticking and self._tick_at_s <= quiet_before_s:
                self._tick_at_s = now_s  # after a rest the ticks are counted from here
            said, _ = self.devices.take(at_once)
            self._send(at_once, now_s, said=said)

    def pause(self, watcher: Watcher) -> None:
        """`watcher` cannot be written to: from now on only remember what it misses."""
        if watcher.stale is None:
            self._set_stale(watcher, set())
        self._returning.pop(watcher, None)

    def resume(self, watcher: Watcher) -> None:
        """`watcher` reads again: at the next tick it gets the newest counts of what moved meanwhile."""
        if watcher.stale:
            self._returning[watcher] = None
            self._tick_later()
        else:
            self._set_stale(watcher, None)

    def _set_stale(self, watcher: Watcher, stale: set[Item] | None) -> None:
        watcher.stale = stale
        for item in watcher.items:
            item.audience_changed()
        if stale is None:
            self.devices.resume(watcher)

    def leave(self, watcher: Watcher) -> None:
        """`watcher` is gone."""
        for item in watcher.items:
            self.unwatch(watcher, item)
        self._returning.pop(watcher, None)

    def _tick_later(self) -> None:
        if not self._ticking:
            self._ticking = True
            now_s = self._now_s()
            if now_s < self._rest_until_s:
                self._tick_at_s = self._rest_until_s  # a rest is longer than a tick, from send to send
            else:
                # At least one tick on, even if the clock stands before the last one: a timer may be a little early.
                self._tick_at_s += max(math.floor((now_s - self._tick_at_s) / self._tick_s) + 1, 1) * self._tick_s
            asyncio.get_running_loop().call_later(self._tick_at_s - now_s, self._tick)

    def _tick(self) -> None:
        now_s = self._now_s()
        if now_s < self._rest_until_s:
            asyncio.get_running_loop().call_later(self._rest_until_s - now_s, self._tick)
            return
        self._ticking = False
        waiting, self._waiting = self._waiting, []
        recounted, self._recounted = self._recounted, []
        returning, self._returning = self._returning, {}
        said, told = self.devices.take()
        for item in told:
            item.sent_s = now_s  # also where its counts have not moved: the next frame waits for the next tick
        self._send(waiting, now_s, recounted, said)
        for watcher in returning:
            stale = watcher.stale or ()
            self._set_stale(watcher, None)
            watcher.write(b"".join([item.frame_for(watcher) for item in stale]))

    def _send(
        self, items: Sequence[Item], now_s: float, recounted: Sequence[Item] = (), said: Sequence[Parcel] = ()
    ) -> None:
        """Send the counts of `items` to all who watch them, those of `recounted` to whom wants to know how many do;
        and after them what Devices.take() gave."""
        parcels: list[Parcel] = []
        for item in recounted:
            if not item.dirty and item.curious:
                parcels.append((item.curious_frame, item.audience.curious))
                for stale in item.audience.stale:
                    stale.add(item)
        for item in items:
            item.dirty = False
            item.sent_s = now_s
            plain, curious, stales = item.audience
            if plain:
                parcels.append((item.frame, plain))
            if curious:
                parcels.append((item.curious_frame, curious))
            for stale in stales:
                stale.add(item)
        frames = size_bytes = 0
        for frame, writes in (*parcels, *said):
            frames += len(writes)
            size_bytes += len(frame) * len(writes)
        if len(parcels) == 1:
            for write in parcels[0][1]:
                write(parcels[0][0])
        else:  # each write is a system call, and those are the cost of fan-out
            bundles: dict[Write, list[bytes]] = {}
            for frame, writes in parcels:
                for write in writes:
                    bundles.setdefault(write, []).append(frame)
            for write, bundle in bundles.items():
                write(b"".join(bundle))
        for frame, writes in said:  # apart: they are few, and bundling costs all who watch
            for write in writes:
                write(frame)
        if frames:
            self._metrics.fanout_frames.inc(frames)
            self._metrics.fanout_bytes.inc(size_bytes)
            self._rest_after(now_s)

    def _rest_after(self, began_s: float) -> None:
        """After a fan-out that took more than half a tick, rest as long: it never has more than half of the time.

        But for no longer than MOST_REST_S: a process that stood still in the middle of it is silent long enough.
        """
        now_s = self._now_s()
        took_s = now_s - began_s
        self._metrics.fanout_seconds.observe(took_s)
        if took_s > self._tick_s / 2:
            self._rest_until_s = now_s + min(took_s, MOST_REST_S)
