"""Four hubs on one Redis close a poll under load: once, with the votes that were taken before, and no others."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx

from hubs import OwnHub, eventually
from polling import KINDS, Polling
from redis_scene import hubs_at
from redis_servers import single
from talk import talking
from tallycast.kinds import parse
from tallycast.store import open_store

HUBS = 4
VOTERS = 4  # at each hub
CLOSES_S = 2.0  # from when everybody votes


class Voter:
    """Somebody who changes their mind all the time, as fast as the hub answers."""

    def __init__(self, number: int, hub: OwnHub) -> None:
        self.number, self.hub = number, hub
        self.stands: str | None = None  # the option of the last vote that was taken
        self.taken = 0
        self.after_s = 0.0  # when the last vote was sent that was taken
        self.refusal: dict[str, Any] | None = None

    async def run(self, item: str) -> None:
        """Vote until that is refused."""
        async with talking(self.hub.live, self.hub.token(f"u:{self.number}")) as talk:
            for turn in range(1_000_000):
                kind = f"option-{1 + (self.number + turn) % 3}"
                sent_s = time.time()
                answer = await talk.ask("react", item=item, kind=kind, value=1)
                if answer["ev"] == "error":
                    self.refusal = answer
                    return
                self.stands, self.after_s = kind, sent_s
                self.taken += 1
                assert answer["mine"] == {kind: 1}
                assert (answer["counts"], answer["hidden"]) == ({}, True)


async def notes(url: str) -> list[bytes]:
    """The audit log's entries."""
    store = open_store(url, parse(KINDS, "kinds"))
    try:
        return [entry.body for entry in await store.journal.newest("audit", limit=100)]
    finally:
        await store.close()


async def test_a_poll_closes_once_at_four_hubs_and_its_sum_is_that_of_the_votes_that_were_taken(
    tmp_path: Path,
) -> None:
    with single() as server, hubs_at(tmp_path, [server.url] * HUBS) as hubs:
        async with AsyncExitStack() as stack:
            webs = [
                await stack.enter_async_context(httpx.AsyncClient(base_url=hub.http, timeout=20, trust_env=False))
                for hub in hubs
            ]
            at = await Polling.at(hubs[0], webs[0])
            made = await at.make(results="closed", answers=[1])
            id, item = made["id"], made["item"]
            for web in webs:  # by which each hub has heard of it
                assert (await web.get(f"/v1/polls/{id}")).json()["state"] == "open"
            watchers = [await stack.enter_async_context(talking(hub.live)) for hub in hubs]
            for talk in watchers:
                await talk.subscribe(item)
            voters = [Voter(number, hubs[number % HUBS]) for number in range(HUBS * VOTERS)]
            reveals = [
                asyncio.create_task(talk.until(lambda frame: frame["ev"] == "counts" and frame["counts"]))
                for talk in watchers
            ]
            voting = [asyncio.create_task(voter.run(item)) for voter in voters]
            await eventually(lambda: min(voter.taken for voter in voters) > 3)
            closes_at = time.time() + CLOSES_S
            ends = await webs[1].patch(f"/v1/admin/polls/{id}", json={"closes_at": closes_at}, headers=at.as_admin)
            assert ends.status_code == 200, ends.text
            await asyncio.gather(*voting)

            # Votes were taken to the end, by no hub after it, and then refused as what they are.
            assert {voter.refusal["code"] for voter in voters if voter.refusal} == {"closed"}
            assert max(voter.after_s for voter in voters) < closes_at
            assert time.time() >= closes_at

            # All who watch at any hub are told the same numbers, which are those of the votes that were taken.
            right = dict(Counter(voter.stands for voter in voters))
            frames = await asyncio.gather(*reveals)
            assert [frame["counts"] for frame in frames] == [right] * HUBS
            for talk, frame in zip(watchers, frames, strict=True):
                before = [each for each in talk.frames if each["ev"] == "counts" and each is not frame]
                assert [each for each in before if each["counts"]] == []
                assert max((each["v"] for each in before), default=0) < frame["v"]

            # One hub has closed it, and no hub says otherwise.
            polls = [(await web.get(f"/v1/polls/{id}")).json() for web in webs]
            assert {poll["state"] for poll in polls} == {"closed"}
            (closed_at,) = {poll["closed_at"] for poll in polls}
            assert closed_at >= closes_at
            assert [poll["counts"] for poll in polls] == [[right.get(f"option-{n}", 0) for n in (1, 2, 3)]] * HUBS

            def noted() -> bool:
                return any(b"poll.closed" in body for body in asyncio.run(notes(server.url)))

            await eventually(noted)
            late = [await Polling(hub, web, "").vote(id, 1, "u:late") for hub, web in zip(hubs, webs, strict=True)]
            assert [answer.json()["code"] for answer in late] == ["closed"] * HUBS
            again = [(await web.get(f"/v1/polls/{id}")).json() for web in webs]
            assert [poll["counts"] for poll in again] == [poll["counts"] for poll in polls]
            assert [b"poll.closed" in body for body in await notes(server.url)].count(True) == 1
