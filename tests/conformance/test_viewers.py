"""viewers: how many watch an item, told to those who want to know."""

from __future__ import annotations

import httpx
import pytest

from hubs import Hub
from stream import streaming
from talk import Frame, Talk, talking
from web import check_problem


async def told(talk: Talk, item: str, viewers: int) -> Frame:
    """The next frame that says that so many watch the item."""
    return await talk.until(
        lambda frame: frame["ev"] == "counts" and frame["item"] == item and frame.get("viewers") == viewers
    )


async def ask(talk: Talk, *items: str, viewers: object = True) -> list[Frame]:
    """The snapshot's entries."""
    entries: list[Frame] = (await talk.ok("subscribe", items=list(items), viewers=viewers))["items"]
    return entries


async def test_the_snapshot_counts_everybody_who_watches_the_asker_too(
    hub: Hub, reader: Talk, user: Talk, item: str
) -> None:
    await user.subscribe(item)
    entries = await ask(reader, item)
    assert entries == [{"item": item, "v": 0, "counts": {}, "viewers": 2}]


async def test_who_did_not_ask_is_not_told(hub: Hub, reader: Talk, user: Talk, item: str) -> None:
    await ask(reader, item)
    entries = await user.subscribe(item)
    assert "viewers" not in entries[0]
    await told(reader, item, 2)
    ack = await user.react(item)
    assert "viewers" not in ack
    frame = await user.counts(item, lambda counts: counts == {"like": 1})
    assert "viewers" not in frame
    frame = await reader.counts(item, lambda counts: counts == {"like": 1})
    assert frame["viewers"] == 2


async def test_those_who_come_and_go_are_told_of_with_the_counts_as_they_stand(
    hub: Hub, reader: Talk, user: Talk, item: str
) -> None:
    ack = await user.react(item)
    await ask(reader, item)
    async with talking(hub.live) as third:
        await third.subscribe(item)
        frame = await told(reader, item, 2)
        assert frame == {"ev": "counts", "item": item, "v": ack["v"], "counts": {"like": 1}, "viewers": 2}
    await told(reader, item, 1)
    await user.subscribe(item)
    await told(reader, item, 2)
    await user.ok("unsubscribe", items=[item])
    await told(reader, item, 1)


async def test_the_newest_subscription_to_an_item_decides(hub: Hub, reader: Talk, user: Talk, item: str) -> None:
    other = item + ":other"
    await ask(reader, item, other)
    entries = await reader.subscribe(item)
    assert "viewers" not in entries[0]
    await user.subscribe(item, other)
    await told(reader, other, 2)
    ack = await user.react(item)
    frame = await reader.until(lambda frame: frame.get("v") == ack["v"])
    assert "viewers" not in frame
    entries = await ask(reader, item)
    assert entries[0]["viewers"] == 2


async def test_a_viewer_counts_once_however_often_it_subscribes(hub: Hub, reader: Talk, item: str) -> None:
    await reader.subscribe(item)
    await ask(reader, item)
    entries = await ask(reader, item)
    assert entries[0]["viewers"] == 1


async def test_an_actor_sees_its_own_values_beside_the_viewers(hub: Hub, user: Talk, item: str) -> None:
    await user.react(item)
    entries = await ask(user, item)
    assert entries[0]["viewers"] == 1
    assert entries[0]["mine"] == {"like": 1}


@pytest.mark.parametrize("viewers", [1, "true", None, []])
async def test_a_wish_that_is_no_boolean_is_refused(hub: Hub, reader: Talk, item: str, viewers: object) -> None:
    answer = await reader.ask("subscribe", items=[item], viewers=viewers)
    assert answer["code"] == "bad_request"
    assert "viewers" in answer["message"]


async def test_a_stream_of_events_counts_as_a_viewer_and_may_ask_too(
    hub: Hub, reader: Talk, web: httpx.AsyncClient, item: str
) -> None:
    async with streaming(web, item, viewers="true") as stream:
        first = (await stream.counts()).data
        assert first == {"ev": "counts", "item": item, "v": 0, "counts": {}, "viewers": 1}
        entries = await ask(reader, item)
        assert entries[0]["viewers"] == 1 or (await told(reader, item, 2))
        while (event := await stream.counts()).data["viewers"] != 2:
            pass
        assert event.id == "0"
    if reader.frames[-1].get("viewers") != 1:
        await told(reader, item, 1)


async def test_a_stream_with_a_wish_that_is_no_boolean_is_refused(web: httpx.AsyncClient, item: str) -> None:
    answer = await web.get("/v1/events", params={"item": item, "viewers": "yes"})
    check_problem(answer, 400, "bad_request")
