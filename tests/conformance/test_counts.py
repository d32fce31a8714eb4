"""counts: when a viewer is told, how often, and what it ends at."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hubs import Hub, OwnHub
from lanes import Start
from talk import Talk, talking

TICK_S = 2.0


@pytest.fixture(scope="module")
def slow(start: Start) -> Iterator[OwnHub]:
    """A hub whose tick is long enough to be told from delays of the machine."""
    with start(tick_ms=int(TICK_S * 1000), reactions_per_second=0) as hub:
        yield hub


def check_versions(talk: Talk) -> None:
    """Never an older version of an item's counts after a newer."""
    newest: dict[str, int] = {}
    for frame in talk.frames:
        for entry in frame["items"] if frame["ev"] == "snapshot" else [frame] if "v" in frame else []:
            assert entry["v"] >= newest.get(entry["item"], 0), talk.frames
            newest[entry["item"]] = entry["v"]


async def test_a_counts_frame_has_the_shape_that_the_protocol_shows(reader: Talk, user: Talk, item: str) -> None:
    await reader.subscribe(item)
    ack = await user.react(item)
    counts = await reader.next()
    assert counts == {"ev": "counts", "item": item, "v": ack["v"], "counts": {"like": 1}}


async def test_the_first_change_comes_at_once_and_what_follows_at_a_tick_with_the_newest(
    slow: OwnHub, item: str
) -> None:
    """Ticks may be the same moments for all items, so that the first of them can follow a leading edge closely."""
    async with talking(slow.live) as reader, talking(slow.live, slow.token("u:1")) as user:
        await reader.subscribe(item)
        begun = time.monotonic()
        await user.react(item, "clap", 1)
        assert (await reader.next())["counts"] == {"clap": 1}
        assert time.monotonic() - begun < TICK_S / 2, "the leading edge waited for a tick"
        for value in range(2, 11):
            ack = await user.react(item, "clap", value)
            assert ack["counts"] == {"clap": value}
        assert time.monotonic() - begun < TICK_S / 2, "acknowledgements waited for a tick"
        last = await reader.counts(item, lambda counts: counts == {"clap": 10})
        assert last["v"] == ack["v"]
        assert len([frame for frame in reader.frames if frame["ev"] == "counts"]) <= 3


async def test_a_reactor_who_watches_gets_the_ack_before_the_tick(slow: OwnHub, item: str) -> None:
    async with talking(slow.live, slow.token("u:2")) as user:
        await user.subscribe(item)
        begun = time.monotonic()
        for value in (1, 0, 1, 0, 1):
            ack = await user.react(item, "love", value)
        assert time.monotonic() - begun < TICK_S / 2
        assert [frame["ev"] for frame in user.frames].count("counts") <= 2
        # what it holds when all is quiet is the newest, whether a frame told it or the ack did
        if not any(frame["ev"] == "counts" and frame["v"] == ack["v"] for frame in user.frames):
            frame = await user.counts(item, lambda counts: counts == {"love": 1})
            assert frame["v"] == ack["v"]
        check_versions(user)


async def test_ticks_of_items_are_apart(slow: OwnHub, item: str) -> None:
    one, two = f"{item}:1", f"{item}:2"
    async with talking(slow.live) as reader, talking(slow.live, slow.token("u:3")) as user:
        await reader.subscribe(one, two)
        begun = time.monotonic()
        await user.react(one)
        await reader.counts(one, bool)
        await user.react(two)
        await reader.counts(two, bool)
        assert time.monotonic() - begun < TICK_S / 2, "an item that was quiet waited for another's tick"


async def test_one_who_subscribes_in_mid_tick_gets_the_newest_and_nothing_older(slow: OwnHub, item: str) -> None:
    async with talking(slow.live) as first, talking(slow.live, slow.token("u:4")) as user:
        await first.subscribe(item)
        await user.react(item, "clap", 1)
        await user.react(item, "clap", 2)
        async with talking(slow.live) as late:
            ack = await user.react(item, "clap", 3)
            assert (await late.subscribe(item))[0]["counts"] == {"clap": 3}
            await first.counts(item, lambda counts: counts == {"clap": 3})
            assert all(frame["v"] == ack["v"] for frame in await late.came_meanwhile())


async def test_under_load_viewers_get_at_most_one_frame_an_item_a_tick_and_end_at_the_newest(
    hub: Hub, reader: Talk, item: str
) -> None:
    """Several actors react as fast as they may; the ticks of 50 ms are counted, not timed."""
    await reader.subscribe(item)
    begun = time.monotonic()
    for n in range(4):
        async with talking(hub.live, hub.token(f"{item}:{n}")) as user:
            for value in range(1, 31):
                await user.send({"op": "react", "ref": value, "item": item, "kind": "clap", "value": value})
            for _ in range(30):
                ack = await user.until(lambda frame: frame["ev"] == "ack")
    last = await reader.counts(item, lambda counts: counts == {"clap": 120})
    elapsed = time.monotonic() - begun
    assert last["v"] == ack["v"]
    frames = [frame for frame in reader.frames if frame["ev"] == "counts"]
    assert len(frames) <= elapsed / 0.05 + 2  # the ticks in that time, and the leading edge
    check_versions(reader)
    assert await reader.came_meanwhile() == []


async def test_every_viewer_of_an_item_is_told(hub: Hub, user: Talk, item: str) -> None:
    async with talking(hub.live) as one, talking(hub.live) as two, talking(hub.live) as three:
        for viewer in (one, two, three):
            await viewer.subscribe(item)
        ack = await user.react(item)
        for viewer in (one, two, three):
            assert (await viewer.counts(item, bool))["v"] == ack["v"]


async def test_viewers_are_told_only_of_what_they_watch(reader: Talk, user: Talk, item: str) -> None:
    await reader.subscribe(item)
    await user.react(f"{item}:other")
    await user.react(item)
    await reader.counts(item, bool)
    assert {frame["item"] for frame in reader.frames if frame["ev"] == "counts"} == {item}


async def test_a_reaction_that_changes_nothing_sends_nothing(reader: Talk, user: Talk, item: str) -> None:
    await user.react(item)
    await reader.subscribe(item)
    for _ in range(3):
        await user.react(item)
    await user.react(item, "love")
    await reader.counts(item, lambda counts: counts == {"like": 1, "love": 1})
    assert [frame["counts"] for frame in reader.frames if frame["ev"] == "counts"] == [{"like": 1, "love": 1}]


async def test_an_event_sent_twice_moves_the_count_that_viewers_see_once(reader: Talk, user: Talk, item: str) -> None:
    await reader.subscribe(item)
    for _ in range(3):
        await user.ok("react", item=item, kind="share", id="one-event")
    await user.ok("react", item=item, kind="share", id="two-event")
    await reader.counts(item, lambda counts: counts == {"share": 2})
    assert [frame["counts"]["share"] for frame in reader.frames if frame["ev"] == "counts"] == [1, 2]
