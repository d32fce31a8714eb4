"""More reactions than can be made durable: who brings them waits, nobody else is held up, each is answered once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from hubs import OwnHub, eventually
from lanes import Start
from raw import CLOSE, PING, PONG, TEXT, Raw, frame, opened, text
from talk import talking

GROWTH_BYTES = 30_000_000
MANY = 6_000  # reactions of one connection


@contextmanager
def stuck(hub: OwnHub) -> Iterator[None]:
    """While another program holds the store locked, so that each batch is refused after some seconds."""
    with contextlib.closing(sqlite3.connect(hub.directory / "hub.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@asynccontextmanager
async def reactors(hub: OwnHub, number: int) -> AsyncIterator[list[Raw]]:
    """Connections of as many actors."""
    async with AsyncExitStack() as stack:
        raws = [await stack.enter_async_context(opened(hub)) for _ in range(number)]
        for n, raw in enumerate(raws):
            await raw.send(text({"op": "auth", "ref": 0, "token": hub.token(f"u:{n}")}))
            while (await raw.frame()).opcode != TEXT:  # pings
                pass
        yield raws


def reactions(first: int, number: int) -> bytes:
    """As many likes and unlikes, with refs from `first` on."""
    return b"".join(
        text({"op": "react", "ref": ref, "item": f"o:{ref % 50}", "kind": "like", "value": ref % 2})
        for ref in range(first, first + number)
    )


class Reactor:
    """An actor's connection that sends MANY reactions, whatever is answered, and answers pings."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.sending = asyncio.create_task(raw.send(reactions(1, MANY)))
        self.told: Counter[tuple[int, str]] = Counter()

    async def hear(self) -> int:
        """Count the next answer, by its ref, or 0, and what it is. Returns a close frame's code, else 0."""
        got = await self.raw.frame()
        if got.opcode == CLOSE:
            return int.from_bytes(got.payload[:2], "big")
        if got.opcode == TEXT:
            message = json.loads(got.payload)
            self.told[message.get("ref", 0), message.get("code", message["ev"])] += 1
        elif got.opcode == PING and self.sending.done():  # else it is heard of all the same
            await self.raw.send(frame(PONG))
        return 0

    async def hear_all(self) -> Counter[tuple[int, str]]:
        """What was answered when all should be."""
        while self.told.total() < MANY:
            await self.hear()
        await self.sending
        return self.told

    async def hear_end(self) -> Counter[tuple[int, str]]:
        """What was answered until the hub closed because it restarts."""
        while not (code := await self.hear()):
            pass
        assert code == 1012
        self.sending.cancel()
        return self.told


def once(told: Counter[tuple[int, str]], number: int) -> None:
    """Each of so many reactions was answered once."""
    assert set(told.values()) == {1}
    assert sorted(ref for ref, _ in told) == list(range(1, number + 1))
    assert {what for _, what in told} <= {"ack", "unavailable"}


async def test_a_flood_of_reactions_is_acknowledged_to_the_last_while_others_are_served(start: Start) -> None:
    with start(reactions_per_second=0) as hub:
        async with reactors(hub, 4) as raws, talking(hub.live, hub.token("u:other")) as other:
            before = hub.rss_bytes()
            floods = [Reactor(raw) for raw in raws]
            hearing = asyncio.gather(*(flood.hear_all() for flood in floods))
            while not hearing.done():
                await other.react("o:other")
                await other.ok("ping")
                assert hub.rss_bytes() - before < GROWTH_BYTES
            for flood, told in zip(floods, await hearing, strict=True):
                once(told, MANY)
                assert {what for _, what in told} == {"ack"}
                await flood.raw.send(text({"op": "ping", "ref": 0}))
                while not told[0, "pong"]:
                    await flood.hear()
                assert told.total() == MANY + 1, "nothing was answered twice"


async def test_who_brings_too_much_to_a_stuck_store_is_not_read_from_nor_taken_for_dead(start: Start) -> None:
    with start(reactions_per_second=0, ping_s=1) as hub:
        async with reactors(hub, 3) as raws, talking(hub.live) as other:
            before = hub.rss_bytes()
            with stuck(hub):
                hearing = asyncio.gather(*(Reactor(raw).hear_all() for raw in raws))
                async with reactors(hub, 1) as (gone,):
                    await gone.send(reactions(1, 100))
                await eventually(lambda: hub.metric("reactions_total") >= 8_000)  # refused, after some rounds of pings
                await other.ok("ping")
                assert hub.rss_bytes() - before < GROWTH_BYTES
            for told in await hearing:
                once(told, MANY)
            await eventually(lambda: hub.metric("viewers") == 4)


async def test_who_is_held_when_the_hub_is_told_to_go_hears_the_end(start: Start) -> None:
    with start(reactions_per_second=0) as hub:
        async with reactors(hub, 3) as raws, talking(hub.live) as other:
            with stuck(hub):
                floods = [Reactor(raw) for raw in raws]
                await eventually(lambda: hub.metric("reactions_total") >= 4_000)
                hub.terminate()
            for told in await asyncio.gather(*(flood.hear_end() for flood in floods)):
                assert told.pop((0, "bye")) == 1
                once(told, told.total())
            assert await other.closed() == 1012
            assert await asyncio.to_thread(hub.wait) == 0, hub.log()
        assert hub.check().returncode == 0
