"""SIGTERM under load: what was taken is answered, everybody is told when to come back, and the hub goes in time."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from hubs import OwnHub, eventually
from lanes import Start
from raw import connected, opened, text
from talk import Talk, talking

EXIT_S = 10.0


class Load:
    """Actors who send events as fast as they are answered, until the hub says bye."""

    def __init__(self, hub: OwnHub) -> None:
        self.hub = hub
        self.acked: set[str] = set()
        self.said = 0
        self.byes: list[dict[str, Any]] = []
        self.codes: list[int] = []

    async def run(self, name: str) -> None:
        """One actor, sixteen events at a time."""
        async with talking(self.hub.live, self.hub.token(name)) as talk:
            ids: dict[int, str] = {}
            ref = 0
            try:
                while True:
                    for _ in range(16):
                        ref += 1
                        ids[ref] = f"{name}:event:{ref}"
                        await talk.send({"op": "react", "ref": ref, "item": "drain:1", "kind": "share", "id": ids[ref]})
                        self.said += 1
                    for _ in range(16):
                        self._heard(await talk.next(), ids)
            except ConnectionClosed:
                await self._rest(talk, ids)

    async def _rest(self, talk: Talk, ids: dict[int, str]) -> None:
        """What was sent before the end."""
        try:
            while True:
                self._heard(await talk.next(), ids)
        except ConnectionClosed as end:
            self.codes.append(end.rcvd.code if end.rcvd else 1006)

    def _heard(self, frame: dict[str, Any], ids: dict[int, str]) -> None:
        assert not self.byes or frame["ev"] == "bye" or "ref" in frame
        if frame["ev"] == "ack":
            self.acked.add(ids[frame["ref"]])
        elif frame["ev"] == "bye":
            self.byes.append(frame)
        else:
            assert frame["ev"] == "error", frame
            assert frame["code"] == "unavailable", frame


async def exits(hub: OwnHub) -> float:
    """Send SIGTERM and wait for a clean exit in time. Returns the seconds that it took."""
    begun = time.monotonic()
    hub.terminate()
    assert await asyncio.to_thread(hub.wait, EXIT_S + 5) == 0, hub.log()
    took = time.monotonic() - begun
    assert took < EXIT_S
    return took


async def test_what_was_taken_is_acknowledged_and_all_are_told_when_to_come_back(start: Start) -> None:
    with start(reactions_per_second=0) as hub:
        load = Load(hub)
        async with talking(hub.live) as reader:
            await reader.subscribe("drain:1")
            loading = [asyncio.create_task(load.run(f"u:{n}")) for n in range(8)]
            await eventually(lambda: len(load.acked) > 300)
            await exits(hub)
            assert await reader.closed() == 1012
            assert reader.frames[-1]["ev"] == "bye"
        await asyncio.gather(*loading)
    assert load.codes == [1012] * 8
    assert len(load.byes) == 8
    for bye in load.byes:
        assert list(bye) == ["ev", "reason", "retry_after"]
        assert bye["reason"] == "restart"
        assert 0 < bye["retry_after"] < 60
    assert len({bye["retry_after"] for bye in load.byes}) > 1, "all are told to come back at the same time"
    with start() as hub:
        async with talking(hub.live) as reader:
            counts = (await reader.subscribe("drain:1"))[0]["counts"]
    assert counts["share"] == len(load.acked), "something was counted without an ack, or the other way round"
    assert load.said >= len(load.acked)


async def test_a_hub_without_anybody_goes_at_once(start: Start) -> None:
    with start() as hub:
        assert await exits(hub) < 3


@pytest.mark.parametrize("readers", [1, 20])
async def test_stalled_readers_do_not_hold_it_up(start: Start, readers: int) -> None:
    items = [f"drain:{n}:".ljust(200, "x") for n in range(15)]
    with start(reactions_per_second=0, tick_ms=10) as hub:
        async with AsyncExitStack() as stack:
            for _ in range(readers):
                raw = await stack.enter_async_context(opened(hub, receive_buffer_bytes=4096))
                await raw.send(text({"op": "subscribe", "items": items}))
                for _ in range(100):
                    await raw.send(text({"op": "subscribe", "items": items}))
            async with talking(hub.live, hub.token("u:1")) as talk:
                await talk.react(items[0])
                await exits(hub)
                assert await talk.closed() == 1012


async def test_peers_that_answer_no_close_and_half_requests_do_not_hold_it_up(start: Start) -> None:
    with start() as hub:
        async with opened(hub) as mute, connected(hub) as half, connected(hub) as silent:
            await half.send(b"GET /v1/counts HTTP/1.1\r\nHost")
            await mute.send(text({"op": "ping"}))
            assert (await mute.message())["ev"] == "pong"
            await exits(hub)
            assert (await mute.message())["ev"] == "bye"
            assert await mute.close_code() == 1012
            assert await silent.close_code() == 1006


async def test_event_streams_end(start: Start) -> None:
    with start() as hub:
        async with httpx.AsyncClient(trust_env=False, verify=False) as web:
            async with web.stream("GET", f"{hub.http}/v1/events?item=a") as answer:
                lines = answer.aiter_lines()
                while not (await anext(lines)).startswith("data:"):
                    pass
                await exits(hub)
                async with asyncio.timeout(5):
                    try:
                        async for _ in lines:
                            pass
                    except httpx.TransportError:
                        pass


async def test_nobody_new_is_let_in_meanwhile(start: Start) -> None:
    with start() as hub:
        async with opened(hub) as raw, connected(hub) as early:
            await raw.send(text({"op": "ping"}))
            assert (await raw.message())["ev"] == "pong"
            hub.terminate()
            assert (await raw.message())["ev"] == "bye"  # it drains now, and waits for the answer to its close
            try:
                answer = await early.shake(hub)
                assert answer.status == 503, answer
                assert int(answer.headers["retry-after"]) >= 1
            except (EOFError, ConnectionError):
                pass
            with pytest.raises(OSError):
                async with connected(hub) as late:
                    await late.shake(hub)
                    raise ConnectionError
            assert await asyncio.to_thread(hub.wait, EXIT_S) == 0


async def test_a_second_signal_changes_nothing_for_the_worse(start: Start) -> None:
    with start() as hub:
        async with talking(hub.live, hub.token("u:1")) as talk:
            await talk.react("drain:2")
            hub.terminate()
            hub.terminate()
            assert await talk.closed() == 1012
            assert await asyncio.to_thread(hub.wait, EXIT_S) == 0
