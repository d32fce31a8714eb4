"""Wrong messages: each is answered with its error, nothing is counted and the connection lives."""

from __future__ import annotations

import json

import pytest

from hubs import Hub
from raw import CLOSE, TEXT, opened, text
from talk import Talk

WATCHED = "bad-input:watched"

NOT_JSON = {
    "empty": "",
    "blank": "  ",
    "word": "hello",
    "cut": '{"op":"ping"',
    "two objects": '{"op":"ping"}{"op":"ping"}',
    "trailing text": '{"op":"ping"} x',
    "trailing comma": '{"op":"ping",}',
    "single quotes": "{'op':'ping'}",
    "comment": '{"op":"ping"/**/}',
    "byte order mark": '\ufeff{"op":"ping"}',
    "NaN": '{"op":"react","item":"x","kind":"clap","value":NaN}',
    "Infinity": '{"op":"react","item":"x","kind":"clap","value":-Infinity}',
    "leading zero": '{"op":"ping","ref":01}',
    "raw control character": '{"op":"pi\x00ng"}',
    "null byte after": '{"op":"ping"}\x00',
    "bad escape": '{"op":"\\x70ing"}',
    "lone surrogate": '{"op":"\\ud800"}',
    "lone low surrogate": '{"op":"ping","x":"\\udc00\\ud800"}',
    "array": "[]",
    "array of objects": '[{"op":"ping"}]',
    "string": '"ping"',
    "number": "1",
    "null": "null",
    "true": "true",
    "deep array": "[" * 2000 + "]" * 2000,
    "deep and open": "[" * 4000,
    "deep object": '{"a":' * 600 + "1" + "}" * 600,
    "same key twice": '{"op":"ping","op":"ping"}',
    "ref twice": '{"op":"ping","ref":1,"ref":2}',
    "value twice": '{"op":"react","item":"x","kind":"like","value":0,"value":1}',
    "value twice, blank before a colon": '{"op":"react","item":"x","kind":"like","value":0,"value" :1}',
    "key twice in a nested object": '{"op":"ping","x":{"a":1,"a":2}}',
    "same key in other writing": '{"op":"ping","\\u006fp":"ping"}',
}


@pytest.mark.parametrize("message", NOT_JSON.values(), ids=NOT_JSON)
async def test_what_is_not_one_json_object_is_bad_json(user: Talk, message: str) -> None:
    answer = await user.say(message)
    assert answer["ev"] == "error"
    # a JSON object that is too deep to be any request may also be called a bad one
    assert answer["code"] == "bad_json" or (
        message.startswith('{"a":') and answer["code"] in ("bad_request", "unknown_op")
    )
    assert "ref" not in answer
    await alive_and_nothing_counted(user)


DEEP: object = 1
for _ in range(300):
    DEEP = [DEEP]

BAD_REQUESTS: list[tuple[object, set[str]]] = [
    ({}, {"bad_request", "unknown_op"}),
    ({"ref": 1}, {"bad_request", "unknown_op"}),
    ({"op": None}, {"bad_request", "unknown_op"}),
    ({"op": 1}, {"bad_request", "unknown_op"}),
    ({"op": ["ping"]}, {"bad_request", "unknown_op"}),
    ({"op": {"ping": 1}}, {"bad_request", "unknown_op"}),
    ({"op": ""}, {"unknown_op"}),
    ({"op": "PING"}, {"unknown_op"}),
    ({"op": "delete"}, {"unknown_op"}),
    ({"op": "__class__"}, {"unknown_op"}),
    ({"op": "ping" * 900}, {"unknown_op"}),
    ({"OP": "ping"}, {"bad_request", "unknown_op"}),
    ({"op": "subscribe"}, {"bad_request"}),
    ({"op": "subscribe", "items": None}, {"bad_request"}),
    ({"op": "subscribe", "items": "post:1"}, {"bad_request"}),
    ({"op": "subscribe", "items": {"post:1": 1}}, {"bad_request"}),
    ({"op": "subscribe", "items": 7}, {"bad_request"}),
    ({"op": "subscribe", "items": [1]}, {"bad_item", "bad_request"}),
    ({"op": "subscribe", "items": [None]}, {"bad_item", "bad_request"}),
    ({"op": "subscribe", "items": [["post:1"]]}, {"bad_item", "bad_request"}),
    ({"op": "subscribe", "items": [{"item": "post:1"}]}, {"bad_item", "bad_request"}),
    ({"op": "subscribe", "items": [True]}, {"bad_item", "bad_request"}),
    ({"op": "subscribe", "items": DEEP}, {"bad_json", "bad_item", "bad_request"}),
    ({"op": "unsubscribe"}, {"bad_request"}),
    ({"op": "unsubscribe", "items": "post:1"}, {"bad_request"}),
    ({"op": "unsubscribe", "items": [1]}, {"bad_item", "bad_request"}),
    ({"op": "react"}, {"bad_request", "bad_item", "unknown_kind"}),
    ({"op": "react", "kind": "like", "value": 1}, {"bad_request", "bad_item"}),
    ({"op": "react", "item": None, "kind": "like", "value": 1}, {"bad_request", "bad_item"}),
    ({"op": "react", "item": 7, "kind": "like", "value": 1}, {"bad_request", "bad_item"}),
    ({"op": "react", "item": [WATCHED], "kind": "like", "value": 1}, {"bad_request", "bad_item"}),
    ({"op": "react", "item": {"a": 1}, "kind": "like", "value": 1}, {"bad_request", "bad_item"}),
    ({"op": "react", "item": True, "kind": "like", "value": 1}, {"bad_request", "bad_item"}),
    ({"op": "react", "item": WATCHED, "value": 1}, {"bad_request", "unknown_kind"}),
    ({"op": "react", "item": WATCHED, "kind": {}, "value": 1}, {"bad_request", "unknown_kind"}),
    ({"op": "react", "item": WATCHED, "kind": "clap", "value": DEEP}, {"bad_json", "bad_request", "bad_value"}),
    ({"op": "react", "item": WATCHED, "kind": "clap", "value": {}}, {"bad_request", "bad_value"}),
    ({"op": "react", "item": WATCHED, "kind": "like", "value": 1, "seq": {}}, {"bad_request"}),
    ({"op": "react", "item": WATCHED, "kind": "share", "id": {}}, {"bad_request", "bad_value"}),
    ({"op": "auth"}, {"bad_request", "bad_token"}),
    ({"op": "auth", "token": None}, {"bad_request", "bad_token"}),
    ({"op": "auth", "token": 1}, {"bad_request", "bad_token"}),
    ({"op": "auth", "token": ["a.b.c"]}, {"bad_request", "bad_token"}),
    ({"op": "auth", "token": {}}, {"bad_request", "bad_token"}),
]


