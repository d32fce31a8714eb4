"""Two hubs on one Redis while it, the link or a hub fails under load.

The oracle, after each fault: all viewers of all hubs end at what Redis has, no viewer saw a version go back, every
acknowledged reaction is there, and when all of them are said again each counts once.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.exceptions import ConnectionClosed

from fault_proxy import FaultProxy, fault_proxy
from hubs import Hub, OwnHub, defaults, eventually, running
from redis_servers import RedisServer, single
from talk import Talk, talking

ITEMS = ("post:1", "post:2", "post:3")
SETTLED_S = 5.0  # after a fault's end: two for the probe, one for the back-off, the rest for a busy machine

Shares = dict[str, int]  # counted, by item


def stored(hub: Hub) -> Shares:
    """How many shares the store has. Asked with a token, a hub does not answer from its memory."""
    connection = http.client.HTTPConnection(hub.host, hub.port, timeout=5)
    try:
        query = urlencode([("item", item) for item in ITEMS])
        headers = {"Authorization": f"Bearer {hub.token('u:reader')}"}
        connection.request("GET", f"{hub.prefix}/v1/counts?{query}", headers=headers)
        answer = connection.getresponse()
        body = json.loads(answer.read())
    except http.client.HTTPException as error:
        raise ConnectionError(f"no HTTP answer: {error!r}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise ConnectionError(f"{answer.status}: {body}")
    return {entry["item"]: entry["counts"].get("share", 0) for entry in body["items"]}


class Viewer:
    """Watches all items on one hub. `shares` is what it was shown last; no version may go back."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.shares: Shares = {}
        self.versions = dict.fromkeys(ITEMS, -1)

    async def run(self, talk: Talk) -> None:
        for entry in await talk.subscribe(*ITEMS):
            self._shown(entry)
        with suppress(ConnectionClosed):
            while True:
                self._shown(await talk.until(lambda frame: frame["ev"] == "counts"))

    def _shown(self, entry: dict[str, Any]) -> None:
        item = entry["item"]
        assert entry["v"] > self.versions[item], "a version went back, or came twice"
        self.versions[item] = entry["v"]
        self.shares[item] = entry["counts"].get("share", 0)


class Sharer:
    """Shares one item after the other, each with an id of its own; says it again until it is acknowledged."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.said: list[tuple[str, str]] = []
        self.acked: list[tuple[str, str]] = []
        self.refused = 0

    async def run(self, talk: Talk) -> None:
        with suppress(ConnectionClosed):
            while True:
                item = ITEMS[len(self.said) % len(ITEMS)]
                share = (item, f"{self.name}-{os.urandom(8).hex()}")
                self.said.append(share)
                await self._say(talk, share)
                await asyncio.sleep(0.005)

    async def _say(self, talk: Talk, share: tuple[str, str]) -> None:
        while True:
            answer = await talk.ask("react", item=share[0], kind="share", id=share[1])
            if answer["ev"] == "ack":
                self.acked.append(share)
                return
            assert answer["code"] == "unavailable", answer
            assert answer["retry_after"] > 0
            self.refused += 1
            await asyncio.sleep(0.1)

    async def say_all_again(self, hub: Hub) -> None:
        """Everything that was ever said, acknowledged or not."""
        async with talking(hub.live, hub.token(self.name)) as talk:
            for share in self.said:
                await self._say(talk, share)


class Scene:
    """Hubs on one Redis, two viewers on each, and somebody on each who shares all the time."""

    def __init__(self, server: RedisServer, proxy: FaultProxy, hubs: list[OwnHub]) -> None:
        self.server, self.proxy, self.hubs = server, proxy, hubs
        self.viewers = [Viewer(hub) for hub in hubs for _ in range(2)]
        self.sharers = [Sharer(f"u:{n}") for n, _ in enumerate(hubs)]
        self._stopping: list[asyncio.Task[None]] = []
        self._watching: list[asyncio.Task[None]] = []

    async def begin(self, stack: AsyncExitStack) -> None:
        for viewer in self.viewers:
            talk = await stack.enter_async_context(talking(viewer.hub.live))
            self._watching.append(asyncio.create_task(viewer.run(talk)))
        for hub, sharer in zip(self.hubs, self.sharers, strict=True):
            talk = await stack.enter_async_context(talking(hub.live, hub.token(sharer.name)))
            self._stopping.append(asyncio.create_task(sharer.run(talk)))
        await self.more_acks(50)

    async def more_acks(self, number: int) -> None:
        """Wait until that many more shares of each sharer are acknowledged."""
        wanted = [len(sharer.acked) + number for sharer in self.sharers]
        await eventually(
            lambda: all(len(sharer.acked) >= n for sharer, n in zip(self.sharers, wanted, strict=True)),
            within_s=30,
        )

    async def stop_sharing(self) -> None:
        for task in self._stopping:
            task.cancel()
        await asyncio.gather(*self._stopping, return_exceptions=True)

    async def settled(self) -> Shares:
        """What all end at, by the word of the store through each hub, and of every viewer."""
        seen: list[Shares] = []

        def same() -> bool:
            living = [hub for hub in self.hubs if hub.process.poll() is None]
            try:
                seen[:] = [stored(hub) for hub in living]
            except OSError:
                return False
            seen.extend(viewer.shares for viewer in self.viewers if viewer.hub in living)
            return all(shares == seen[0] for shares in seen)

        try:
            await eventually(same, within_s=SETTLED_S)
        except TimeoutError:
            raise AssertionError(f"they do not agree: {seen}") from None
        for task in self._watching:
            if task.done():
                task.result()  # a version that went back
        return seen[0]

    async def nothing_lost_nothing_doubled(self) -> None:
        """The whole oracle, for a fault in which Redis kept its data."""
        await self.stop_sharing()
        shares = await self.settled()
        for item in ITEMS:
            acked = sum(share[0] == item for sharer in self.sharers for share in sharer.acked)
            said = sum(share[0] == item for sharer in self.sharers for share in sharer.said)
            assert acked <= shares[item] <= said
        hub = next(hub for hub in self.hubs if hub.process.poll() is None)
        await asyncio.gather(*(sharer.say_all_again(hub) for sharer in self.sharers))
        shares = await self.settled()
        for item in ITEMS:
            assert shares[item] == sum(share[0] == item for sharer in self.sharers for share in sharer.said)

    async def close(self) -> None:
        for task in [*self._stopping, *self._watching]:
            task.cancel()
        await asyncio.gather(*self._stopping, *self._watching, return_exceptions=True)


@contextmanager
def _hubs(directory: Path, urls: list[str]) -> Iterator[list[OwnHub]]:
    with ExitStack() as stack:
        hubs = []
        for number, url in enumerate(urls):
            own = directory / f"hub-{number}"
            own.mkdir()
            hubs.append(stack.enter_context(running(own, **defaults(store=url, reactions_per_second=0))))
        yield hubs


@asynccontextmanager
async def scene(directory: Path, **conf: object) -> AsyncIterator[Scene]:
    """Two hubs, the second through a proxy; `conf` is Redis's own."""
    async with AsyncExitStack() as stack:
        server = stack.enter_context(single(**conf))
        proxy = await stack.enter_async_context(fault_proxy(server.port))
        with ExitStack() as running_hubs:
            urls = [server.url, f"redis://127.0.0.1:{proxy.port}"]
            hubs = await asyncio.to_thread(lambda: running_hubs.enter_context(_hubs(directory, urls)))
            async with AsyncExitStack() as talks:
                made = Scene(server, proxy, hubs)
                try:
                    await made.begin(talks)
                    yield made
                finally:
                    await made.close()


