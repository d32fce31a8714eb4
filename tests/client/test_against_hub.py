"""The client against the hub itself, a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hubs import SECONDS, OwnHub, fast_lane, free_port, running
from tallycast_client import AuthRefused, Client, Counts, Refused, Unreachable, Updates, config, counts, visitor


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[OwnHub]:
    with running(tmp_path) as hub:
        yield hub


@contextmanager
def started_again(hub: OwnHub) -> Iterator[None]:
    """Another process with the hub's port and settings."""
    environ = {**os.environ, **{f"TALLYCAST_{name.upper()}": str(value) for name, value in hub.settings.items()}}
    process = subprocess.Popen(fast_lane(hub.port), cwd=hub.directory, env=environ, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait(SECONDS)


async def until(updates: Updates, wanted: Callable[[Counts], bool]) -> Counts:
    async with asyncio.timeout(SECONDS):
        async for found in updates:
            if wanted(found):
                return found
    raise AssertionError("the updates ended")


async def until_counts(updates: Updates, wanted: dict[str, int]) -> Counts:
    return await until(updates, lambda found: found.counts == wanted)


async def until_viewers(updates: Updates, wanted: int) -> Counts:
    return await until(updates, lambda found: found.viewers == wanted)


async def test_what_one_says_the_other_sees_and_http_tells_the_same(hub: OwnHub) -> None:
    me = await visitor(hub.http)
    async with Client(hub.http, token=me.token) as mine, Client(hub.live) as other:
        assert mine.actor == me.actor
        await other.subscribe("post:1")
        updates = other.updates()
        ack = await mine.react("post:1", "clap", 7)
        assert ack.mine == {"clap": 7}
        assert (await until_counts(updates, {"clap": 7})).v == ack.v
        await mine.event("post:1", "share", id="told-twice")
        await mine.event("post:1", "share", id="told-twice")
        newest = await until_counts(updates, {"clap": 7, "share": 1})
    assert await counts(hub.http, "post:1", "post:2") == [newest, Counts("post:2", 0, {})]
    (own,) = await counts(hub.http, "post:1", token=me.token)
    assert own.mine == {"clap": 7}


async def test_what_one_says_on_one_device_the_other_takes_as_its_own(hub: OwnHub) -> None:
    token = hub.token("u:1")
    async with Client(hub.http, token=token) as one, Client(hub.http, token=token) as two:
        await one.subscribe("post:1")
        await two.subscribe("post:1")
        updates = two.updates()
        for value in (7, 0):
            ack = await one.react("post:1", "clap", value)
            assert await until(updates, lambda found: found.mine == ack.mine) == ack  # noqa: B023


async def test_how_many_watch_is_told_to_who_asks_until_they_ask_no_more(hub: OwnHub) -> None:
    async with Client(hub.http) as mine:
        assert (await mine.subscribe("post:1", viewers=True))["post:1"].viewers == 1
        updates = mine.updates()
        async with Client(hub.http) as other:
            assert (await other.subscribe("post:1"))["post:1"].viewers is None
            assert await until_viewers(updates, 2) == Counts("post:1", 0, {}, None, 2)
            assert (await other.subscribe("post:1", viewers=True))["post:1"].viewers == 2
        await until_viewers(updates, 1)
        await mine.subscribe("post:1")
        assert (await until(updates, lambda found: found.viewers is None)).counts == {}


async def test_the_configuration_tells_the_rules(hub: OwnHub) -> None:
    kinds = (await config(hub.http))["kinds"]
    assert (kinds["clap"]["rule"], kinds["clap"]["max"], kinds["share"]["rule"]) == ("amount", 50, "event")


async def test_refusals_have_the_hubs_own_code(hub: OwnHub) -> None:
    with pytest.raises(AuthRefused) as refused:
        await Client(hub.http, token="wrong").open()
    assert refused.value.code == "bad_token"
    async with Client(hub.http, token=hub.token("u:1", items=["post:*"])) as mine:
        for item, kind, code in (("video:1", "like", "forbidden"), ("post:1", "wow", "unknown_kind")):
            with pytest.raises(Refused) as refused_:
                await mine.react(item, kind)
            assert refused_.value.code == code
    with pytest.raises(Refused) as refused__:
        await counts(hub.http, "no item")
    assert refused__.value.code == "bad_item"


async def test_more_reactions_than_the_hub_takes_at_once_are_all_counted_in_time(hub: OwnHub) -> None:
    async with Client(hub.http, token=hub.token("u:1")) as mine:
        await asyncio.gather(*(mine.react(f"post:{number}", "like") for number in range(60)))
    found = await counts(hub.http, *(f"post:{number}" for number in range(60)))
    assert [each.counts for each in found] == [{"like": 1}] * 60


async def test_it_lives_through_a_restart_and_loses_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as hub:
        async with Client(hub.http, token=hub.token("u:1"), base_s=0.05, timeout_s=2 * SECONDS) as mine:
            await mine.subscribe("post:1", viewers=True)
            await mine.react("post:1", "clap", 1)
            hub.terminate()
            reactions = [asyncio.create_task(mine.react("post:1", "clap", value)) for value in range(2, 20)]
            assert await asyncio.to_thread(hub.wait) == 0
            with started_again(hub):
                await asyncio.gather(*reactions)
                assert (await until_counts(mine.updates(), {"clap": 19})).mine == {"clap": 19}
                async with Client(hub.http) as other:
                    await other.subscribe("post:1")
                    await until_viewers(mine.updates(), 2)


async def test_a_hub_that_stands_still_is_left_and_found_again(hub: OwnHub) -> None:
    async with Client(hub.http, token=hub.token("u:1"), heartbeat_s=0.3, base_s=0.05, timeout_s=SECONDS) as mine:
        await mine.subscribe("post:1")
        hub.process.send_signal(signal.SIGSTOP)
        reacting = asyncio.create_task(mine.react("post:1", "like"))
        try:
            async with asyncio.timeout(SECONDS):
                while mine.link.name == "open":
                    await asyncio.sleep(0.05)
        finally:
            hub.process.send_signal(signal.SIGCONT)
        assert (await reacting).counts == {"like": 1}


async def test_without_a_hub_every_helper_says_so() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    for asking in (visitor(nowhere), config(nowhere), counts(nowhere, "post:1")):
        with pytest.raises(Unreachable, match="connection refused"):
            await asking
