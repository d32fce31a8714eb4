"""The hub in virtual time: who gets which frame when."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Mapping, Sequence

import pytest

from tallycast import wire
from tallycast.errors import Unavailable
from tallycast.frames import payloads
from tallycast.hub import LINGER_S, Hub
from tallycast.items import Item
from tallycast.kinds import Reaction
from tallycast.metrics import Metrics
from tallycast.store.base import Applied, Attendant, Reading, Snapshot
from virtual import VirtualLoop, run

TICK_S = 0.05


class Shelf:
    """A store to read from, which answers when it is told to."""

    def __init__(self) -> None:
        self.snapshots: dict[str, Snapshot] = {}
        self.asked: list[tuple[set[str], set[tuple[str, str]]]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.broken = False
        self.followed: dict[str, Callable[[Snapshot], None]] = {}
        self.mine: dict[tuple[str, str], dict[str, int]] = {}  # by item and actor; a like where nothing else is set
        self.attended: dict[str, Attendant] = {}
        self.announced: list[tuple[str, str]] = []
        self.viewers_told: list[dict[str, int]] = []
        self.viewers_asked: list[set[str]] = []
        self.viewers_elsewhere: dict[str, int] = {}

    async def read(self, items: Collection[str], pairs: Collection[tuple[str, str]]) -> Reading:
        self.asked.append((set(items), set(pairs)))
        await self.open.wait()
        if self.broken:
            raise Unavailable("no disk")
        return Reading(
            {item: self.snapshots.get(item, Snapshot(item, 0, {})) for item in items},
            {pair: self.mine.get(pair, {"like": 1}) for pair in pairs},
        )

    async def apply(self, batch: Sequence[Reaction]) -> Applied:
        raise NotImplementedError

    def follow(self, items: Collection[str], heard: Callable[[Snapshot], None]) -> None:
        self.followed |= dict.fromkeys(items, heard)

    def unfollow(self, items: Collection[str]) -> None:
        for item in items:
            del self.followed[item]

    def attend(self, actor: str, attendant: Attendant) -> None:
        assert actor not in self.attended
        self.attended[actor] = attendant

    def unattend(self, actor: str) -> None:
        del self.attended[actor]

    def announce(self, actor: str, item: str) -> None:
        self.announced.append((actor, item))

    async def tell_viewers(self, here: Mapping[str, int]) -> None:
        self.viewers_told.append(dict(here))
        if self.broken:
            raise Unavailable("no disk")

    async def count_viewers(self, items: Collection[str]) -> dict[str, int]:
        self.viewers_asked.append(set(items))
        if self.broken:
            raise Unavailable("no disk")
        return self.viewers_elsewhere

    async def ping(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class Recorder:
    """A watcher that remembers what it was sent and when, and can stop reading."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.times_s: list[float] = []
        self.items: tuple[Item, ...] = ()
        self.stale: set[Item] | None = None
        self.on_write: Callable[[], None] = lambda: None

    def write(self, frame: bytes) -> None:
        self.frames.append(frame)
        self.times_s.append(asyncio.get_running_loop().time())
        self.on_write()


def counts_frame(item: str, v: int, counts: dict[str, int]) -> bytes:
    return wire.counts(wire.body(Snapshot(item, v, counts)))


def make() -> tuple[Hub, Shelf]:
    shelf = Shelf()
    return Hub(shelf, Metrics(), tick_s=TICK_S, clock=asyncio.get_running_loop().time), shelf


def watch(hub: Hub, watcher: Recorder, *names: str) -> None:
    watcher.items = tuple(hub.item(name) for name in names)
    for item in watcher.items:
        hub.watch(watcher, item)


def note(hub: Hub, v: int, item: str = "post:42") -> None:
    hub.note(Snapshot(item, v, {"like": v}))
    hub.flush()


def test_a_tick_carries_only_the_newest_counts() -> None:
    async def main() -> None:
        hub, _ = make()
        viewer = Recorder()
        watch(hub, viewer, "post:42")
        for version in (1, 3, 2):  # 2 comes late, after another node's 3
            hub.note(Snapshot("post:42", version, {"like": version}))
        hub.flush()
        assert viewer.frames == [counts_frame("post:42", 3, {"like": 3})]

    run(main())


def test_a_quiet_item_is_sent_at_once_and_a_busy_one_once_a_tick() -> None:
    async def main() -> None:
        hub, _ = make()
        viewer = Recorder()
        watch(hub, viewer, "post:42")
        began_s = asyncio.get_running_loop().time()
        for version in range(1, 101):  # one a ms, for two ticks
            note(hub, version)
            await asyncio.sleep(0.001)
        await asyncio.sleep(1)
        assert viewer.times_s[0] == began_s, "the first one waits for nothing"
        assert viewer.frames[-1] == counts_frame("post:42", 100, {"like": 100}), "the newest is always sent"
        ticks = [math.floor(at_s / TICK_S + 1e-6) for at_s in viewer.times_s]
        assert len(ticks) == len(set(ticks)) <= 4, "at most one frame a tick"
        note(hub, 101)
        assert len(viewer.frames) == len(ticks) + 1, "quiet again, at once again"

    run(main())


