"""When hubs' clocks differ, the store fails in the middle, or somebody extends a poll at its last moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from hubs import SECONDS
from tallycast.audit import Audit
from tallycast.errors import Refused, Unavailable
from tallycast.hub import Hub
from tallycast.identity import Actor
from tallycast.intake import Intake
from tallycast.kinds import Reaction, parse
from tallycast.metrics import Metrics
from tallycast.mirrors import Mirrors
from tallycast.polls import Poll, Polls
from tallycast.polls.polls import SETTLED_S, TAKEN_S
from tallycast.store import open_store
from tallycast.store.base import OpenStore
from tallycast.store.records import Expected, Records
from tallycast.veils import Veil

NOW = 1_800_000_000.0
ADA = Actor("u:1", NOW + 1e6, None)


class Clock:
    """A hub's clock, which stands until it is set."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        self.now_s = NOW + ahead_s

    def __call__(self) -> float:
        return self.now_s


class Uncertain:
    """Records that do what they are asked to, and then fail once to say so, as a server does whose answer is lost."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.lose = False

    async def put(self, space: str, key: str, body: bytes, expected: Expected) -> bool:
        done = await self._records.put(space, key, body, expected)
        if self.lose:
            self.lose = False
            raise Unavailable("the answer was lost")
        return done

    def __getattr__(self, name: str) -> object:
        return getattr(self._records, name)


class Node:
    """The polls of one of several hubs on a store."""

    def __init__(self, store: OpenStore, clock: Clock, records: Records | None = None) -> None:
        self.clock = clock
        self.hub = Hub(store, Metrics(), tick_s=0.05, clock=time.monotonic)
        self.intake = Intake(store, self.hub, Metrics(), clock=time.monotonic)
        self.mirrors = Mirrors(records or store.records, clock=time.monotonic)
        audit = Audit(store.journal)
        self.polls = Polls(self.mirrors, self.hub, self.intake, audit, store.moderation, clock_s=clock)
        self.working = asyncio.create_task(self.polls.run())

    def now(self, id: str = "abc") -> Poll:
        return self.polls.polls[id]

    def vote(self) -> str | None:
        """The code with which a vote is refused now, None where it is taken."""
        try:
            self.polls.check(ADA, Reaction("poll:abc", "u:1", "option-1", 1), "192.0.2.1")
        except Refused as refused:
            return refused.code
        return None


async def until(condition: Callable[[], object]) -> None:
    """Wait until that is so."""
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[OpenStore]:
    store = open_store(f"sqlite:///{tmp_path / 'hub.db'}", parse('[like]\nrule = "toggle"', "kinds"))
    yield store
    await store.close()


@pytest.fixture
async def node(store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Node]]:
    """Makes a hub's polls: `node(ahead_s=2)`. They look at their clock all the time."""
    monkeypatch.setattr("tallycast.polls.polls.LOOK_S", 0.02)
    nodes: list[Node] = []

    def node(ahead_s: float = 0.0, records: Records | None = None) -> Node:
        nodes.append(Node(store, Clock(ahead_s), records))
        return nodes[-1]

    yield node
    for each in nodes:
        each.working.cancel()
        with suppress(asyncio.CancelledError):
            await each.working


async def create(node: Node, closes_s: float = 60.0) -> None:
    wish = {"question": "Which?", "options": ["A", "B"], "closes_at": NOW + closes_s, "results": "closed"}
    await node.polls.create(node.polls.make(wish, "abc"))


async def closings(store: OpenStore) -> int:
    """How often the audit log says that the poll has closed, once it says so."""
    async with asyncio.timeout(SECONDS):
        while True:
            entries = await store.journal.newest("audit", limit=100)
            if noted := sum(b"poll.closed" in entry.body for entry in entries):
                return noted
            await asyncio.sleep(0.01)


async def test_each_hub_goes_by_its_own_clock_until_the_first_has_closed_the_poll(
    store: OpenStore, node: Callable[..., Node]
) -> None:
    early, late = node(ahead_s=1), node(ahead_s=-3600)
    await create(early)
    await late.mirrors.refresh()
    early.clock.now_s = NOW + 59.9
    late.clock.now_s = NOW - 3541
    assert (early.vote(), late.vote()) == (None, "closed"), "for the late one it has not opened yet"
    late.clock.now_s = NOW + 10
    early.clock.now_s = NOW + 60
    assert (early.vote(), late.vote()) == ("closed", None)
    early.clock.now_s = NOW + 60 + SETTLED_S
    await until(lambda: early.now().closed_at)
    assert early.now().closed_at == NOW + 60 + SETTLED_S
    await late.mirrors.refresh()
    assert late.vote() == "closed"
    assert [each.hub.veil("poll:abc") for each in (early, late)] == [Veil.LIFTED, Veil.LIFTED]
    late.clock.now_s = NOW + 1000
    assert await closings(store) == 1


async def test_what_waits_from_before_the_end_has_a_moment_to_be_counted(
    store: OpenStore, node: Callable[..., Node]
) -> None:
    one = node()
    await create(one)
    one.clock.now_s = NOW + 60 + TAKEN_S / 2
    await one.polls.close("abc")  # which changes nothing any more, and wakes nobody
    assert one.intake.shut == set()
    one.clock.now_s = NOW + 60 + TAKEN_S
    await until(lambda: one.intake.shut == {"poll:abc"})
    assert one.now().closed_at is None
    one.clock.now_s = NOW + 200
    await until(lambda: one.now().closed_at and not one.intake.shut)


async def test_a_poll_that_was_extended_in_time_is_closed_by_nobody(
    store: OpenStore, node: Callable[..., Node]
) -> None:
    one, other = node(), node()
    await create(one)
    await other.mirrors.refresh()
    one.clock.now_s = NOW + 59
    await one.polls.change("abc", {"closes_at": NOW + 600})
    other.clock.now_s = NOW + 60 + SETTLED_S  # it has not heard of that yet
    assert other.vote() == "closed"
    await until(lambda: other.now().closes_at == NOW + 600)
    assert (other.now().closed_at, other.vote()) == (None, None)
    assert await store.journal.newest("audit", limit=1) == []


async def test_a_closing_whose_answer_was_lost_is_noted_once(store: OpenStore, node: Callable[..., Node]) -> None:
    uncertain = Uncertain(store.records)
    one, other = node(records=uncertain), node()
    await create(other)
    await one.mirrors.refresh()
    uncertain.lose = True
    one.clock.now_s = NOW + 60 + SETTLED_S
    await until(lambda: not uncertain.lose)
    other.clock.now_s = NOW + 60 + SETTLED_S
    await until(lambda: one.now().closed_at and other.now().closed_at)
    assert await closings(store) == 1
    assert one.now() == other.now()


async def test_a_hub_that_does_not_know_its_polls_yet_asks_to_try_again(node: Callable[..., Node]) -> None:
    one = node()
    assert one.vote() == "unavailable"
    await one.mirrors.refresh()
    assert one.vote() == "unknown_kind"
