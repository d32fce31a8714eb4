"""Alerts judged by what really happened: each fires once, whoever judges, whatever dies and whatever clocks say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from alerting import KINDS, Hub, alerting, another
from tallycast.alerts import firings, watcher
from tallycast.errors import Unavailable
from tallycast.history.queries import Pace, Queries
from tallycast.history.roller import Roller
from tallycast.lease import Lease

HOUR_S = 3600.0


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with alerting(tmp_path) as hub:
        yield hub


async def fired(hub: Hub) -> list[tuple[str, Any]]:
    """Item and mark of all that fired, the oldest first."""
    return [(one.item, one.data.get("mark")) for one in reversed(await hub.alerts.firings("", 1000))]


# Counts


async def test_each_item_fires_once_at_each_mark(hub: Hub) -> None:
    await hub.alert(name="Milestones", rule="count", target="post:*", kind="like", marks=[3, 5])
    await hub.react("post:1", 2)
    await hub.react("page:1", 9)
    assert await hub.watch() == []
    await hub.react("post:1", 4)
    assert await hub.watch() == ["Milestones: post:1 has reached 3 (like), and has 4 now"]
    await hub.react("post:1", 4, value=0)
    await hub.react("post:1", 4)
    await hub.react("post:2", 7)
    assert await hub.watch() == [
        "Milestones: post:2 has reached 3 (like), and has 7 now",
        "Milestones: post:2 has reached 5 (like), and has 7 now",
    ]
    await hub.react("post:1", 9)
    assert await hub.watch() == ["Milestones: post:1 has reached 5 (like), and has 9 now"]
    assert hub.fired == ["count"] * 4


async def test_what_was_before_an_alert_was_made_does_not_fire(hub: Hub) -> None:
    await hub.react("post:1", 5)
    hub.clock.spend(1)
    await hub.alert(rule="count", target="post:*", kind="like", marks=[3, 6])
    await hub.react("post:1", 1, first=10)
    assert await hub.watch() == ["An alert: post:1 has reached 6 (like), and has 6 now"]
    await hub.react("post:1", 6, value=0)
    assert await hub.watch() == []


async def test_an_alert_that_was_made_when_there_were_none_misses_nothing(hub: Hub) -> None:
    for n in range(3):
        await hub.react("post:1", 1, first=n)
        assert await hub.watch() == []
    await hub.alert(rule="count", target="post:1", kind="like", marks=[4])
    await hub.react("post:1", 4)
    assert len(await hub.watch()) == 1


async def test_an_alert_that_is_off_tells_nothing(hub: Hub) -> None:
    alert = await hub.alert(rule="count", target="*", kind="like", marks=[1])
    await hub.alerts.change_alert(alert, {"enabled": False}, "")
    await hub.react("post:1", 1)
    assert await hub.watch() == []
    await hub.alerts.change_alert(hub.alerts.alert(alert.id, ""), {"enabled": True}, "")
    await hub.react("post:1", 1, first=1)
    await hub.react("post:2", 1)
    assert await hub.watch() == ["An alert: post:2 has reached 1 (like), and has 1 now"]


async def test_a_large_import_is_not_as_many_messages(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "MOST_AT_ONCE", 3)
    await hub.alert(rule="count", target="*", kind="like", marks=[1])
    for n in range(5):
        await hub.react(f"post:{n}", 1)
    assert len(await hub.watch()) == 3


async def test_firings_of_alerts_that_are_gone_are_forgotten_and_others_up_to_a_bound(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firings, "MOST_FIRINGS", 4)
    gone = await hub.alert(rule="count", target="page:*", kind="like", marks=[1])
    await hub.alert(rule="count", target="post:*", kind="like", marks=[1])
    for n in range(6):
        await hub.react(f"post:{n}", 1)
        await hub.react(f"page:{n}", 1)
        await hub.watch()
    await hub.alerts.remove_alert(gone)
    await hub.watch(HOUR_S)
    assert await fired(hub) == [(f"post:{n}", 1) for n in (2, 3, 4, 5)]


@pytest.mark.parametrize("seed", range(5))
async def test_marks_are_found_exactly_while_reactions_come_and_watchers_die(hub: Hub, seed: int) -> None:
    """Actors press and release; each mark that a count passes upwards must fire once, and no other."""
    rng = Random(seed)
    marks = [3, 7, 12]
    await hub.alert(rule="count", target="post:*", kind="like", marks=marks)
    items = [f"post:{n}" for n in range(4)]
    counts = dict.fromkeys(items, 0)
    said: set[tuple[str, int]] = set()
    due: set[tuple[str, int]] = set()

    async def press(times: int) -> None:
        for _ in range(times):
            item, actor = rng.choice(items), rng.randrange(20)
            value = int(rng.random() < 0.7)
            change = value - ((item, actor) in said)
            (said.add if value else said.discard)((item, actor))
            await hub.react(item, 1, value=value, first=actor)
            due.update((item, mark) for mark in marks if counts[item] < mark <= counts[item] + change)
            counts[item] += change

    read = hub.store.read
    watching = [hub, another(hub), another(hub, "hub 3")]

    for turn in range(12):
        await press(rng.randrange(8))

        async def late(*asked: Any) -> Any:
            await press(rng.randrange(4))  # between the journal and the counts
            if rng.random() < 0.2:
                raise Unavailable("a store that fails now and then")
            found = await read(*asked)
            await press(rng.randrange(4))  # and after them
            return found

        one = watching[turn % 3]
        one.alerts.watcher._read = late
        hub.clock.spend(11)  # so that each has the lease when it is its turn
        try:
            await one.alerts.watcher.round()
            hub.clock.spend(11)
            await one.alerts.watcher.round()
        except Unavailable:
            pass
    hub.alerts.watcher._read = read
    await hub.watch(11)
    await hub.watch(11)
    found = await fired(hub)
    assert len(found) == len(set(found))
    assert set(found) == due


async def test_what_was_begun_by_a_hub_that_died_is_finished_by_the_next(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = await hub.webhook("http://127.0.0.1:9/")
    await hub.alert(rule="count", target="*", kind="like", marks=[1], webhooks=[hook.id])
    await hub.react("post:1", 1)
    records = hub.store.records
    put = records.put

    async def dying(space: str, *rest: Any) -> bool:
        if space == "deliveries":
            raise Unavailable("kill -9")
        return await put(space, *rest)

    monkeypatch.setattr(records, "put", dying)
    with pytest.raises(Unavailable):
        await hub.watch()
    assert await hub.alerts.deliveries("", 10) == []
    monkeypatch.undo()
    other = another(hub)
    assert await other.watch() == []  # the lease is the dead one's
    await other.watch(11)
    (delivery,) = await hub.alerts.deliveries("", 10)
    (firing,) = await hub.alerts.firings("", 10)
    assert (delivery.id, delivery.webhook, firing.pending) == (firing.id, hook.id, False)


async def test_only_one_of_many_hubs_judges(hub: Hub) -> None:
    await hub.alert(rule="count", target="*", kind="like", marks=[1])
    hubs = [hub, *(another(hub, f"hub {n}") for n in range(2, 5))]
    await hub.react("post:1", 1)
    await asyncio.gather(*(one.alerts.watcher.round() for one in hubs))
    await asyncio.gather(*(one.alerts.watcher.round() for one in hubs))
    assert sum(len(one.fired) for one in hubs) == 1


# Ratios


async def test_a_ratio_fires_when_it_is_surely_low_and_again_only_after_it_was_high(hub: Hub) -> None:
    await hub.alert(name="Row", rule="ratio", target="post:*", below=0.5, minimum=10, quiet_s=600)
    await hub.react("post:1", 9, kind="dislike")
    assert await hub.watch() == []
    await hub.react("post:1", 1, kind="like", first=50)
    assert await hub.watch() == ["Row: 10% of the 10 votes on post:1 are like (1 like, 9 dislike), below 50%"]
    await hub.react("post:1", 5, kind="dislike", first=20)
    assert await hub.watch() == []
    await hub.react("post:1", 40, kind="like", first=100)
    assert await hub.watch() == []
    await hub.react("post:1", 200, kind="dislike", first=300)
    assert await hub.watch() == []  # it has just fired
    await hub.react("post:1", 1, kind="dislike", first=900)
    assert await hub.watch(600) == ["Row: 16% of the 256 votes on post:1 are like (41 like, 215 dislike), below 50%"]


# Rates


async def test_a_rate_fires_far_above_what_is_usual_once_until_it_has_calmed_down(hub: Hub) -> None:
    await hub.alert(name="Rush", rule="rate", target="post:*", kind="like", factor=5, minimum=20, quiet_s=600)

    async def rate(n: int, usual: float, seconds: float = 10.0) -> list[str]:
        hub.paces["post:*"] = Pace(n, usual)
        return await hub.watch(seconds)

    assert await rate(19, 0.0) == []
    assert await rate(99, 20.0) == []
    assert await rate(100, 20.0) == ["Rush: post:* got 100 (like) in 10 min, where 20.0 is usual"]
    assert await rate(150, 20.0) == []
    assert await rate(80, 20.0) == []
    assert await rate(100, 20.0, HOUR_S) == []  # never calm
    assert await rate(10, 20.0) == []
    assert len(await rate(100, 20.0)) == 1
    assert await rate(10, 20.0) == []
    assert await rate(100, 20.0) == []  # too soon
    assert len(await rate(100, 20.0, 600)) == 1


async def test_a_rate_is_judged_by_what_history_has(hub: Hub) -> None:
    store = hub.store
    wall_s, ticks_s = (lambda: hub.clock.wall_s), (lambda: hub.clock.ticks_s)
    lease = Lease(store.records, "history", owner="hub 1", ttl_s=HOUR_S * 2, clock_s=ticks_s)
    roller = Roller(store.history, store.journal, store.moderation, lease, KINDS, clock_s=wall_s)
    hub.alerts.watcher._paces = Queries(store.history, clock_s=wall_s).paces
    await hub.alert(name="Rush", rule="rate", target="post:*", kind="like", factor=5, minimum=20)
    for hour in range(10):  # 19 an hour, 3 in ten minutes
        await hub.react(f"post:{hour}", 19)
        await roller.round()
        assert await hub.watch(HOUR_S) == []
    await hub.react("post:0", 100, first=100)
    await roller.round()
    (text,) = await hub.watch(10)
    assert text.startswith("Rush: post:* got 100 (like) in 10 min, where 3.")


# Silence


async def test_a_silence_fires_once_until_something_moves(hub: Hub) -> None:
    await hub.alert(name="Dead", rule="silence", target="post:*", for_s=3600)
    assert await hub.watch() == []
    for _ in range(10):
        assert await hub.watch(350) == []
        await hub.react("page:1", 1)
    assert len(await hub.watch(350)) == 1
    assert await hub.watch(HOUR_S * 5) == []
    await hub.react("post:1", 1)
    assert await hub.watch() == []
    assert await hub.watch(3590) == []
    (text,) = await hub.watch(20)
    assert text.startswith("Dead: nothing has moved under post:* since ")


async def test_while_no_hub_ran_no_silence_is_the_items_own(hub: Hub) -> None:
    await hub.alert(rule="silence", target="*", for_s=3600)
    await hub.react("post:1", 1)
    assert await hub.watch() == []
    assert await hub.watch(40) == []
    hub.clock.spend(20 * HOUR_S)
    other = another(hub)
    assert await other.watch() == []  # sees whose the lease is
    assert await other.watch(11) == []
    for _ in range(35):
        assert await other.watch(100) == []
    assert len(await other.watch(200)) == 1


async def test_a_silence_that_is_turned_on_has_not_lasted_while_it_was_off(hub: Hub) -> None:
    alert = await hub.alert(rule="silence", target="*", for_s=3600)
    await hub.alerts.change_alert(alert, {"enabled": False}, "")
    assert await hub.watch(5 * HOUR_S) == []
    await hub.react("post:1", 1)
    assert await hub.watch() == []
    await hub.alerts.change_alert(hub.alerts.alert(alert.id, ""), {"enabled": True}, "")
    assert await hub.watch(3500) == []
    assert len(await hub.watch(200)) == 1


# Clocks


@pytest.mark.parametrize("jumps", [[7200.0], [-7200.0], [7200.0, -7200.0], [-7200.0, 7200.0]])
async def test_a_clock_that_jumps_fires_nothing_twice(hub: Hub, jumps: Sequence[float]) -> None:
    await hub.alert(rule="silence", target="*", for_s=3600)
    await hub.alert(rule="rate", target="*", kind="like", minutes=10, quiet_s=0)
    await hub.alert(rule="count", target="*", kind="like", marks=[1])
    await hub.react("post:1", 1)
    hub.paces["*"] = Pace(100, 1.0)
    assert len(await hub.watch()) == 2
    assert len(await hub.watch(3601)) == 1
    for jump in jumps:
        hub.clock.wall_s += jump
        hub.paces["*"] = Pace(0, 1.0)  # the minutes that a wrong clock looks at
        assert await hub.watch(11) == []
        hub.clock.wall_s -= jump
        hub.paces["*"] = Pace(100, 1.0)
        assert await hub.watch(11) == []
        hub.clock.wall_s += jump
        assert await hub.watch(11) == []
    for _ in range(100):
        assert await hub.watch(100) == []


async def test_a_clock_that_was_set_ahead_makes_no_silence(hub: Hub) -> None:
    await hub.alert(rule="silence", target="*", for_s=3600)
    assert await hub.watch() == []
    hub.clock.wall_s += 100 * HOUR_S
    assert await hub.watch() == []
    assert await hub.watch(3500) == []
    assert len(await hub.watch(200)) == 1


async def test_an_alert_that_was_made_by_a_clock_ahead_hears_what_follows(hub: Hub) -> None:
    hub.clock.wall_s += HOUR_S
    await hub.alert(rule="count", target="*", kind="like", marks=[1])
    hub.clock.wall_s -= HOUR_S
    await hub.react("post:1", 1)
    assert len(await hub.watch()) == 1
