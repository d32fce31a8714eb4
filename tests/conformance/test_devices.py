"""Several connections of one person: what they say on one of them is told to the others, with `mine`."""

from __future__ import annotations

import httpx

from hubs import Hub
from talk import Frame, Talk, talking


async def told(talk: Talk, item: str, mine: dict[str, int]) -> Frame:
    """The next counts frame with these own values."""
    return await talk.until(
        lambda frame: frame["ev"] == "counts" and frame["item"] == item and frame.get("mine") == mine
    )


async def test_another_connection_of_the_same_actor_is_told_what_the_actor_says(
    hub: Hub, user: Talk, reader: Talk, item: str, actor: str
) -> None:
    async with talking(hub.live, hub.token(actor)) as second, talking(hub.live, hub.token(f"{actor}2")) as other:
        for talk in (user, second, other, reader):
            await talk.subscribe(item)
        ack = await user.react(item)
        frame = await told(second, item, {"like": 1})
        assert frame == {"ev": "counts", "item": item, "v": ack["v"], "counts": {"like": 1}, "mine": {"like": 1}}
        back = await second.react(item, "dislike")
        frame = await told(user, item, {"dislike": 1})
        assert (frame["v"], frame["counts"]) == (back["v"], {"dislike": 1})
        gone = await user.react(item, "dislike", 0)
        frame = await told(second, item, {})
        assert (frame["v"], frame["counts"]) == (gone["v"], {})
        for talk in (other, reader):
            await talk.counts(item, lambda counts: counts == {})
            assert all("mine" not in frame for frame in talk.frames if frame["ev"] == "counts")


async def test_who_asked_is_answered_by_the_ack_alone(hub: Hub, user: Talk, item: str, actor: str) -> None:
    async with talking(hub.live, hub.token(actor)) as second:
        await user.subscribe(item)
        await second.subscribe(item)
        await user.react(item)
        await told(second, item, {"like": 1})
        await user.came_meanwhile()
        assert [frame["ev"] for frame in user.frames if "mine" in frame] == ["ack"]
        assert [frame["ev"] for frame in second.frames if frame["ev"] == "ack"] == []


async def test_a_reaction_over_http_is_told_to_the_actors_connections(
    hub: Hub, user: Talk, web: httpx.AsyncClient, item: str, actor: str
) -> None:
    await user.subscribe(item)
    answer = await web.post(
        "/v1/reactions",
        json={"item": item, "kind": "like", "value": 1},
        headers={"Authorization": f"Bearer {hub.token(actor)}"},
    )
    assert answer.status_code == 200
    frame = await told(user, item, {"like": 1})
    assert frame["v"] == answer.json()["v"]


async def test_who_wants_to_know_how_many_watch_is_told_that_as_well(
    hub: Hub, user: Talk, item: str, actor: str
) -> None:
    async with talking(hub.live, hub.token(actor)) as second:
        await user.subscribe(item)
        await second.ok("subscribe", items=[item], viewers=True)
        await user.react(item)
        assert "viewers" in await told(second, item, {"like": 1})


async def test_only_connections_that_watch_the_item_and_still_are_the_actors_are_told(
    hub: Hub, user: Talk, item: str, actor: str
) -> None:
    async with talking(hub.live, hub.token(actor)) as left, talking(hub.live, hub.token(actor)) as became:
        for talk in (left, became):
            await talk.subscribe(item)
        await left.ok("unsubscribe", items=[item])
        await became.ok("auth", token=hub.token(f"{actor}2"))
        async with talking(hub.live, hub.token(actor)) as stays:
            await stays.subscribe(item)
            await user.react(item)
            await told(stays, item, {"like": 1})
        for talk in (left, became):
            await talk.came_meanwhile()
            assert all("mine" not in frame for frame in talk.frames if frame["ev"] == "counts")


async def test_the_second_connection_ends_at_the_newest_of_many(hub: Hub, user: Talk, item: str, actor: str) -> None:
    async with talking(hub.live, hub.token(actor)) as second:
        await second.subscribe(item)
        before = len(second.frames)
        for claps in range(1, 31):
            await user.send({"op": "react", "ref": claps, "item": item, "kind": "clap", "value": claps})
        await told(second, item, {"clap": 30})
        versions = [frame["v"] for frame in second.frames[before:] if frame["ev"] == "counts"]
        assert versions == sorted(versions)
        await user.came_meanwhile()  # the acks: websockets closes late what nobody reads
