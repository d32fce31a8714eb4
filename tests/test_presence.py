"""Who is told how many watch, and when, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tallycast import wire
from tallycast.hub import Hub
from tallycast.presence import BEAT_S
from tallycast.store.base import Snapshot
from test_hub import TICK_S, Recorder, Shelf, counts_frame, make, note
from virtual import run


def told_frame(item: str, v: int, counts: dict[str, int], viewers: int) -> bytes:
    return wire.counts(wire.with_viewers(wire.body(Snapshot(item, v, counts)), viewers))


def come(hub: Hub, *names: str, curious: bool = False) -> Recorder:
    watcher = Recorder()
    watcher.items = tuple(hub.item(name) for name in names)
    for item in watcher.items:
        hub.watch(watcher, item)
        hub.tell_viewers(watcher, item, wanted=curious)
    return watcher


@asynccontextmanager
async def sharing() -> AsyncIterator[tuple[Hub, Shelf]]:
    hub, shelf = make()
    beats = asyncio.create_task(hub.share_presence())
    await asyncio.sleep(0)
    try:
        yield hub, shelf
    finally:
        beats.cancel()


async def a_beat() -> None:
    await asyncio.sleep(BEAT_S + TICK_S)


def test_only_the_curious_are_told_how_many_watch_and_once_a_second() -> None:
    async def main() -> None:
        async with sharing() as (hub, _):
            curious = come(hub, "a", curious=True)
            others = [come(hub, "a") for _ in range(3)]
            await a_beat()
            assert curious.frames == [told_frame("a", 0, {}, 4)]
            for viewer in others:
                hub.leave(viewer)
                await asyncio.sleep(BEAT_S / 10)
            await a_beat()
            assert curious.frames[1:] == [told_frame("a", 0, {}, 1)], "three left within one second"
            await a_beat()
            assert len(curious.frames) == 2, "nothing has moved"
            assert all(viewer.frames == [] for viewer in others)

    run(main())


def test_new_counts_carry_the_number_that_was_told_last() -> None:
    async def main() -> None:
        async with sharing() as (hub, _):
            curious, plain = come(hub, "a", curious=True), come(hub, "a")
            await a_beat()
            come(hub, "a")
            note(hub, 1, "a")
            assert curious.frames[1:] == [told_frame("a", 1, {"like": 1}, 2)], "the third is told of at the next beat"
            assert plain.frames == [counts_frame("a", 1, {"like": 1})]
            await a_beat()
            assert curious.frames[2:] == [told_frame("a", 1, {"like": 1}, 3)]

    run(main())


def test_viewers_of_other_hubs_count_from_the_first_answer_on() -> None:
    async def main() -> None:
        async with sharing() as (hub, shelf):
            shelf.viewers_elsewhere = {"a": 40}
            curious = come(hub, "a", curious=True)
            await hub.read(["a"], None)
            assert [item.body_for(curious) for item in curious.items] == [b'"item":"a","v":0,"counts":{},"viewers":41']
            shelf.viewers_elsewhere = {"a": 41}
            await a_beat()
            assert curious.frames == [told_frame("a", 0, {}, 42)]

    run(main())


def test_a_hub_tells_of_all_that_moved_and_asks_only_for_what_somebody_wants_to_know() -> None:
    async def main() -> None:
        async with sharing() as (hub, shelf):
            one, two = come(hub, "a", "b"), come(hub, "a")
            await a_beat()
            hub.leave(one)
            curious = come(hub, "c", curious=True)
            await a_beat()
            hub.leave(two)
            hub.tell_viewers(curious, curious.items[0], wanted=False)
            await a_beat()
            told = [here for here in shelf.viewers_told if here]
            assert told == [{"a": 2, "b": 1}, {"a": 1, "b": 0, "c": 1}, {"a": 0}]
            assert len(shelf.viewers_told) > len(told), "it is heard of also when nothing moves"
            assert {frozenset(asked) for asked in shelf.viewers_asked} == {frozenset({"c"})}

    run(main())


def test_while_the_store_is_away_the_others_stay_counted_and_those_here_move() -> None:
    async def main() -> None:
        async with sharing() as (hub, shelf):
            shelf.viewers_elsewhere = {"a": 5}
            curious = come(hub, "a", curious=True)
            await a_beat()
            shelf.broken = True
            come(hub, "a")
            await a_beat()
            assert curious.frames == [told_frame("a", 0, {}, 6), told_frame("a", 0, {}, 7)]

    run(main())


def test_a_curious_one_who_does_not_read_gets_the_newest_number_once_it_reads_again() -> None:
    async def main() -> None:
        async with sharing() as (hub, _):
            sleeper = come(hub, "a", "b", curious=True)
            await a_beat()
            sleeper.frames.clear()
            hub.pause(sleeper)
            for _ in range(3):
                come(hub, "a")
                await a_beat()
            assert sleeper.frames == []
            hub.resume(sleeper)
            await asyncio.sleep(2 * TICK_S)
            assert sleeper.frames == [told_frame("a", 0, {}, 4)]

    run(main())


def test_what_moves_in_one_tick_goes_to_a_curious_one_in_one_piece() -> None:
    async def main() -> None:
        async with sharing() as (hub, _):
            curious = come(hub, "a", "b", curious=True)
            await a_beat()
            assert [frame.count(b'"ev":"counts"') for frame in curious.frames] == [2]

    run(main())


def test_who_leaves_is_told_nothing_and_leaves_nobody_curious() -> None:
    async def main() -> None:
        async with sharing() as (hub, shelf):
            curious = come(hub, "a", curious=True)
            await a_beat()
            curious.frames.clear()
            hub.leave(curious)
            asked = len(shelf.viewers_asked)
            plain = come(hub, "a")
            note(hub, 1, "a")
            await a_beat()
            assert curious.frames == []
            assert plain.frames == [counts_frame("a", 1, {"like": 1})]
            assert len(shelf.viewers_asked) == asked

    run(main())