@pytest.mark.parametrize(("message", "codes"), BAD_REQUESTS, ids=[json.dumps(m)[:60] for m, _ in BAD_REQUESTS])
async def test_a_field_that_is_missing_or_of_the_wrong_type_is_refused(
    user: Talk, message: object, codes: set[str]
) -> None:
    answer = await user.say(message)
    assert answer["ev"] == "error"
    assert answer["code"] in codes
    await alive_and_nothing_counted(user)


NUMBERS = ["1e400", "-1e400", "1" + "0" * 3000, "-" + "9" * 400, "1e-400", "1.0000000000000000000000001", "-0.0", "2e0"]


@pytest.mark.parametrize("number", NUMBERS, ids=[n[:12] for n in NUMBERS])
@pytest.mark.parametrize("field", ["value", "seq", "ref"])
async def test_numbers_that_no_field_can_hold_are_refused(user: Talk, field: str, number: str) -> None:
    fields = {"value": "1", "seq": "1", field: number}
    members = ",".join(f'"{name}":{value}' for name, value in fields.items())
    answer = await user.say(f'{{"op":"react","item":"{WATCHED}","kind":"clap",{members}}}')
    assert answer["ev"] == "error"
    assert answer["code"] in ("bad_json", "bad_value", "bad_request")
    await alive_and_nothing_counted(user)


@pytest.mark.parametrize("number", ["1e0", "-0", "50.0"])
async def test_an_amount_is_an_integer_in_its_writing_too_or_counts_as_one(user: Talk, item: str, number: str) -> None:
    """JSON does not tell 1e0 from 1, so either answer is right; what may not be is another number than was said."""
    answer = await user.say(f'{{"op":"react","ref":1,"item":"{item}","kind":"clap","value":{number}}}')
    if answer["ev"] == "error":
        assert answer["code"] == "bad_value"
        assert (await user.subscribe(item))[0]["counts"] == {}
    else:
        assert answer["counts"] == ({"clap": int(float(number))} if float(number) else {})


async def test_errors_say_what_was_wrong_in_a_sentence_and_show_no_trace(user: Talk, item: str) -> None:
    for message in ('{"op":', {"op": "nonsense"}, {"op": "react", "item": item, "kind": "clap", "value": 99}):
        await user.send(message)
        answer = await user.next()
        assert isinstance(answer["message"], str)
        assert len(answer["message"]) > 8
        for trace in ("Traceback", "Error:", ".py", "orjson", "sqlite"):
            assert trace not in answer["message"]


async def test_white_space_around_a_message_is_json(user: Talk) -> None:
    await user.send(' \r\n\t{ "op" : "ping" , "ref" : 1 } \n')
    assert await user.next() == {"ev": "pong", "ref": 1}


async def test_escapes_are_read_as_what_they_stand_for(user: Talk) -> None:
    await user.send('{"\\u006fp":"\\u0070ing","ref":1}')
    assert await user.next() == {"ev": "pong", "ref": 1}


async def test_the_same_words_in_different_places_are_no_duplicate_keys(user: Talk, item: str) -> None:
    await user.send(f'{{"op":"react","ref":1,"item":"{item}:\\"op\\":","kind":"like","value":1}}')
    assert (await user.next())["code"] in ("bad_item", "bad_json")
    await user.send('{"op":"subscribe","ref":2,"items":["op","ref","items","op"]}')
    assert (await user.next())["ev"] == "snapshot"


async def test_twenty_errors_within_a_minute_close_with_1008_and_nineteen_do_not(hub: Hub) -> None:
    async with opened(hub) as raw:
        for n in range(19):
            await raw.send(text({"op": "nonsense", "ref": n}))
            assert (await raw.message())["code"] == "unknown_op"
        await raw.send(text({"op": "ping", "ref": 99}))
        assert await raw.message() == {"ev": "pong", "ref": 99}
        await raw.send(text("not json"))
        assert (await raw.message())["code"] == "bad_json"
        got = await raw.frame()
        assert (got.opcode, got.payload[:2]) == (CLOSE, (1008).to_bytes(2, "big"))


async def test_a_flood_of_errors_is_answered_twenty_times_at_most(hub: Hub) -> None:
    async with opened(hub) as raw:
        await raw.send(text("x") * 500)
        answers = 0
        got = await raw.frame()
        while got.opcode == TEXT:
            answers += 1
            got = await raw.frame()
        assert answers == 20
        assert got.payload[:2] == (1008).to_bytes(2, "big")


async def alive_and_nothing_counted(talk: Talk) -> None:
    """The connection answers, and the item of the bad reactions stands where it stood."""
    assert (await talk.ask("subscribe", items=[WATCHED]))["items"][0]["counts"] == {}
