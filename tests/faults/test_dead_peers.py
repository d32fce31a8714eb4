"""Peers that are gone without a word, or as good as gone, are found and freed."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from hubs import eventually
from lanes import Start
from raw import CLOSE, PING, TEXT, Raw, close, frame, opened, text
from talk import talking

SLACK_S = 6.0  # for a machine with other things to do


async def ends(raw: Raw, within_s: float) -> float:
    """Read until the connection ends; how long that took."""
    begun = time.monotonic()
    async with asyncio.timeout(within_s + SLACK_S):
        while True:
            try:
                await raw.frame()
            except (EOFError, ConnectionError):
                return time.monotonic() - begun


async def test_a_peer_that_answers_no_ping_is_dropped_within_a_few_periods_and_one_that_does_stays(
    start: Start,
) -> None:
    with start(ping_s=1) as hub:
        async with talking(hub.live) as living, opened(hub) as dead, opened(hub) as silent:
            await living.subscribe("post:1")
            await dead.send(text({"op": "subscribe", "items": ["post:1"]}))
            await eventually(lambda: hub.metric("viewers") == 3)
            await ends(dead, within_s=4)
            await eventually(lambda: hub.metric("viewers") == 1, within_s=4 + SLACK_S)
            await ends(silent, within_s=0)
            assert await living.came_meanwhile() == []


async def test_pings_come_every_period_and_any_word_is_a_sign_of_life(start: Start) -> None:
    with start(ping_s=1) as hub:
        async with opened(hub) as raw:
            for _ in range(4):
                got = await raw.frame()
                while got.opcode != PING:
                    got = await raw.frame()
                await raw.send(text({"op": "ping"}))  # instead of a pong


async def test_a_peer_that_ends_its_half_of_the_connection_is_let_go(start: Start) -> None:
    with start() as hub:
        async with opened(hub) as raw:
            await eventually(lambda: hub.metric("viewers") == 1)
            raw.sock.shutdown(socket.SHUT_WR)
            await ends(raw, within_s=3)
            await eventually(lambda: hub.metric("viewers") == 0)


@pytest.mark.parametrize("said", [b"", frame(TEXT, b"still talking") * 3], ids=["silent", "talking on"])
async def test_a_peer_that_does_not_answer_a_close_frame_is_cut(start: Start, said: bytes) -> None:
    with start() as hub:
        async with opened(hub) as raw:
            await raw.send(frame(2, b"binary"))
            got = await raw.frame()
            assert (got.opcode, got.payload[:2]) == (CLOSE, (1003).to_bytes(2, "big"))
            if said:
                await raw.send(said)
            await ends(raw, within_s=4)
            await eventually(lambda: hub.metric("viewers") == 0)


async def test_a_peer_that_closes_and_stays_is_cut(start: Start) -> None:
    with start() as hub:
        async with opened(hub) as raw:
            await raw.send(close(1000))
            assert await raw.close_code() == 1000
            await eventually(lambda: hub.metric("viewers") == 0)