async def _nothing(scene: Scene) -> None:
    pass


async def _redis_killed(scene: Scene) -> None:
    await asyncio.to_thread(scene.server.kill9)
    await eventually(lambda: all(sharer.refused for sharer in scene.sharers))
    await asyncio.to_thread(scene.server.start)


async def _redis_stopped(scene: Scene) -> None:
    scene.server.pause()
    await asyncio.sleep(3)
    scene.server.resume()


async def _black_hole(scene: Scene) -> None:
    scene.proxy.hold()
    await asyncio.sleep(4)
    scene.proxy.cut()
    scene.proxy.release()


async def _subscriber_held(scene: Scene) -> None:
    scene.proxy.hold(b"SUBSCRIBE")
    await asyncio.sleep(4)
    scene.proxy.release()


async def _links_cut(scene: Scene) -> None:
    for _ in range(5):
        scene.proxy.cut()
        await asyncio.sleep(0.1)


async def _answers_lost(scene: Scene) -> None:
    for _ in range(5):
        lost = scene.proxy.lost_answers
        scene.proxy.lose_answer_to(b"EVALSHA")
        await eventually(lambda lost=lost: scene.proxy.lost_answers > lost)  # type: ignore[misc]


async def _subscribers_cut(scene: Scene) -> None:
    for _ in range(5):
        assert await asyncio.to_thread(scene.server.ask, "client", "kill", "type", "pubsub") >= 0
        await asyncio.sleep(0.1)


async def _scripts_forgotten(scene: Scene) -> None:
    for _ in range(3):
        await asyncio.to_thread(scene.server.ask, "script", "flush")
        await scene.more_acks(5)


async def _hub_killed(scene: Scene) -> None:
    await asyncio.to_thread(scene.hubs[1].kill)


Fault = Callable[[Scene], Coroutine[Any, Any, None]]
FAULTS: list[Fault] = [
    _nothing,
    _redis_killed,
    _redis_stopped,
    _black_hole,
    _subscriber_held,
    _links_cut,
    _answers_lost,
    _subscribers_cut,
    _scripts_forgotten,
    _hub_killed,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
async def test_nothing_is_lost_or_doubled_and_all_see_the_same(tmp_path: Path, fault: Fault) -> None:
    async with scene(tmp_path, appendonly="yes", appendfsync="always") as on:
        await fault(on)
        if fault is not _hub_killed:
            await on.more_acks(20)
        await on.nothing_lost_nothing_doubled()


async def _restarted_empty(scene: Scene) -> None:
    await _redis_killed(scene)


async def _flushed(scene: Scene) -> None:
    await asyncio.to_thread(scene.server.ask, "flushall")


@pytest.mark.parametrize("fault", [_restarted_empty, _flushed], ids=lambda fault: fault.__name__.strip("_"))
async def test_a_redis_that_lost_everything_is_followed_and_versions_grow(tmp_path: Path, fault: Fault) -> None:
    async with scene(tmp_path) as on:
        await fault(on)
        await on.more_acks(20)
        await on.stop_sharing()
        await on.settled()
        # and where nobody reacts any more
        await asyncio.to_thread(on.server.ask, "flushall")
        assert await on.settled() == dict.fromkeys(ITEMS, 0)


async def test_a_reaction_on_one_hub_reaches_a_viewer_of_the_other(tmp_path: Path) -> None:
    with single() as server:
        with _hubs(tmp_path, [server.url, server.url]) as (one, other):
            async with talking(one.live, one.token("u:1")) as here, talking(other.live) as there:
                await there.subscribe("post:1")
                ack = await here.react("post:1")
                frame = await there.counts("post:1", lambda counts: counts == {"like": 1})
                assert frame["v"] == ack["v"]
                await here.react("post:1", value=0)
                await there.counts("post:1", lambda counts: counts == {})
