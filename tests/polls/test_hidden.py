"""Results that are not to be seen yet are in nothing that leaves the hub; at the end everybody has them at once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import httpx

from hubs import OwnHub, eventually
from polling import Polling
from stream import Stream, streaming
from talk import Talk, talking


class Watched:
    """A poll with everybody who can watch it: a reader, a voter with a second device, a stream of events."""

    def __init__(self, at: Polling, made: dict[str, Any]) -> None:
        self.at, self.id, self.item = at, made["id"], made["item"]
        self.reader: Talk
        self.voter: Talk
        self.device: Talk
        self.stream: Stream

    async def come(self, stack: AsyncExitStack) -> None:
        hub = self.at.hub
        self.reader = await stack.enter_async_context(talking(hub.live))
        self.voter = await stack.enter_async_context(talking(hub.live, hub.token(f"u:{self.id}")))
        self.device = await stack.enter_async_context(talking(hub.live, hub.token(f"u:{self.id}")))
        self.stream = await stack.enter_async_context(streaming(self.at.web, self.item, viewers="true"))

    async def counts(self, sub: str | None = None) -> dict[str, Any]:
        """The item in GET /v1/counts."""
        headers = {"Authorization": f"Bearer {self.at.hub.token(sub)}"} if sub else {}
        answer = await self.at.web.get("/v1/counts", params={"item": self.item}, headers=headers)
        (row,) = answer.json()["items"]
        return dict(row)

    async def badge(self) -> str:
        """The picture of the second option's count."""
        answer = await self.at.web.get(f"/v1/items/{self.item}/badge.svg", params={"kind": "option-2", "label": "B"})
        assert answer.status_code == 200, answer.text
        return answer.text


def masked(row: dict[str, Any]) -> bool:
    """Whether a row of a message tells no counts, and says so."""
    assert ("hidden" in row) == (row.get("hidden") is True)
    assert not (row.get("hidden") and row["counts"]), row
    return bool(row.get("hidden"))


async def test_nothing_tells_what_is_not_to_be_seen_before_it_may_be(at: Polling) -> None:
    await asyncio.gather(*(see(at, results) for results in ("always", "voted", "closed")))


async def see(at: Polling, results: str) -> None:
    """Look at a poll with these results by every way out, from its first vote to its end."""
    everybody, voters = results == "always", results != "closed"
    made = await at.make(results=results, answers=[2])
    watched = Watched(at, made)
    async with AsyncExitStack() as stack:
        await watched.come(stack)
        others = f"u:other-{made['id']}"
        assert (await at.vote(made["id"], 1, others)).status_code == 200
        # Who has not voted, or is nobody, sees it if everybody does.
        for talk in (watched.reader, watched.voter, watched.device):
            (row,) = await talk.subscribe(watched.item)
            assert masked(row) is not everybody
        assert masked((await watched.stream.counts()).data) is not everybody
        assert masked(await watched.counts()) is not everybody
        assert masked(await watched.counts(f"u:{made['id']}")) is not everybody
        assert masked(await watched.counts(others)) is not voters
        assert ("not shown yet" in await watched.badge()) is not everybody

        # Who votes is told the counts by the answer and on the other devices, unless nobody is.
        ack = await watched.voter.react(watched.item, "option-2")
        assert masked(ack) is not voters
        assert ack["mine"] == {"option-2": 1}
        frame = await watched.device.until(lambda frame: frame["ev"] == "counts" and "mine" in frame)
        assert masked(frame) is not voters
        (row,) = await watched.voter.subscribe(watched.item)
        assert masked(row) is not voters
        seen = await watched.reader.until(lambda frame: frame["ev"] == "counts" and frame["v"] >= ack["v"] - 1)
        assert masked(seen) is not everybody
        while (event := await watched.stream.counts()).data["v"] < ack["v"] - 1:
            assert masked(event.data) is not everybody
        assert masked(event.data) is not everybody

        # A vote that is taken back is none.
        ack = await watched.voter.react(watched.item, "option-2", 0)
        assert masked(ack) is not everybody
        assert masked(await watched.counts(f"u:{made['id']}")) is not everybody
        await watched.voter.react(watched.item, "option-2")

        for sub, shown in ((None, everybody), (f"u:{made['id']}", voters), ("u:nobody", everybody)):
            poll = await at.poll(made["id"], sub)
            assert poll["counts"] == ([1, 1, 0] if shown else None)
            assert "answers" not in poll

        # At the end all who watch have the counts at once, newer than whatever they had.
        last = {talk: max(frame.get("v", 0) for frame in talk.frames) for talk in (watched.reader, watched.device)}
        await at.close(made["id"])
        for talk in (watched.reader, watched.device):
            frame = await talk.until(lambda frame: frame["ev"] == "counts" and frame["counts"].get("option-2"))
            assert frame["counts"] == {"option-1": 1, "option-2": 1}
            assert frame["v"] >= last[talk] + (not everybody and talk is watched.reader)
        while masked((event := await watched.stream.counts()).data) or "option-2" not in event.data["counts"]:
            pass
        await closed(at, made["id"])
        assert not masked(await watched.counts())
        assert "B: 1" in await watched.badge()
        poll = await at.poll(made["id"])
        assert (poll["counts"], poll["answers"]) == ([1, 1, 0], [2])


async def closed(at: Polling, id: str) -> None:
    """Wait until the poll has closed."""

    def over() -> bool:
        with httpx.Client(base_url=at.hub.http, trust_env=False) as web:
            return bool(web.get(f"/v1/polls/{id}").json()["state"] == "closed")

    await eventually(over)


async def test_what_no_poll_stands_for_tells_nothing(at: Polling, hub: OwnHub) -> None:
    answer = await at.web.get("/v1/counts", params={"item": "poll:never-made"})
    assert answer.json()["items"] == [{"item": "poll:never-made", "v": 0, "counts": {}, "hidden": True}]
    async with talking(hub.live) as reader:
        (row,) = await reader.subscribe("poll:never-made")
        assert masked(row)


async def test_items_that_are_no_polls_are_told_as_ever(at: Polling, hub: OwnHub) -> None:
    async with talking(hub.live, hub.token("u:1")) as user:
        ack = await user.react("pollute:1")
        assert ack["counts"] == {"like": 1}
        assert (await user.subscribe("pollute:1"))[0] == {
            "item": "pollute:1",
            "v": ack["v"],
            "counts": {"like": 1},
            "mine": {"like": 1},
        }
