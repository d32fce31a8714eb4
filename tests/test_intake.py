"""Group commit: what is batched, who is answered when, and what a store that fails does to those who wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

import orjson
import pytest

from tallycast.errors import Refused, Unavailable
from tallycast.hub import Hub
from tallycast.intake import CROWD, MOST_IN_A_BATCH, MOST_WAITING, TURN, Intake
from tallycast.kinds import Reaction
from tallycast.metrics import Metrics
from tallycast.store.base import Applied, Attendant, Outcome, Reading, Snapshot


class SlowLedger:
    """A store that counts likes, and answers each batch when it is let to."""

    def __init__(self) -> None:
        self.batches: list[list[Reaction]] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None
        self._likes = 0

    async def apply(self, batch: Sequence[Reaction]) -> Applied:
        self.batches.append(list(batch))
        await self.go.wait()
        if self.error is not None:
            raise self.error
        self._likes += len(batch)
        snapshot = Snapshot("a", self._likes, {"like": self._likes})
        by_actor = {reaction.actor: Outcome(snapshot, {"like": 1}) for reaction in batch}
        return Applied([by_actor[reaction.actor] for reaction in batch], [snapshot])

    async def read(self, items: Collection[str], pairs: Collection[tuple[str, str]]) -> Reading:
        raise NotImplementedError

    def follow(self, items: Collection[str], heard: Callable[[Snapshot], None]) -> None:
        """Nothing to hear."""

    def unfollow(self, items: Collection[str]) -> None:
        raise NotImplementedError

    def attend(self, actor: str, attendant: Attendant) -> None:
        raise NotImplementedError

    def unattend(self, actor: str) -> None:
        raise NotImplementedError

    def announce(self, actor: str, item: str) -> None:
        """Nobody to tell."""

    async def tell_viewers(self, here: Mapping[str, int]) -> None:
        raise NotImplementedError

    async def count_viewers(self, items: Collection[str]) -> dict[str, int]:
        raise NotImplementedError

    async def ping(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class Asker:
    """Remembers what it was told, and in how many pieces."""

    def __init__(self) -> None:
        self.acks: dict[int | None, dict[str, object]] = {}
        self.pieces = 0
        self.refusals: dict[int | None, Refused] = {}

    def acked(self, answers: Sequence[tuple[int | None, bytes]]) -> None:
        self.pieces += 1
        self.acks |= {ref: orjson.loads(b"{" + body + b"}") for ref, body in answers}

    def refused(self, ref: int | None, refusal: Refused) -> None:
        self.refusals[ref] = refusal


def make() -> tuple[Intake, SlowLedger, Metrics]:
    store, metrics, clock = SlowLedger(), Metrics(), asyncio.get_running_loop().time
    return Intake(store, Hub(store, metrics, tick_s=0.05, clock=clock), metrics, clock=clock), store, metrics


def like(actor: str = "u:1") -> Reaction:
    return Reaction("a", actor, "like", 1)


async def test_what_comes_while_a_batch_is_made_durable_forms_the_next() -> None:
    intake, store, _ = make()
    asker = Asker()
    intake.put(asker, 1, like())
    await asyncio.sleep(0)
    for ref in (2, 3, 4):
        intake.put(asker, ref, like())
        await asyncio.sleep(0)
    assert [len(batch) for batch in store.batches] == [1]
    assert asker.acks == {}, "nothing is acknowledged that is not durable"
    store.go.set()
    await intake.drain()
    assert [len(batch) for batch in store.batches] == [1, 3]
    assert asker.acks[1] == {"item": "a", "v": 1, "counts": {"like": 1}, "mine": {"like": 1}}
    assert asker.acks[4] == {"item": "a", "v": 4, "counts": {"like": 4}, "mine": {"like": 1}}


async def test_reactions_of_one_turn_share_a_batch_and_each_asker_is_told_in_one_piece() -> None:
    intake, store, _ = make()
    askers = [Asker(), Asker()]
    for ref in range(10):
        intake.put(askers[ref % 2], ref, like(f"u:{ref % 2}"))
    store.go.set()
    await intake.drain()
    assert [len(batch) for batch in store.batches] == [10]
    assert [asker.pieces for asker in askers] == [1, 1]
    assert [sorted(asker.acks) for asker in askers] == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]  # type: ignore[type-var]


async def test_an_ack_is_not_older_than_what_was_sent_while_it_was_made() -> None:
    store, metrics, clock = SlowLedger(), Metrics(), asyncio.get_running_loop().time
    hub = Hub(store, metrics, tick_s=0.05, clock=clock)
    intake, asker = Intake(store, hub, metrics, clock=clock), Asker()
    hub.item("a")
    intake.put(asker, 1, like())
    await asyncio.sleep(0)
    hub.note(Snapshot("a", 9, {"like": 9}))  # another hub's change, heard before the answer of the store
    store.go.set()
    await intake.drain()
    assert asker.acks[1] == {"item": "a", "v": 9, "counts": {"like": 9}, "mine": {"like": 1}}


async def test_a_batch_has_a_limit() -> None:
    intake, store, _ = make()
    asker = Asker()
    for ref in range(2 * MOST_IN_A_BATCH + 1):
        intake.put(asker, ref, like())
    store.go.set()
    await intake.drain()
    assert [len(batch) for batch in store.batches] == [MOST_IN_A_BATCH, MOST_IN_A_BATCH, 1]
    assert len(asker.acks) == 2 * MOST_IN_A_BATCH + 1


async def test_more_than_can_wait_is_refused_and_the_rest_is_not_lost() -> None:
    intake, store, _ = make()
    asker = Asker()
    for ref in range(MOST_WAITING):
        intake.put(asker, ref, like())
    with pytest.raises(Unavailable) as refused:
        intake.put(asker, MOST_WAITING, like())
    assert refused.value.retry_after_s
    store.go.set()
    await intake.drain()
    assert len(asker.acks) == MOST_WAITING


@pytest.mark.parametrize("error", [Unavailable("the disk is full"), RuntimeError("a defect")])
async def test_when_the_store_fails_its_whole_batch_is_told_and_the_next_one_is_tried(
    error: Exception,
) -> None:
    intake, store, metrics = make()
    asker = Asker()
    store.error = error
    store.go.set()
    for ref in range(3):
        intake.put(asker, ref, like())
    await intake.drain()
    assert {refusal.code for refusal in asker.refusals.values()} == {"unavailable"}
    assert all(refusal.retry_after_s for refusal in asker.refusals.values())
    assert "a defect" not in asker.refusals[0].message
    store.error = None
    intake.put(asker, 9, like())
    await intake.drain()
    assert list(asker.acks) == [9]
    text = metrics.render().decode()
    assert 'tallycast_reactions_total{kind="like",result="unavailable"} 3.0' in text
    assert 'tallycast_reactions_total{kind="like",result="accepted"} 1.0' in text
    assert "tallycast_commit_reactions_sum 1.0" in text


async def test_draining_with_nothing_under_way_is_done_at_once() -> None:
    intake, _, _ = make()
    await asyncio.wait_for(intake.drain(), 1)


class Flood:
    """Somebody who has reactions without end, and puts ten whenever it is listened to."""

    def __init__(self, intake: Intake, asker: Asker) -> None:
        self.intake = intake
        self.asker = asker
        self.held = False
        self.said = 0

    def hold(self) -> None:
        assert not self.held
        self.held = True

    def release(self) -> None:
        assert self.held
        self.held = False
        self.say()

    def say(self) -> None:
        for _ in range(10):
            self.said += 1
            crowded = self.intake.put(self.asker, self.said, like())
        if crowded:
            self.intake.hold(self)


@pytest.mark.parametrize("error", [None, Unavailable("the disk is full")])
async def test_who_brings_too_many_is_held_and_released_in_turn_as_batches_end(error: Unavailable | None) -> None:
    intake, store, _ = make()
    store.error = error
    floods = [Flood(intake, Asker()) for _ in range(250)]
    while not all(flood.held for flood in floods):
        for flood in floods:
            if not flood.held:
                flood.say()
    said = sum(flood.said for flood in floods)
    assert said <= CROWD + 10 * len(floods)
    await asyncio.sleep(0)
    assert len(store.batches) == 1
    before = said
    for _ in range(2 * CROWD // TURN):  # the batch has left room, and that is made use of before it ends
        await asyncio.sleep(0)
        now = sum(flood.said for flood in floods)
        assert now - before <= TURN + 10
        before = now
    assert CROWD <= now - MOST_IN_A_BATCH < CROWD + 10
    assert max(flood.said for flood in floods) - min(flood.said for flood in floods) <= 10
    store.go.set()
    for flood in floods:
        flood.say = lambda: None  # type: ignore[method-assign]
    async with asyncio.timeout(5):
        while any(flood.held for flood in floods):
            await asyncio.sleep(0)
        await intake.drain()
    for flood in floods:
        assert len(flood.asker.refusals if error else flood.asker.acks) == flood.said


async def test_who_is_held_when_the_hub_drains_brings_nothing_more() -> None:
    intake, store, _ = make()
    flood = Flood(intake, Asker())
    while not flood.held:
        flood.say()
    store.go.set()
    await asyncio.wait_for(intake.drain(), 5)
    assert flood.held
    assert len(flood.asker.acks) == flood.said


async def test_nobody_is_held_for_less_than_a_crowd() -> None:
    intake, store, _ = make()
    assert not any(intake.put(Asker(), 1, like()) for _ in range(CROWD - 1))
    assert intake.put(Asker(), 1, like())
    store.go.set()
    await intake.drain()


async def test_what_waits_for_an_item_that_is_shut_meanwhile_is_refused_and_the_rest_is_counted() -> None:
    intake, store, _ = make()
    asker = Asker()
    intake.put(asker, 1, like())
    await asyncio.sleep(0)
    for ref, item in enumerate(("a", "poll:x", "a", "poll:x"), 2):
        intake.put(asker, ref, like()._replace(item=item))
    intake.shut = {"a"}
    store.go.set()
    await intake.drain()
    assert [[reaction.item for reaction in batch] for batch in store.batches] == [["a"], ["poll:x", "poll:x"]]
    assert asker.acks.keys() == {1, 3, 5}, "the first was under way"
    assert {ref: refusal.code for ref, refusal in asker.refusals.items()} == {2: "closed", 4: "closed"}


async def test_who_is_held_is_heard_again_also_where_all_that_waited_was_shut_out() -> None:
    intake, store, _ = make()
    flood = Flood(intake, Asker())
    while not flood.held:
        flood.say()
    intake.shut = {"a"}
    store.go.set()
    flood.say = lambda: None  # type: ignore[method-assign]
    async with asyncio.timeout(5):
        while flood.held:
            await asyncio.sleep(0)
    await intake.drain()
    assert store.batches == []
    assert len(flood.asker.refusals) == flood.said
