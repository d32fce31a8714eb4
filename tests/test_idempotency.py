"""A request with an Idempotency-Key that comes twice is answered twice and done once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tallycast.errors import Refused
from tallycast.idempotency import GIVEN_UP_S, KEPT_S, SPACE, Answer, Idempotency
from tallycast.store.records import Records
from tallycast.store.sqlite_beside import open_records


class Works:
    """What makes answers, and counts them."""

    def __init__(self) -> None:
        self.made = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.began = asyncio.Event()

    async def __call__(self) -> Answer:
        self.began.set()
        await self.go_on.wait()
        self.made += 1
        return Answer(201, f'{{"number":{self.made}}}')


class Clock:
    now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[Records]:
    beside = open_records(tmp_path / "answers.db")
    yield beside.records
    await beside.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def once(records: Records, clock: Clock) -> Idempotency:
    return Idempotency(records, clock_s=clock)


@pytest.fixture
def works() -> Works:
    return Works()


async def test_the_second_request_gets_the_first_ones_answer_from_any_hub(
    once: Idempotency, records: Records, clock: Clock, works: Works
) -> None:
    first = await once.once("ada", "k", b"body", works)
    assert first == Answer(201, '{"number":1}')
    assert await Idempotency(records, clock_s=clock).once("ada", "k", b"body", works) == first
    assert works.made == 1


async def test_others_keys_and_other_keys_are_other_requests(once: Idempotency, works: Works) -> None:
    for owner, key in (("ada", "k"), ("ada", "l"), ("bob", "k")):
        await once.once(owner, key, b"body", works)
    assert works.made == 3


async def test_the_key_with_another_request_is_a_conflict(once: Idempotency, works: Works) -> None:
    await once.once("ada", "k", b"body", works)
    with pytest.raises(Refused) as caught:
        await once.once("ada", "k", b"other", works)
    assert caught.value.code == "conflict"


async def test_while_the_first_is_being_answered_the_second_is_told_to_wait(once: Idempotency, works: Works) -> None:
    works.go_on.clear()
    first = asyncio.create_task(once.once("ada", "k", b"body", works))
    await works.began.wait()
    with pytest.raises(Refused) as caught:
        await once.once("ada", "k", b"body", works)
    assert caught.value.code == "conflict"
    assert caught.value.retry_after_s is not None
    works.go_on.set()
    assert await first == await once.once("ada", "k", b"body", works)
    assert works.made == 1


async def test_of_many_at_once_one_is_done(once: Idempotency, works: Works) -> None:
    results = await asyncio.gather(*(once.once("ada", "k", b"body", works) for _ in range(8)), return_exceptions=True)
    assert works.made == 1
    assert all(result == Answer(201, '{"number":1}') or isinstance(result, Refused) for result in results)


async def test_after_a_refusal_the_key_is_as_new(once: Idempotency, works: Works) -> None:
    async def refuse() -> Answer:
        raise Refused("bad_request", "no")

    with pytest.raises(Refused, match="no"):
        await once.once("ada", "k", b"body", refuse)
    assert (await once.once("ada", "k", b"better", works)).status == 201


async def test_one_who_died_over_it_does_not_stand_in_the_way_for_ever(
    once: Idempotency, clock: Clock, works: Works
) -> None:
    hanging = Works()
    hanging.go_on.clear()
    dying = asyncio.create_task(once.once("ada", "k", b"body", hanging))
    await hanging.began.wait()
    clock.now_s += GIVEN_UP_S + 1
    answer = await once.once("ada", "k", b"body", works)
    assert answer.status == 201
    dying.cancel()
    await asyncio.wait([dying])
    assert await once.once("ada", "k", b"body", works) == answer


async def test_answers_are_forgotten_after_a_day(
    once: Idempotency, records: Records, clock: Clock, works: Works
) -> None:
    await once.once("ada", "k", b"body", works)
    clock.now_s += KEPT_S - 1
    await once.sweep()
    assert len(await records.all(SPACE)) == 1
    clock.now_s += 2
    assert (await once.once("ada", "k", b"other", works)).body == '{"number":2}'
    clock.now_s += KEPT_S + 1
    await once.sweep()
    assert await records.all(SPACE) == {}
