"""What every store promises of history: each roll counts once, and series and rankings are whole."""

from __future__ import annotations

import asyncio
import time

import pytest

from tallycast.history.rollup import sections_of
from tallycast.store.base import OpenStore
from tallycast.store.history import DAY, HOUR, KEPT_S, MINUTE, MOST_RANKED, TOTAL, Asked, Rise

NOW_S = int(time.time())


async def series(store: OpenStore, name: str, step: int, first: int, last: int) -> dict[str, dict[int, int]]:
    return (await store.history.series([Asked(name, step, first, last)]))[0]


async def test_rises_are_added_once_however_often_they_are_sent(store: OpenStore) -> None:
    history = store.history
    assert await history.checkpoint() == ""
    rises = [Rise("a", HOUR, 500_000, "like", 3, ("*",)), Rise("*", HOUR, 500_000, "like", 3)]
    assert await history.roll("", "one", rises)
    assert await history.roll("", "one", rises)
    assert not await history.roll("", "two", rises)
    assert await history.checkpoint() == "one"
    assert await history.roll("one", "two", [Rise("a", HOUR, 500_000, "like", -1, ("*",))])
    assert await series(store, "a", HOUR, 499_000, 501_000) == {"like": {500_000: 2}}
    assert await series(store, "*", HOUR, 500_000, 500_000) == {"like": {500_000: 3}}
    assert await history.ranking("*", "like", HOUR, [500_000, 500_001], 9) == [("a", 2)]
    assert await history.ranking("*", "like", HOUR, [500_001], 9) == []


async def test_of_many_who_roll_the_same_at_once_one_does(store: OpenStore) -> None:
    done = await asyncio.gather(
        *(store.history.roll("", f"by {n}", [Rise("a", TOTAL, 0, "like", 1, ("*",))]) for n in range(20))
    )
    assert done.count(True) == 1
    assert await series(store, "a", TOTAL, 0, 0) == {"like": {0: 1}}


@pytest.mark.parametrize("step", [MINUTE, HOUR, DAY])
async def test_a_series_is_whole_wherever_it_begins_and_ends(store: OpenStore, step: int) -> None:
    now = NOW_S // step
    buckets = range(now - KEPT_S.get(step, 90 * DAY) // step + 1, now + 1, 7)
    rises = [Rise("a", step, bucket, kind, bucket % 5 + 1) for bucket in buckets for kind in ("like", "no-2_x")]
    assert await store.history.roll("", "1", rises)
    for first, last in ((buckets[0], now), (buckets[3] + 1, buckets[9]), (buckets[5], buckets[5]), (now + 1, now + 9)):
        expected = {bucket: bucket % 5 + 1 for bucket in buckets if first <= bucket <= last}
        assert await series(store, "a", step, first, last) == (
            {"like": expected, "no-2_x": expected} if expected else {}
        )
    assert await store.history.series(
        [Asked("b", step, 1, 2), Asked("a", step, now, now), Asked("a*", step, 1, 2)]
    ) == [
        {},
        await series(store, "a", step, now, now),
        {},
    ]


async def test_a_ranking_follows_the_numbers_up_and_down(store: OpenStore) -> None:
    day = NOW_S // DAY
    moves = [("a", 5), ("b", 3), ("c", 9), ("c", -9), ("d", -2), ("b", 4), ("d", 3), ("a", -5), ("a", 2)]
    for number, (item, n) in enumerate(moves):
        since = str(number or "")
        rise = Rise(item, DAY, day, "like", n, sections_of(item))
        assert await store.history.roll(since, str(number + 1), [rise])
    for limit in (1, 9):
        assert await store.history.ranking("*", "like", DAY, [day], limit) == [("b", 7), ("a", 2), ("d", 1)][:limit]
    assert await store.history.ranking("*", "love", DAY, [day], 9) == []
    assert await store.history.ranking("b*", "like", DAY, [day], 9) == []


async def test_a_ranking_of_several_buckets_adds_them_up(store: OpenStore) -> None:
    now = NOW_S // HOUR
    risen = {("a", now): 5, ("b", now): 3, ("b", now - 1): 4, ("c", now - 2): 6, ("a", now - 9): 100}
    rises = [Rise(item, HOUR, bucket, "like", n, ("*",)) for (item, bucket), n in risen.items()]
    assert await store.history.roll("", "1", rises)
    assert await store.history.ranking("*", "like", HOUR, range(now - 2, now + 1), 9) == [("b", 7), ("c", 6), ("a", 5)]
    assert await store.history.ranking("*", "like", HOUR, range(now - 2, now + 1), 1) == [("c", 6)]


async def test_a_ranking_keeps_the_first_and_whoever_comes_back_is_in_it_again(store: OpenStore) -> None:
    items = [(f"post:{n}", n + 1) for n in range(MOST_RANKED + 600)]
    for number in range(0, len(items), 200):
        rises = [Rise(item, TOTAL, 0, "like", n, ("*",)) for item, n in items[number : number + 200]]
        assert await store.history.roll(str(number or ""), str(number + 200), rises)
    while await store.history.sweep():
        pass
    ranked = await store.history.ranking("*", "like", TOTAL, [0], 10_000)
    assert MOST_RANKED <= len(ranked) <= MOST_RANKED + 500
    assert ranked == items[::-1][: len(ranked)]
    assert await store.history.roll(str(number + 200), "back", [Rise("post:3", TOTAL, 0, "like", 10**6, ("*",))])
    assert await store.history.ranking("*", "like", TOTAL, [0], 2) == [("post:3", 10**6 + 4), items[-1]]


async def test_what_is_too_old_goes_and_days_and_totals_stay(store: OpenStore) -> None:
    minutes, hours, days = NOW_S // MINUTE, NOW_S // HOUR, NOW_S // DAY
    old = [
        (MINUTE, minutes - 60 * 60),
        (HOUR, hours - 110 * 24),
        (HOUR, hours - 60),
        (DAY, days - 40),
        (DAY, days - 900),
    ]
    young = [(MINUTE, minutes - 47 * 60), (HOUR, hours - 40), (HOUR, hours - 89 * 24), (DAY, days - 34), (TOTAL, 0)]
    rises = [Rise("a", step, bucket, "like", 1, ("*",) if step != MINUTE else ()) for step, bucket in (*old, *young)]
    assert await store.history.roll("", "1", rises)
    while await store.history.sweep():
        pass

    async def buckets(step: int, first: int, last: int) -> list[int]:
        return list((await series(store, "a", step, first, last)).get("like", {}))

    assert await buckets(MINUTE, minutes - 100 * 60, minutes) == [minutes - 47 * 60]
    assert sorted(await buckets(HOUR, hours - 120 * 24, hours)) == [hours - 89 * 24, hours - 60, hours - 40]
    assert sorted(await buckets(DAY, days - 1000, days)) == [days - 900, days - 40, days - 34]
    assert await buckets(TOTAL, 0, 0) == [0]
    ranked = [(step, bucket) for step, bucket in (*old, *young) if step != MINUTE]
    found = [place for place in ranked if await store.history.ranking("*", "like", place[0], [place[1]], 1)]
    assert found == [(HOUR, hours - 40), (DAY, days - 34), (TOTAL, 0)]
