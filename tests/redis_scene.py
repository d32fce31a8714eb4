"""Hubs on one Redis under load, and the oracle that says after a fault whether anything went wrong.

    async with scene(tmp_path, server.url, server.url) as on:   # a hub each
        await on.more_acks(20)                                  # under load
        …                                                       # the fault
        await on.settled()                                      # at its end: all agree within two seconds
        assert await on.verdict() == []                         # nothing lost, nothing doubled, counts = sums of values

On each hub two viewers watch all items, and one actor reacts all the time and says everything again until it is
acknowledged, through the next hub when its own is gone. What should be counted is known to the last reaction.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from hubs import Command, Hub, OwnHub, defaults, eventually, fast_lane, running
from talk import Talk, talking
from tallycast.store.redis.check import check

ITEMS = ("post:1", "post:2", "post:3")
CONVERGED_S = 2.0  # after a fault's end
PREFIX = "tallycast:"
REST_S = 0.01  # of an actor between two reactions
SAID_AT_ONCE = 50  # when everything is said again

Counts = dict[str, dict[str, int]]  # by item and kind, zeros left out
Reaction = dict[str, Any]  # the fields of a `react`


def stored(hub: Hub) -> Counts:
    """What the store has. Asked with a token, a hub does not answer from its memory. OSError when it cannot tell."""
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
    return {entry["item"]: entry["counts"] for entry in body["items"]}


class Viewer:
    """Watches all items on one hub. `counts` is what it was shown last, `complaints` versions that went back."""

    def __init__(self, hub: OwnHub) -> None:
        self.hub = hub
        self.counts: Counts = {}
        self.complaints: list[str] = []
        self._versions = dict.fromkeys(ITEMS, -1)

    async def run(self, talk: Talk) -> None:
        for entry in await talk.subscribe(*ITEMS):
            self._shown(entry)
        with suppress(ConnectionClosed):
            while True:
                self._shown(await talk.until(lambda frame: frame["ev"] == "counts"))

    def _shown(self, entry: dict[str, Any]) -> None:
        item, v = entry["item"], entry["v"]
        if v < self._versions[item]:
            self.complaints.append(f"a viewer of {item} saw version {v} after {self._versions[item]}")
        elif v == self._versions[item] and entry["counts"] != self.counts[item]:
            self.complaints.append(f"a viewer of {item} saw two counts of version {v}")
        self._versions[item] = v
        self.counts[item] = entry["counts"]


class Actor:
    """Shares an item, then says how much he claps for it, then the next item, and all over again."""

    def __init__(self, name: str, hubs: Sequence[OwnHub]) -> None:
        self.name = name
        self.acked: list[Reaction] = []
        self.refused = 0
        self.going = asyncio.Event()
        self.going.set()
        self.saying: Reaction | None = None  # what is not acknowledged yet
        self._hubs = hubs  # the first as long as it is there
        self._script = self._reactions()

    def _reactions(self) -> Iterator[Reaction]:
        for number, item in enumerate(cycle(ITEMS)):
            yield {"item": item, "kind": "share", "id": f"{self.name}-{number:08}"}
            yield {"item": item, "kind": "clap", "value": number * 7 % 51, "seq": time.time_ns() // 1000}

    async def run(self) -> None:
        """React until cancelled."""
        for hub in cycle(self._hubs):
            with suppress(ConnectionClosed, InvalidHandshake, OSError):
                async with talking(hub.live, hub.token(self.name)) as talk:
                    await self._react(talk)
            await asyncio.sleep(0.1)

    async def _react(self, talk: Talk) -> None:
        while True:
            if self.saying is None:
                await self.going.wait()
                self.saying = next(self._script)
            await self._say(talk, self.saying)
            self.acked.append(self.saying)
            self.saying = None
            await asyncio.sleep(REST_S)

    async def _say(self, talk: Talk, reaction: Reaction) -> None:
        while (answer := await talk.ask("react", **reaction))["ev"] != "ack":
            assert answer["code"] == "unavailable", answer
            assert answer["retry_after"] > 0
            self.refused += 1
            await asyncio.sleep(0.1)

    async def say_all_again(self, hub: Hub) -> None:
        """Everything that was acknowledged, in its order: none of it may count again."""
        async with talking(hub.live, hub.token(self.name)) as talk:
            for at in range(0, len(self.acked), SAID_AT_ONCE):
                some = self.acked[at : at + SAID_AT_ONCE]
                for ref, reaction in enumerate(some):
                    await talk.send({"op": "react", "ref": ref, **reaction})
                for _ in some:
                    answer = await talk.next()
                    assert answer["ev"] == "ack", answer


class Scene:
    """Hubs on the Redis at `url`, their viewers and actors."""

    def __init__(self, url: str, hubs: Sequence[OwnHub]) -> None:
        self.url, self.hubs = url, hubs
        self.viewers = [Viewer(hub) for hub in hubs for _ in range(2)]
        self.actors = [Actor(f"u:{n}", [*hubs[n:], *hubs[:n]]) for n in range(len(hubs))]
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self, stack: AsyncExitStack) -> None:
        """Let all come, and wait until reactions are counted."""
        for viewer in self.viewers:
            talk = await stack.enter_async_context(talking(viewer.hub.live))
            self._tasks.append(asyncio.create_task(viewer.run(talk)))
        self._tasks += [asyncio.create_task(actor.run()) for actor in self.actors]
        await self.more_acks(20)

    async def close(self) -> None:
        """Let all go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def living(self) -> list[OwnHub]:
        """The hubs that were not killed."""
        return [hub for hub in self.hubs if hub.process.poll() is None]

    async def more_acks(self, number: int, of: Iterable[Actor] | None = None) -> None:
        """Wait until that many more reactions of each actor are acknowledged."""
        wanted = [(actor, len(actor.acked) + number) for actor in of or self.actors]
        await self._eventually(lambda: all(len(actor.acked) >= n for actor, n in wanted), within_s=20)

    async def all_refused(self) -> None:
        """Wait until each actor was told that his reaction cannot be taken now."""
        wanted = [(actor, actor.refused + 1) for actor in self.actors]
        await self._eventually(lambda: all(actor.refused >= n for actor, n in wanted), within_s=20)

    def go_on(self) -> None:
        """React again, after settled()."""
        for actor in self.actors:
            actor.going.set()

    async def settled(self, *, acknowledged: bool = True, but: OwnHub | None = None) -> Counts:
        """What all end at, by the word of the store through each hub and of every viewer, called at a fault's end.

        From here on the actors begin nothing new. What they were saying must be acknowledged in that time as well,
        unless it is said that it cannot be. `but` is a hub that takes no part.
        """
        hubs = [hub for hub in self.living if hub is not but]
        viewers = [viewer for viewer in self.viewers if viewer.hub in hubs]
        actors = [actor for actor, hub in zip(self.actors, self.hubs, strict=True) if acknowledged and hub is not but]
        for actor in self.actors:
            actor.going.clear()
        seen: list[Counts] = []

        def agree() -> bool:
            try:
                seen[:] = [stored(hub) for hub in hubs]
            except OSError as error:
                seen[:] = [{"a hub says": {repr(error): 0}}]
                return False
            seen.extend(viewer.counts for viewer in viewers)
            return not any(actor.saying for actor in actors) and all(counts == seen[0] for counts in seen)

        try:
            await self._eventually(agree, within_s=CONVERGED_S)
        except TimeoutError:
            waiting = {actor.name: actor.saying for actor in self.actors if actor.saying}
            logs = "\n".join(hub.log()[-3000:] for hub in self.living)
            raise AssertionError(f"no agreement: {seen}, not acknowledged: {waiting}\n{logs}") from None
        return seen[0]

    async def _eventually(self, condition: Callable[[], bool], *, within_s: float) -> None:
        def holds() -> bool:
            for task in self._tasks:
                if task.done():
                    task.result()  # the error that ended it
            return condition()

        await eventually(holds, within_s=within_s)

    async def verdict(self) -> list[str]:
        """What went wrong, after settled(): reactions lost or doubled, wrong sums, versions that went back.

        Everything is said once more for it.
        """
        found = await self.miscounts()
        hub = self.living[0]
        await asyncio.gather(*(actor.say_all_again(hub) for actor in self.actors))
        found += await self.miscounts()
        return [*dict.fromkeys(found), *await self.flaws()]

    async def flaws(self) -> list[str]:
        """The part of the verdict that holds also when Redis lost its data."""
        report = await asyncio.to_thread(check, self.url, prefix=PREFIX)
        return [*report.findings, *(complaint for viewer in self.viewers for complaint in viewer.complaints)]

    async def miscounts(self) -> list[str]:
        """The part of the verdict that compares what is counted with what was acknowledged."""
        counts = await self.settled()
        found = []
        for item, right in self._right().items():
            for kind, n in right.items():
                has = counts[item].get(kind, 0)
                if has != n:
                    found.append(f"{'lost' if has < n else 'doubled'}: {item} has {has} {kind}s, acknowledged are {n}")
        return found

    def _right(self) -> dict[str, Counter[str]]:
        right = {item: Counter(share=0, clap=0) for item in ITEMS}
        for actor in self.actors:
            claps = dict.fromkeys(ITEMS, 0)
            for reaction in actor.acked:
                if reaction["kind"] == "share":
                    right[reaction["item"]]["share"] += 1
                else:
                    claps[reaction["item"]] = reaction["value"]
            for item, value in claps.items():
                right[item]["clap"] += value
        return right


@contextmanager
def hubs_at(
    directory: Path, urls: Sequence[str], *, command: Command = fast_lane, **settings: object
) -> Iterator[list[OwnHub]]:
    """A hub on each URL, for one block."""
    with ExitStack() as stack:
        hubs = []
        for number, url in enumerate(urls):
            own = directory / f"hub-{number}"
            own.mkdir()
            conf = {**defaults(store=url, reactions_per_second=0), **settings}
            hubs.append(stack.enter_context(running(own, command=command, **conf)))
        yield hubs


@asynccontextmanager
async def scene(
    directory: Path, url: str, *others: str, command: Command = fast_lane, **settings: object
) -> AsyncIterator[Scene]:
    """A hub on each URL, all of the same Redis, under load. `settings` and `command` are those of all hubs."""
    urls = (url, *others)
    with ExitStack() as stack:
        hubs = await asyncio.to_thread(
            lambda: stack.enter_context(hubs_at(directory, urls, command=command, **settings))
        )
        async with AsyncExitStack() as talks:
            made = Scene(url, hubs)
            try:
                await made.begin(talks)
                yield made
            finally:
                await made.close()
