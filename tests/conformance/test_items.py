"""subscribe, unsubscribe, snapshots; ping; refs."""

from __future__ import annotations

import string
from uuid import uuid4

import pytest

from hubs import Hub
from talk import Talk, talking

ITEM_CHARACTERS = string.ascii_letters + string.digits + "._~:/@%+=,-"
MAX_REF = 2**53 - 1


async def test_an_item_that_nobody_reacted_to_has_version_0_and_no_counts(reader: Talk, item: str) -> None:
    answer = await reader.ok("subscribe", items=[item])
    assert answer == {"ev": "snapshot", "ref": answer["ref"], "items": [{"item": item, "v": 0, "counts": {}}]}


async def test_keys_come_in_the_order_that_the_protocol_shows(user: Talk, item: str) -> None:
    snapshot = await user.ok("subscribe", items=[item])
    assert list(snapshot) == ["ev", "ref", "items"]
    assert list(snapshot["items"][0])[0] == "item"
    ack = await user.react(item)
    assert list(ack)[0] == "ev"
    assert list(ack)[1] in ("ref", "item")
    counts = next((f for f in user.frames if f["ev"] == "counts"), None) or await user.counts(item, bool)
    assert list(counts)[:2] == ["ev", "item"]
    error = await user.ask("react", item=item, kind="nonsense", value=1)
    assert list(error)[0] == "ev"
    assert list(await user.ok("ping"))[0] == "ev"


async def test_a_snapshot_holds_every_item_in_the_order_asked_for(reader: Talk, item: str) -> None:
    items = [f"{item}:{n}" for n in (3, 1, 2)]
    assert [entry["item"] for entry in await reader.subscribe(*items)] == items


async def test_a_snapshot_holds_counts_and_mine_as_they_stand(hub: Hub, user: Talk, item: str) -> None:
    await user.react(item, "like")
    ack = await user.react(item, "clap", 7)
    assert await user.subscribe(item) == [
        {"item": item, "v": ack["v"], "counts": {"like": 1, "clap": 7}, "mine": {"like": 1, "clap": 7}}
    ]
    async with talking(hub.live) as reader:
        assert await reader.subscribe(item) == [{"item": item, "v": ack["v"], "counts": {"like": 1, "clap": 7}}]
    async with talking(hub.live, hub.token("u:somebody-else")) as other:
        assert (await other.subscribe(item))[0]["mine"] == {}


async def test_subscribing_again_answers_again_and_doubles_nothing(reader: Talk, user: Talk, item: str) -> None:
    for _ in range(3):
        assert (await reader.subscribe(item))[0]["v"] == 0
    ack = await user.react(item)
    await reader.counts(item, lambda counts: counts == {"like": 1})
    assert await reader.came_meanwhile() == []
    assert (await reader.subscribe(item))[0]["v"] == ack["v"]


async def test_after_unsubscribe_no_counts_come(reader: Talk, user: Talk, item: str) -> None:
    kept, left = f"{item}:kept", f"{item}:left"
    await reader.subscribe(kept, left)
    answer = await reader.ok("unsubscribe", items=[left])
    assert answer == {"ev": "ok", "ref": answer["ref"]}
    await user.react(left)
    await user.react(kept)
    await reader.counts(kept, bool)
    assert [frame for frame in reader.frames if frame.get("item") == left] == []


async def test_unsubscribing_what_was_never_watched_is_ok(reader: Talk, item: str) -> None:
    assert (await reader.ask("unsubscribe", items=[item]))["ev"] == "ok"
    await reader.subscribe(item)
    assert (await reader.ask("unsubscribe", items=[item]))["ev"] == "ok"
    assert (await reader.ask("unsubscribe", items=[item]))["ev"] == "ok"


@pytest.mark.parametrize("length", [1, 200])
async def test_ids_of_1_and_of_200_characters_are_items(user: Talk, length: int) -> None:
    item = (uuid4().hex * 7)[:length]
    assert (await user.subscribe(item))[0]["item"] == item
    assert (await user.react(item, "clap", 1))["item"] == item


