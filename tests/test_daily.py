"""daily.py: one key a day for all hubs, and none of yesterday."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tallycast.daily import EARLY_S, SPACE, Daily
from tallycast.errors import Unavailable
from tallycast.kinds import parse
from tallycast.store import open_store
from tallycast.store.base import OpenStore

MIDNIGHT_S = 1_790_035_200.0  # 2026-09-22T00:00:00Z
KINDS = parse('[view]\nrule = "unique"\n', "kinds of this test")


class Clock:
    now_s = MIDNIGHT_S + 3600

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[OpenStore]:
    opened = open_store(f"sqlite:///{tmp_path / 'tally.db'}", KINDS)
    yield opened
    await opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_hubs_of_one_store_give_the_same_name_all_day(store: OpenStore, clock: Clock) -> None:
    first, second = Daily(store.records, clock=clock), Daily(store.records, clock=clock)
    await first.renew()
    clock.now_s += 6 * 3600
    await second.renew()
    name = first.name("post:1", "192.0.2.1", "1")
    assert name == second.name("post:1", "192.0.2.1", "1")
    assert len(name) == 22 and name.isascii()
    others = [("post:2", "192.0.2.1", "1"), ("post:1", "192.0.2.2", "1"), ("post:1", "192.0.2.1", "2")]
    assert len({name, *(first.name(*shown) for shown in others)}) == 4
    assert first.name("a", "b") != first.name("ab")


async def test_somebody_is_somebody_else_tomorrow(store: OpenStore, clock: Clock) -> None:
    daily = Daily(store.records, clock=clock)
    await daily.renew()
    before = daily.name("post:1")
    clock.now_s += 86_400
    await daily.renew()
    assert daily.name("post:1") != before


async def test_the_key_of_a_day_that_is_over_is_deleted(store: OpenStore, clock: Clock) -> None:
    daily = Daily(store.records, clock=clock)
    await daily.renew()
    assert list(await store.records.all(SPACE)) == ["2026-09-22"]
    clock.now_s = MIDNIGHT_S + 86_400 + EARLY_S - 1  # a hub whose clock is late may still be in the old day
    await daily.renew()
    assert list(await store.records.all(SPACE)) == ["2026-09-22", "2026-09-23"]
    clock.now_s += 2
    await daily.renew()
    assert list(await store.records.all(SPACE)) == ["2026-09-23"]


async def test_the_next_key_is_there_before_its_day(store: OpenStore, clock: Clock) -> None:
    daily = Daily(store.records, clock=clock)
    clock.now_s = MIDNIGHT_S + 86_400 - EARLY_S + 1
    await daily.renew()
    clock.now_s = MIDNIGHT_S + 86_400
    assert daily.name("post:1")


async def test_without_a_key_of_the_day_nobody_has_a_name(store: OpenStore, clock: Clock) -> None:
    daily = Daily(store.records, clock=clock)
    with pytest.raises(Unavailable):
        daily.name("post:1")
    await daily.renew()
    clock.now_s += 86_400
    with pytest.raises(Unavailable):
        daily.name("post:1")


async def test_a_store_that_is_away_is_asked_again(store: OpenStore, clock: Clock) -> None:
    daily = Daily(store.records, clock=clock)
    await store.close()
    with pytest.raises(Unavailable):
        await daily.renew()
