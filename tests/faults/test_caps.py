"""Too many connections: in all, of one address, in one second. Each refusal says when to come back."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest

from hubs import Hub, eventually
from lanes import Start
from raw import connected, opened, text


async def refused(hub: Hub, **headers: str | None) -> float:
    """A handshake that is refused for being too many; the seconds that it is told to wait."""
    async with connected(hub) as raw:
        answer = await raw.shake(hub, **headers)
    assert answer.status in (429, 503), answer
    wait_s = float(answer.headers["retry-after"])
    assert wait_s >= 1
    return wait_s


async def let_in(hub: Hub) -> bool:
    """Whether a handshake goes well now."""
    async with connected(hub) as raw:
        return (await raw.shake(hub)).status == 101


@pytest.mark.parametrize("setting", ["max_connections", "connections_per_ip"])
async def test_beyond_the_cap_handshakes_are_refused_until_somebody_leaves(start: Start, setting: str) -> None:
    with start(**{setting: 5}) as hub:
        async with AsyncExitStack() as stack:
            for _ in range(4):
                await stack.enter_async_context(opened(hub))
            async with opened(hub):
                for _ in range(3):
                    await refused(hub)
            async with asyncio.timeout(10):
                while not await let_in(hub):
                    await asyncio.sleep(0.05)
            raw = await stack.enter_async_context(opened(hub))
            await refused(hub)
            await raw.send(text({"op": "ping", "ref": 1}))
            assert await raw.message() == {"ev": "pong", "ref": 1}
            assert hub.status("/healthz") == 200, "probes are let in nevertheless"
            assert hub.metric("handshakes_refused_total") >= 4


async def test_event_streams_count_as_connections(start: Start) -> None:
    with start(connections_per_ip=2) as hub:
        async with httpx.AsyncClient(base_url=hub.http, trust_env=False, verify=False) as web:
            async with opened(hub), web.stream("GET", "/v1/events?item=a") as answer:
                assert answer.status_code == 200
                await refused(hub)
                again = await web.get("/v1/events?item=a")
                assert again.status_code in (429, 503)
                assert int(again.headers["retry-after"]) >= 1
                assert again.json()["code"] in ("rate_limited", "unavailable")
        await eventually(lambda: hub.metric("viewers") == 0)


async def test_behind_a_trusted_proxy_each_address_has_its_own_cap(start: Start) -> None:
    with start(connections_per_ip=1, trusted_proxies="127.0.0.1") as hub:
        async with opened(hub, x_forwarded_for="192.0.2.1"):
            async with opened(hub, x_forwarded_for="192.0.2.2"):
                await refused(hub, x_forwarded_for="192.0.2.1")
                await refused(hub, x_forwarded_for="198.51.100.9, 192.0.2.2")  # only the proxy's own entry counts
            async with opened(hub, x_forwarded_for="2001:db8:1:2::1"):
                await refused(hub, x_forwarded_for="2001:db8:1:2:ffff::9")  # the same /64


async def test_without_a_trusted_proxy_a_forged_address_changes_nothing(start: Start) -> None:
    with start(connections_per_ip=1) as hub:
        async with opened(hub, x_forwarded_for="192.0.2.1"):
            await refused(hub, x_forwarded_for="192.0.2.2")


async def test_too_many_new_connections_in_a_second_are_refused_until_the_wait_is_over(start: Start) -> None:
    with start(connects_per_second=1) as hub:
        refusals = 0
        for _ in range(60):
            async with connected(hub) as raw:
                answer = await raw.shake(hub)
            if answer.status != 101:
                refusals += 1
                assert answer.status == 429
        assert refusals
        wait_s = await refused(hub)
        await asyncio.sleep(wait_s)
        assert await let_in(hub)


async def test_a_limit_of_0_is_no_limit(start: Start) -> None:
    settings = {"max_connections": 0, "connections_per_ip": 0, "connects_per_second": 0}
    with start(**settings) as hub:
        async with AsyncExitStack() as stack:
            for _ in range(200):
                await stack.enter_async_context(opened(hub))
