"""A viewer that does not read: it holds up nobody, costs little, gets the newest when it reads again, or is closed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hubs import Hub, OwnHub, eventually
from lanes import Start
from raw import Raw, connected, opened, text
from talk import Talk, talking

ITEMS = tuple(f"slow:{n}:".ljust(200, "x") for n in range(15))
RECEIVE_BUFFER_BYTES = 4096
GROWTH_BYTES = 20_000_000


class Reactor:
    """Moves all items, again and again; `value` is what each stands at in the end."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.value = 0

    async def rounds(self, number: int) -> None:
        """Move every item `number` times, each round of changes in a tick of its own or nearly so."""
        for _ in range(number):
            self.value += 1
            for item in ITEMS:
                await self.talk.send({"op": "react", "item": item, "kind": "clap", "value": self.value})
            for _ in ITEMS:
                await self.talk.until(lambda frame: frame["ev"] == "ack")
            self.talk.frames.clear()
            await asyncio.sleep(0.01)  # the tick


@asynccontextmanager
async def reacting(hub: Hub) -> AsyncIterator[Reactor]:
    """A reactor for one block."""
    async with talking(hub.live, hub.token("u:reactor")) as talk:
        yield Reactor(talk)


async def watch(raw: Raw) -> None:
    """Subscribe to all items, whose ids are as long as they may be, and see the snapshot."""
    await raw.send(text({"op": "subscribe", "items": list(ITEMS)}))
    assert (await raw.message())["ev"] == "snapshot"


@asynccontextmanager
async def fast_ticking(start: Start, tmp_path: Path, **settings: object) -> AsyncIterator[OwnHub]:
    """A hub with short ticks, on which one actor may clap without end."""
    kinds = tmp_path / "kinds.toml"
    kinds.write_text('[clap]\nrule = "amount"\nmax = 1000000\n', "utf-8")
    with start(kinds=kinds, tick_ms=10, reactions_per_second=0, durability="normal", **settings) as hub:
        yield hub


async def shown(reader: Talk, value: int) -> None:
    """Wait until a viewer who reads is told of the newest value."""
    await reader.counts(ITEMS[-1], lambda counts: counts == {"clap": value})


async def newest(raw: Raw, value: int) -> int:
    """Read until every item stands at `value`; how many frames that took. No version may go back."""
    stand: dict[str, int] = {}
    versions: dict[str, int] = {}
    frames = 0
    while len(stand) < len(ITEMS) or min(stand.values()) < value:
        frame = await raw.message()
        assert frame["ev"] == "counts", frame
        assert frame["v"] > versions.get(frame["item"], 0)
        versions[frame["item"]] = frame["v"]
        stand[frame["item"]] = frame["counts"]["clap"]
        frames += 1
    return frames


async def test_others_are_served_and_the_stuck_one_is_closed_and_freed(start: Start, tmp_path: Path) -> None:
    async with fast_ticking(start, tmp_path, slow_viewer_s=3) as hub:
        async with (
            opened(hub, receive_buffer_bytes=RECEIVE_BUFFER_BYTES) as stuck,
            opened(hub, receive_buffer_bytes=RECEIVE_BUFFER_BYTES) as late,
            talking(hub.live) as reader,
            reacting(hub) as reactor,
        ):
            await watch(stuck)
            await watch(late)
            await reader.subscribe(*ITEMS)
            await reactor.rounds(20)
            before = hub.rss_bytes()
            while not await asyncio.to_thread(hub.metric, "slow_viewers_total"):
                await reactor.rounds(10)
                await shown(reader, reactor.value)
            assert hub.rss_bytes() - before < GROWTH_BYTES
            assert await late.close_code() == 4408
            await eventually(lambda: hub.metric("viewers") == 2)  # the reader and the reactor
            assert await stuck.close_code() in (1006, 4408)
            await reactor.rounds(1)
            last = await reader.counts(ITEMS[-1], lambda counts: counts == {"clap": reactor.value})
            versions = [f["v"] for f in reader.frames if f["ev"] == "counts" and f["item"] == last["item"]]
            assert versions == sorted(set(versions))


async def test_one_who_reads_again_in_time_gets_the_newest_and_not_the_history(start: Start, tmp_path: Path) -> None:
    async with fast_ticking(start, tmp_path, slow_viewer_s=0) as hub:
        async with opened(hub, receive_buffer_bytes=RECEIVE_BUFFER_BYTES) as raw, reacting(hub) as reactor:
            await watch(raw)
            sent = 0.0
            while True:  # until the hub writes nothing more to the one who does not read
                await reactor.rounds(40)
                now = await asyncio.to_thread(hub.metric, "fanout_bytes_total")
                if now == sent:
                    break
                sent = now
            assert sent
            before = hub.rss_bytes()
            await reactor.rounds(100)
            assert hub.rss_bytes() - before < GROWTH_BYTES
            frames = await newest(raw, reactor.value)
            assert frames < reactor.value * len(ITEMS) / 3
            assert frames * 300 < 1_500_000, "a queue of old numbers was kept"
            await reactor.rounds(1)
            assert await newest(raw, reactor.value) == len(ITEMS)


async def test_an_event_stream_that_nobody_reads_holds_up_nobody_and_is_freed(start: Start, tmp_path: Path) -> None:
    async with fast_ticking(start, tmp_path, slow_viewer_s=3) as hub:
        async with (
            connected(hub, receive_buffer_bytes=RECEIVE_BUFFER_BYTES) as stuck,
            talking(hub.live) as reader,
            reacting(hub) as reactor,
        ):
            query = "&".join(f"item={item}" for item in ITEMS)
            await stuck.send(f"GET /v1/events?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert (await stuck.answer()).status == 200
            await eventually(lambda: hub.metric("viewers") == 3)
            await reader.subscribe(*ITEMS)
            await reactor.rounds(20)
            before = hub.rss_bytes()
            while await asyncio.to_thread(hub.metric, "viewers") > 2:
                await reactor.rounds(10)
                await shown(reader, reactor.value)
            assert hub.rss_bytes() - before < GROWTH_BYTES


async def test_answers_that_nobody_reads_stop_the_reading_of_more_questions(start: Start, tmp_path: Path) -> None:
    """Snapshots are many times as long as what asks for them."""
    async with fast_ticking(start, tmp_path, slow_viewer_s=3) as hub:
        async with opened(hub, receive_buffer_bytes=RECEIVE_BUFFER_BYTES) as raw:
            before = hub.rss_bytes()
            question = text({"op": "subscribe", "items": list(ITEMS)})
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(20):
                    for _ in range(30_000):
                        await raw.send(question)
            assert hub.rss_bytes() - before < GROWTH_BYTES
            await eventually(lambda: hub.metric("viewers") == 0)
