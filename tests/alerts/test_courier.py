"""Deliveries: retried for a day, given up, shown and sent again; one hub at a time and no target in another's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from alerting import Hub, alerting, another
from tallycast.alerts import courier
from tallycast.alerts.deliveries import DELAYS_S, delay_s
from tallycast.alerts.firings import Event
from tallycast.errors import Refused
from webhook_target import HANG, Target, serving

DAY_S = 86_400


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with alerting(tmp_path) as hub:
        yield hub


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    async with serving() as target:
        yield target


async def fire(hub: Hub, *webhooks: str, times: int = 1) -> None:
    """An alert that fires for so many items."""
    alert = await hub.alert(rule="count", target="*", kind="like", marks=[1], webhooks=list(webhooks))
    for n in range(times):
        event = Event(f"post:{n}", f"post:{n} has 1", {"count": 1})
        assert await hub.alerts.watcher._firings.fire(f"{alert.id}:post:{n}:1", alert, event)


async def states(hub: Hub) -> list[tuple[str, int]]:
    return [(one.state, one.attempts) for one in await hub.alerts.deliveries("", 1000)]


async def test_what_fired_is_delivered_once_and_shown(hub: Hub, target: Target) -> None:
    webhook = await hub.webhook(target.url())
    await fire(hub, webhook.id)
    assert await hub.deliver() == ["delivered"]
    assert await hub.deliver() == []
    (got,) = target.got
    (delivery,) = await hub.alerts.deliveries("", 10)
    assert delivery.public() == {
        "id": f"{got.id}.{webhook.id}",
        "webhook": webhook.id,
        "alert": delivery.alert,
        "text": "post:0 has 1",
        "state": "delivered",
        "attempts": 1,
        "status": 204,
        "error": "",
        "at": delivery.made_at,
        "next_at": None,
    }
    assert got.json["type"] == "alert.count"
    assert got.json["data"] == {
        "text": "post:0 has 1",
        "item": "post:0",
        "alert": {"id": delivery.alert, "name": "An alert", "rule": "count", "target": "*"},
        "count": 1,
    }


async def test_what_fails_is_tried_again_for_a_day_and_then_lies_with_the_dead_letters(
    hub: Hub, target: Target
) -> None:
    target.status = 500
    webhook = await hub.webhook(target.url())
    await fire(hub, webhook.id)
    began_s = hub.clock.wall_s
    assert await hub.deliver(0) == ["failed"]
    for wait_s in DELAYS_S:
        assert await hub.deliver(wait_s * 0.89) == []
        hub.clock.spend(wait_s * 0.22 - 1)
        ended = await hub.deliver()
        assert ended == ["dead" if wait_s is DELAYS_S[-1] else "failed"]
    assert 0.9 * DAY_S < hub.clock.wall_s - began_s < 1.2 * DAY_S
    assert await hub.deliver(10 * DAY_S) == []
    assert len(set(target.ids)) == 1
    assert len(target.got) == len(DELAYS_S) + 1
    assert len({got.headers["webhook-timestamp"] for got in target.got}) == len(target.got)
    assert len({got.body for got in target.got}) == 1
    ((entry, dead),), cursor = await hub.alerts.dead_letters("", "", 10)
    assert cursor == ""
    assert (dead.state, dead.attempts, dead.status, dead.error) == ("dead", len(DELAYS_S) + 1, 500, "answered 500")

    target.status = 204
    await hub.alerts.redeliver(entry, "")
    with pytest.raises(Refused, match="in the queue already"):
        await hub.alerts.redeliver(entry, "")
    assert await hub.deliver() == ["delivered"]
    assert len(set(target.ids)) == 1
    with pytest.raises(Refused, match="no such dead letter"):
        await hub.alerts.redeliver("12345", "")


def test_the_waits_are_spread_and_as_long_as_a_busy_target_asks_for() -> None:
    waits = [delay_s(1, Random(n)) or 0.0 for n in range(100)]
    assert 4.5 <= min(waits) < 4.7 < 5.3 < max(waits) <= 5.5
    assert delay_s(1, Random(1), 60.0) == 60.0
    assert delay_s(1, Random(1), 1e9) == DAY_S
    assert delay_s(len(DELAYS_S) + 1, Random(1)) is None
    assert sum(DELAYS_S) == pytest.approx(DAY_S, rel=0.1)


async def test_a_target_that_is_gone_is_disabled_and_gets_nothing_more(hub: Hub, target: Target) -> None:
    target.status = 410
    webhook = await hub.webhook(target.url())
    await fire(hub, webhook.id, times=2)
    assert await hub.deliver() == ["dead", "dead"]
    assert len(target.got) == 1
    shown = hub.alerts.webhook(webhook.id, "").public()
    assert (shown["enabled"], shown["disabled_because"]) == (False, "it answered 410 Gone")
    letters, _ = await hub.alerts.dead_letters("", "", 10)
    assert [dead.error for _, dead in letters] == ["the webhook is disabled", "answered 410"]

    target.status = 204
    again = await hub.alerts.change_webhook(hub.alerts.webhook(webhook.id, ""), {"enabled": True})
    assert (again.enabled, again.disabled_because) == (True, "")
    for entry, _ in letters:
        await hub.alerts.redeliver(entry, "")
    assert await hub.deliver() == ["delivered", "delivered"]


async def test_a_target_that_hangs_holds_up_no_other_and_gets_one_at_a_time(hub: Hub, target: Target) -> None:
    async with serving() as stuck:
        stuck.status = HANG
        hanging = await hub.webhook(stuck.url())
        well = await hub.webhook(target.url())
        await fire(hub, hanging.id, well.id, times=3)
        await hub.alerts.courier.round()
        await target.until(lambda: len(target.got) == 3)
        await stuck.until(lambda: stuck.open == 1)
        await fire(hub, well.id)
        while len(target.got) < 4:
            await hub.alerts.courier.round()
            await target.until(lambda: target.open == 0)
        assert (stuck.most_open, len(stuck.got)) == (1, 1)
        assert target.most_open == 1
        await hub.alerts.courier.stop()
        await stuck.until(lambda: stuck.hung_up == 1)


async def test_another_hub_goes_on_with_what_one_left(hub: Hub, target: Target) -> None:
    target.status = 503
    webhook = await hub.webhook(target.url())
    await fire(hub, webhook.id)
    assert await hub.deliver() == ["failed"]
    other = another(hub)
    target.status = 204
    assert await other.deliver(4) == []
    assert await other.deliver(6) == ["delivered"]
    assert await hub.deliver() == []
    assert len(set(target.ids)) == 1
    assert await states(hub) == [("delivered", 2)]


async def test_who_lost_the_lease_breaks_off_and_changes_nothing(hub: Hub, target: Target) -> None:
    target.status = HANG
    webhook = await hub.webhook(target.url())
    await fire(hub, webhook.id)
    await hub.alerts.courier.round()
    await target.until(lambda: target.open == 1)
    other = another(hub)
    await other.deliver(0)
    target.answer = lambda _path: 204
    assert await other.deliver(11) == ["delivered"]
    assert await hub.deliver() == []
    await target.until(lambda: target.hung_up == 1)
    assert await states(hub) == [("delivered", 1)]


async def test_a_queue_that_is_read_while_an_attempt_ends_sends_nothing_twice(
    hub: Hub, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = await hub.webhook(target.url())
    await fire(hub, webhook.id)
    target.hold()
    await hub.alerts.courier.round()
    await target.until(lambda: target.open == 1)
    await fire(hub, webhook.id)

    records, read, go_on = hub.store.records, asyncio.Event(), asyncio.Event()
    all_ = records.all

    async def slow(space: str) -> dict[str, bytes]:
        found = await all_(space)
        read.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(records, "all", slow)
    round_ = asyncio.create_task(hub.alerts.courier.round())
    await read.wait()  # the first as one that waits
    target.let_go()
    done, _ = await asyncio.wait({asyncio.create_task(hub.alerts.courier.settled())}, timeout=0.3)
    assert not done  # its end is not written before the queue is
    go_on.set()
    await round_
    await hub.alerts.courier.settled()
    await hub.deliver()
    await hub.deliver()
    assert await states(hub) == [("delivered", 1)] * 2
    assert len(target.got) == 2


async def test_a_webhook_that_is_deleted_takes_what_waits_for_it_along(hub: Hub, target: Target) -> None:
    target.status = 500
    webhook = await hub.webhook(target.url())
    await fire(hub, webhook.id)
    assert await hub.deliver() == ["failed"]
    await hub.alerts.remove_webhook(webhook)
    assert hub.alerts.alerts("")[0].webhooks == ()
    assert await hub.deliver(6) == []
    assert await states(hub) == []
    assert await hub.alerts.dead_letters("", "", 10) == ([], "")


async def test_what_is_too_much_for_one_target_goes_to_the_dead_letters_at_once(
    hub: Hub, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "MOST_WAITING", 5)
    target.status = 500
    webhook = await hub.webhook(target.url())
    await fire(hub, webhook.id, times=8)
    assert sorted(await hub.deliver()) == ["dead"] * 3 + ["failed"] * 5
    letters, cursor = await hub.alerts.dead_letters("", "", 2)
    assert cursor == letters[-1][0]
    more, end = await hub.alerts.dead_letters("", cursor, 2)
    assert (len(letters), len(more), end) == (2, 1, "")
    assert {dead.error for _, dead in letters + more} == {"5 others wait for this webhook"}


async def test_what_has_ended_is_kept_up_to_a_bound(hub: Hub, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "MOST_DONE", 5)
    webhook = await hub.webhook(target.url())
    for _ in range(3):
        await fire(hub, webhook.id, times=4)
        await hub.deliver()
    await hub.deliver()
    assert len(target.got) == len(set(target.ids)) == 12
    assert await states(hub) == [("delivered", 1)] * 5


async def test_a_clock_that_went_wrong_holds_nothing_back(hub: Hub, target: Target) -> None:
    target.status = 500
    webhook = await hub.webhook(target.url())
    hub.clock.wall_s += 365 * DAY_S
    await fire(hub, webhook.id)
    assert await hub.deliver() == ["failed"]
    hub.clock.wall_s -= 365 * DAY_S
    assert await hub.deliver() == ["failed"]


async def test_a_test_says_what_the_target_answered(hub: Hub, target: Target) -> None:
    webhook = await hub.webhook(target.url())
    assert (await hub.alerts.test_webhook(webhook)).ok
    assert target.got[0].json["type"] == "test"
    assert "A hook" in target.got[0].json["data"]["text"]
    target.status = 404
    assert (await hub.alerts.test_webhook(webhook)).error == "answered 404"
    assert await states(hub) == []
