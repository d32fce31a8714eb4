"""One owner at a time, by a clock that the tests move; on a store's file that several processes have open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tallycast.errors import Unavailable
from tallycast.lease import Lease
from tallycast.store.sqlite_beside import Beside, open_records

TTL_S = 9.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Beside]:
    opened = open_records(tmp_path / "tally.db")
    yield opened
    await opened.close()


@pytest.fixture
def lease(store: Beside, clock: Clock) -> Callable[[str], Lease]:
    return lambda owner: Lease(store.records, "roll-up", owner=owner, ttl_s=TTL_S, clock_s=clock)


Make = Callable[[str], Lease]


async def test_the_first_who_asks_holds_it_and_nobody_else(lease: Make) -> None:
    ann, bob = lease("ann"), lease("bob")
    assert await ann.hold()
    assert not await bob.hold()
    assert await ann.hold()


async def test_it_stays_with_whoever_goes_on_asking(lease: Make, clock: Clock) -> None:
    ann, bob = lease("ann"), lease("bob")
    for _ in range(50):
        assert await ann.hold()
        assert not await bob.hold()
        clock.now_s += TTL_S / 2


async def test_most_asking_costs_the_store_nothing(lease: Make, store: Beside, clock: Clock) -> None:
    ann = lease("ann")
    await ann.hold()
    before = await store.records.revisions(["leases"])
    clock.now_s += TTL_S / 4
    assert await ann.hold()
    assert await store.records.revisions(["leases"]) == before
    clock.now_s += TTL_S / 4
    assert await ann.hold()
    assert await store.records.revisions(["leases"]) != before


async def test_it_goes_to_another_when_its_holder_was_silent_for_the_whole_time(lease: Make, clock: Clock) -> None:
    ann, bob = lease("ann"), lease("bob")
    assert await ann.hold()
    assert not await bob.hold()
    clock.now_s += TTL_S - 0.01
    assert not await bob.hold()
    clock.now_s += 0.01
    assert await bob.hold()
    assert not await ann.hold()
    assert await bob.hold()


async def test_who_comes_later_waits_the_whole_time_from_when_it_looked(lease: Make, clock: Clock) -> None:
    assert await lease("ann").hold()
    clock.now_s += 10 * TTL_S
    late = lease("late")
    assert not await late.hold(), "it cannot know how long ago that was"
    clock.now_s += TTL_S
    assert await late.hold()


async def test_a_holder_that_was_stopped_for_long_asks_before_it_goes_on(lease: Make, clock: Clock) -> None:
    ann, bob = lease("ann"), lease("bob")
    await ann.hold()
    await bob.hold()
    clock.now_s += TTL_S
    assert await bob.hold()
    await bob.release()
    clock.now_s += TTL_S
    assert await ann.hold(), "nobody has it now"
    assert not await bob.hold()


async def test_of_many_who_see_it_free_one_takes_it(tmp_path: Path, clock: Clock) -> None:
    stores = [open_records(tmp_path / "tally.db") for _ in range(4)]
    leases = [
        Lease(store.records, "roll-up", owner=f"hub-{n}", ttl_s=TTL_S, clock_s=clock) for n, store in enumerate(stores)
    ]
    for _ in range(5):
        assert sum(await asyncio.gather(*(lease.hold() for lease in leases))) == 1
        clock.now_s += TTL_S * 2
    for store in stores:
        await store.close()


async def test_what_is_released_is_free_at_once(lease: Make) -> None:
    ann, bob = lease("ann"), lease("bob")
    await ann.hold()
    await ann.release()
    assert await bob.hold()
    await ann.release()
    assert not await ann.hold()


async def test_a_holder_whose_renewal_got_no_answer_goes_on_with_it(
    lease: Make, store: Beside, clock: Clock, tmp_path: Path
) -> None:
    ann = lease("ann")
    await ann.hold()
    clock.now_s += TTL_S / 2
    document = await store.records.get("leases", "roll-up")
    assert document is not None
    # The renewal was written, and the connection was lost before the answer came: as if somebody had done it for it.
    assert await store.records.put("leases", "roll-up", document.replace(b'"renewal":"', b'"renewal":"0'), document)
    assert not await ann.hold()
    assert await ann.hold(), "the document names it"


async def test_without_the_store_nobody_knows(store: Beside, lease: Make, clock: Clock) -> None:
    ann = lease("ann")
    await ann.hold()
    clock.now_s += TTL_S / 2
    await store.close()
    with pytest.raises(Unavailable):
        await ann.hold()
    with pytest.raises(Unavailable):
        await ann.hold()


async def test_two_leases_do_not_touch_each_other(store: Beside, clock: Clock) -> None:
    ann = Lease(store.records, "roll-up", owner="ann", ttl_s=TTL_S, clock_s=clock)
    bob = Lease(store.records, "alerts", owner="bob", ttl_s=TTL_S, clock_s=clock)
    assert await ann.hold()
    assert await bob.hold()