def test_one_busy_item_does_not_make_a_quiet_one_wait() -> None:
    async def main() -> None:
        hub, _ = make()
        busy, quiet = Recorder(), Recorder()
        watch(hub, busy, "busy")
        watch(hub, quiet, "quiet")
        note(hub, 1, "busy")
        note(hub, 2, "busy")
        await asyncio.sleep(0.002)
        note(hub, 1, "quiet")
        assert len(busy.frames) == 1
        assert len(quiet.frames) == 1

    run(main())


def test_who_does_not_read_gets_the_newest_counts_of_each_stale_item_once_it_reads_again() -> None:
    async def main() -> None:
        hub, _ = make()
        reader, sleeper = Recorder(), Recorder()
        watch(hub, reader, "a", "b", "c")
        watch(hub, sleeper, "a", "b", "c")
        hub.pause(sleeper)
        for version in range(1, 4):
            note(hub, version, "a")
            note(hub, version, "b")
            await asyncio.sleep(1)
        assert sleeper.frames == []
        assert sleeper.stale == {hub.item("a"), hub.item("b")}, "a set, not a queue"
        assert len(reader.frames) == 6
        hub.resume(sleeper)
        await asyncio.sleep(TICK_S)
        assert sorted(payloads(sleeper.frames[0])) == [
            b'{"ev":"counts","item":"a","v":3,"counts":{"like":3}}',
            b'{"ev":"counts","item":"b","v":3,"counts":{"like":3}}',
        ]
        note(hub, 4, "a")
        await asyncio.sleep(TICK_S)
        assert sleeper.frames[-1] == counts_frame("a", 4, {"like": 4})

    run(main())


def test_one_who_stalls_again_while_catching_up_loses_nothing() -> None:
    async def main() -> None:
        hub, _ = make()
        sleeper = Recorder()
        watch(hub, sleeper, "a", "b")
        sleeper.on_write = lambda: hub.pause(sleeper)
        hub.pause(sleeper)
        for version in (1, 2, 3):
            note(hub, 100 * version, "a")
            note(hub, 100 * version, "b")
            hub.resume(sleeper)
            await asyncio.sleep(2 * TICK_S)
            assert len(sleeper.frames) == version
            note(hub, 100 * version + 1, "a")  # while it stalls again
            assert sleeper.stale == {hub.item("a")}
        hub.resume(sleeper)
        await asyncio.sleep(2 * TICK_S)
        assert sleeper.frames[-1] == counts_frame("a", 301, {"like": 301})

    run(main())


def test_a_viewer_of_many_items_is_written_to_once_a_tick() -> None:
    async def main() -> None:
        hub, _ = make()
        viewer, other = Recorder(), Recorder()
        watch(hub, viewer, *(f"post:{number}" for number in range(10)))
        watch(hub, other, "post:3")
        for version in (1, 2):
            for number in range(10):
                hub.note(Snapshot(f"post:{number}", version, {"like": version}))
            hub.flush()
        await asyncio.sleep(1)
        assert [len(list(payloads(data))) for data in viewer.frames] == [10, 10]
        assert other.frames == [counts_frame("post:3", 1, {"like": 1}), counts_frame("post:3", 2, {"like": 2})]

    run(main())


def test_who_left_is_not_written_to() -> None:
    async def main() -> None:
        hub, _ = make()
        stays, leaves = Recorder(), Recorder()
        watch(hub, stays, "a")
        watch(hub, leaves, "a")
        hub.pause(leaves)
        note(hub, 1, "a")
        hub.resume(leaves)
        hub.leave(leaves)
        note(hub, 2, "a")
        await asyncio.sleep(1)
        assert leaves.frames == []
        assert len(stays.frames) == 2

    run(main())


def test_fan_out_never_has_more_than_half_of_the_time() -> None:
    async def main() -> None:
        hub, _ = make()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        viewer = Recorder()
        viewer.on_write = lambda: loop.spend(0.2)  # an audience that takes four ticks to write to
        watch(hub, viewer, "hot")
        began_s = loop.time()
        version = 0
        while loop.time() < began_s + 10:
            version += 1
            note(hub, version, "hot")
            await asyncio.sleep(0.001)
        spent_s = 0.2 * len(viewer.frames)
        assert 3 <= spent_s <= 5.2
        await asyncio.sleep(1)
        assert viewer.frames[-1] == counts_frame("hot", version, {"like": version})

    run(main())