async def test_every_character_of_the_alphabet_is_good_in_an_id(user: Talk, item: str) -> None:
    item = item + ITEM_CHARACTERS
    assert (await user.react(item))["item"] == item
    assert (await user.subscribe(item))[0]["counts"] == {"like": 1}


@pytest.mark.parametrize(
    "wrong", ["", "x" * 201, "a b", "a\n", "a\x00", "é", "a?b", "a&b", "a#b", "a*", "a|b", "<a>", 'a"b', "a\\b", "日本"]
)
@pytest.mark.parametrize("op", ["subscribe", "unsubscribe", "react"])
async def test_an_id_outside_the_alphabet_or_its_length_is_a_bad_item(user: Talk, op: str, wrong: str) -> None:
    fields: dict[str, object] = {"item": wrong, "kind": "like", "value": 1} if op == "react" else {"items": [wrong]}
    assert (await user.ask(op, **fields))["code"] == "bad_item"
    await user.ok("ping")


async def test_one_bad_item_among_good_ones_subscribes_none(reader: Talk, user: Talk, item: str) -> None:
    assert (await reader.ask("subscribe", items=[item, "not an item"]))["code"] == "bad_item"
    await user.react(item)
    await user.subscribe(item)
    assert await reader.came_meanwhile() == []


async def test_more_than_200_items_are_too_many_and_the_200_stay(reader: Talk, user: Talk) -> None:
    stem = uuid4().hex[:6]
    items = [f"{stem}{n}" for n in range(201)]
    assert (await reader.ask("subscribe", items=items))["code"] == "too_many_items"
    await reader.subscribe(*items[:150])
    assert (await reader.ask("subscribe", items=items[150:]))["code"] == "too_many_items"
    await reader.subscribe(*items[150:200])
    assert (await reader.ask("subscribe", items=[items[200]]))["code"] == "too_many_items"
    await reader.subscribe(items[0])  # watched already, so not one more
    await user.react(items[199])
    await reader.counts(items[199], bool)
    await reader.ok("unsubscribe", items=items[:1])
    await reader.subscribe(items[200])


@pytest.mark.parametrize("ref", [0, 1, MAX_REF])
async def test_a_ref_comes_back(reader: Talk, item: str, ref: int) -> None:
    for message, ev in (
        ({"op": "ping"}, "pong"),
        ({"op": "subscribe", "items": [item]}, "snapshot"),
        ({"op": "unsubscribe", "items": [item]}, "ok"),
        ({"op": "react", "item": item, "kind": "like", "value": 1}, "error"),
        ({"op": "nonsense"}, "error"),
    ):
        await reader.send({**message, "ref": ref})
        answer = await reader.next()
        assert (answer["ev"], answer["ref"]) == (ev, ref)


async def test_without_a_ref_the_answer_has_none(hub: Hub, reader: Talk, actor: str, item: str) -> None:
    for message, ev in (
        ({"op": "ping"}, "pong"),
        ({"op": "subscribe", "items": [item]}, "snapshot"),
        ({"op": "unsubscribe", "items": [item]}, "ok"),
        ({"op": "react", "item": item, "kind": "like", "value": 1}, "error"),
        ({"op": "auth", "token": hub.token(actor)}, "auth"),
        ({"op": "react", "item": item, "kind": "like", "value": 1}, "ack"),
    ):
        await reader.send(message)
        answer = await reader.next()
        assert answer["ev"] == ev
        assert "ref" not in answer


@pytest.mark.parametrize("ref", [-1, MAX_REF + 1, 10**30, 1.5, "1", True, [1], {"a": 1}])
async def test_a_bad_ref_is_a_bad_request_and_does_not_come_back(user: Talk, item: str, ref: object) -> None:
    answer = await user.say({"op": "react", "ref": ref, "item": item, "kind": "like", "value": 1})
    assert (answer["ev"], answer["code"]) == ("error", "bad_request")
    assert "ref" not in answer
    assert (await user.subscribe(item))[0]["counts"] == {}


async def test_pong_answers_ping(reader: Talk) -> None:
    await reader.send({"op": "ping", "ref": 6})
    assert await reader.next() == {"ev": "pong", "ref": 6}
