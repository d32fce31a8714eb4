"""Floods of frames that cost their sender next to nothing: the hub's memory stays bounded and it goes on serving."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from hubs import OwnHub, defaults, eventually, running
from raw import CONTINUATION, PING, PONG, TEXT, Raw, frame, opened, text
from talk import talking

GROWTH_BYTES = 20_000_000
FLOOD_BYTES = 8_000_000
FLOOD_S = 6.0


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHub]:
    """A hub that is not patient with those who do not read."""
    with running(tmp_path_factory.mktemp("floods"), **defaults(slow_viewer_s=2)) as hub:
        yield hub


async def flood(raw: Raw, data: bytes) -> bool:
    """Send `data` over and over without reading; whether the hub ended that by closing the connection."""
    try:
        async with asyncio.timeout(FLOOD_S):
            for _ in range(FLOOD_BYTES // len(data)):
                await raw.send(data)
    except OSError as error:
        return not isinstance(error, TimeoutError)
    return False


async def serving(hub: OwnHub) -> None:
    """Somebody else is served as ever."""
    async with talking(hub.live, hub.token("u:1")) as talk:
        await talk.react("flood:1")
        await talk.ok("ping")


FLOODS = {
    "pings whose pongs nobody reads": frame(PING, b"x" * 125) * 500,
    "empty pings": frame(PING) * 5000,
    "questions whose answers nobody reads": text({"op": "ping"}) * 1000,
    "pongs": frame(PONG, b"x" * 125) * 500,
    "empty texts": frame(TEXT) * 5000,
}


@pytest.mark.parametrize("data", FLOODS.values(), ids=FLOODS)
async def test_a_flood_costs_no_memory_and_stops_nobody_else(hub: OwnHub, data: bytes) -> None:
    before = hub.rss_bytes()
    async with opened(hub, receive_buffer_bytes=4096) as raw:
        flooding = asyncio.create_task(flood(raw, data))
        while not flooding.done():
            await serving(hub)
            assert hub.rss_bytes() - before < GROWTH_BYTES
            await asyncio.sleep(0.2)
        await flooding
        await serving(hub)
    await eventually(lambda: hub.metric("viewers") == 0)
    assert hub.rss_bytes() - before < GROWTH_BYTES


FRAGMENTS = {
    "empty": (frame(TEXT, fin=False), frame(CONTINUATION, fin=False) * 5000),
    "of one byte": (frame(TEXT, b"x", fin=False), frame(CONTINUATION, b"x", fin=False) * 5000),
    "empty with pings between": (frame(TEXT, fin=False), (frame(CONTINUATION, fin=False) + frame(PONG)) * 2500),
}


@pytest.mark.parametrize(("first", "more"), FRAGMENTS.values(), ids=FRAGMENTS)
async def test_a_message_of_fragments_without_end_is_closed(hub: OwnHub, first: bytes, more: bytes) -> None:
    before = hub.rss_bytes()
    async with opened(hub) as raw:
        with contextlib.suppress(OSError):
            await raw.send(first)
            await raw.send(more)
        assert await raw.close_code() in (1008, 1009)
    await serving(hub)
    assert hub.rss_bytes() - before < GROWTH_BYTES


async def test_a_message_that_is_never_finished_costs_no_more_than_its_limit(hub: OwnHub) -> None:
    before = hub.rss_bytes()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(100):
            raw = await stack.enter_async_context(opened(hub))
            await raw.send(frame(TEXT, b"x" * 4000, fin=False) + frame(TEXT, b"x" * 4000)[:3000])
        await serving(hub)
        assert hub.rss_bytes() - before < GROWTH_BYTES


async def test_a_flood_of_handshakes_that_end_at_once_leaves_nothing_behind(hub: OwnHub) -> None:
    for _ in range(3):
        await asyncio.gather(*(touch(hub) for _ in range(100)))
    await serving(hub)
    await eventually(lambda: hub.metric("viewers") == 0)


async def touch(hub: OwnHub) -> None:
    """Open a connection and leave it without a word."""
    async with opened(hub) as raw:
        await raw.send(text({"op": "subscribe", "items": ["flood:1"]}))