def test_a_hub_that_stood_still_in_the_middle_of_a_fan_out_goes_on_soon() -> None:
    async def main() -> None:
        hub, _ = make()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        viewer = Recorder()
        watch(hub, viewer, "hot")
        viewer.on_write = lambda: loop.spend(3600)
        note(hub, 1, "hot")
        viewer.on_write = lambda: None
        note(hub, 2, "hot")
        await asyncio.sleep(0.6)
        assert viewer.frames[-1] == counts_frame("hot", 2, {"like": 2})

    run(main())


def test_readers_that_ask_meanwhile_share_the_next_read() -> None:
    async def main() -> None:
        hub, shelf = make()
        shelf.open.clear()
        shelf.snapshots["a"] = Snapshot("a", 7, {"like": 7})
        first = asyncio.create_task(hub.read(["a"], None))
        await asyncio.sleep(0)
        later = [asyncio.create_task(hub.read(["a", "b"], f"u:{n}")) for n in range(10)]
        await asyncio.sleep(0)
        shelf.open.set()
        assert (await first)[0].snapshot.counts == {"like": 7}
        for views in await asyncio.gather(*later):
            assert [view.snapshot.v for view in views] == [7, 0]
            assert [view.mine for view in views] == [{"like": 1}, {"like": 1}]
        assert len(shelf.asked) == 2
        watch(hub, Recorder(), "a", "b")
        await hub.read(["a", "b"], None)
        assert len(shelf.asked) == 3
        assert (await hub.read(["a", "b"], None))[1].mine is None
        assert len(shelf.asked) == 3, "what is in memory needs no store"

    run(main())


def test_a_store_that_cannot_answer_is_said_to_everybody_who_asked() -> None:
    async def main() -> None:
        hub, shelf = make()
        shelf.broken = True
        answers = await asyncio.gather(hub.read(["a"], None), hub.read(["b"], "u:1"), return_exceptions=True)
        assert all(isinstance(answer, Unavailable) for answer in answers)
        shelf.broken = False
        assert (await hub.read(["a"], None))[0].snapshot.v == 0

    run(main())


def test_what_was_read_late_does_not_undo_what_was_pushed_meanwhile() -> None:
    async def main() -> None:
        hub, shelf = make()
        viewer = Recorder()
        shelf.snapshots["a"] = Snapshot("a", 5, {"like": 5})
        shelf.open.clear()
        watch(hub, viewer, "a")
        reading = asyncio.create_task(hub.read(["a"], None))
        await asyncio.sleep(0)
        note(hub, 9, "a")
        shelf.open.set()
        await reading
        await asyncio.sleep(1)
        assert viewer.frames == [counts_frame("a", 9, {"like": 9})]
        assert hub.item("a").snapshot.v == 9

    run(main())


def test_items_stay_in_memory_and_are_followed_while_watched_and_a_little_longer() -> None:
    async def main() -> None:
        hub, shelf = make()
        viewer = Recorder()
        watch(hub, viewer, "watched", "left at once")
        hub.unwatch(viewer, viewer.items[1])
        await hub.read(["only asked for"], None)
        await asyncio.sleep(LINGER_S - 1)
        hub.forget_idle()
        assert list(shelf.followed) == ["watched", "left at once"], "somebody may come back"
        await asyncio.sleep(2)
        hub.forget_idle()
        assert list(shelf.followed) == ["watched"]
        hub.unwatch(viewer, viewer.items[0])
        hub.forget_idle()
        assert len(hub) == 1
        await asyncio.sleep(LINGER_S + 1)
        hub.forget_idle()
        assert len(hub) == 0
        assert shelf.followed == {}

    run(main())


def test_what_is_heard_from_the_store_is_pushed_unless_it_is_old() -> None:
    async def main() -> None:
        hub, shelf = make()
        viewer = Recorder()
        watch(hub, viewer, "a")
        heard = shelf.followed["a"]
        heard(Snapshot("a", 5, {"like": 5}))  # how it stands: the subscription's answer says it
        assert viewer.frames == []
        heard(Snapshot("a", 7, {"like": 7}))
        heard(Snapshot("a", 6, {"like": 6}))
        await asyncio.sleep(1)
        assert viewer.frames == [counts_frame("a", 7, {"like": 7})]

    run(main())


def test_watching_twice_is_watching_once() -> None:
    async def main() -> None:
        hub, _ = make()
        viewer = Recorder()
        item = hub.item("a")
        assert [hub.watch(viewer, item), hub.watch(viewer, item)] == [True, False]
        note(hub, 1, "a")
        assert len(viewer.frames) == 1
        hub.unwatch(viewer, item)
        hub.unwatch(viewer, item)

    run(main())


@pytest.mark.parametrize("changes", [1, 2, 50])
def test_changes_that_share_a_frame_are_counted_as_conflated(changes: int) -> None:
    async def main() -> bytes:
        hub, _ = make()
        watch(hub, Recorder(), "a")
        for version in range(1, changes + 1):
            hub.note(Snapshot("a", version, {"like": version}))
        hub.flush()
        return hub._metrics.render()

    assert f"tallycast_conflated_total {float(changes - 1)}".encode() in run(main())
