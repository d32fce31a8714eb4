"""Messages in and out, against the standard library's JSON as the oracle."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallycast import wire
from tallycast.errors import Refused, Unavailable
from tallycast.frames import payloads
from tallycast.store.base import Snapshot

# Text that is apt to confuse whoever counts quotes and colons.
tricky = st.text(alphabet='":\\ \n\t{}[],ab\u2028é', max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | tricky,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(tricky, inner, max_size=3),
    max_leaves=6,
)


def decoded(frame: bytes) -> Any:
    [payload] = payloads(frame)
    return orjson.loads(payload)


class Twice(Exception):
    """A key stands twice in one object."""


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise Twice
    return dict(pairs)


@given(st.dictionaries(tricky, values, max_size=5), st.sampled_from([None, 0, 1]), st.booleans())
def test_any_object_is_read_as_it_is(message: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(message, indent=indent, ensure_ascii=ascii_only)
    assert wire.loads(text.encode()) == message


@given(
    st.lists(
        st.tuples(
            st.sampled_from(['"a"', '"b"', '"\\u0061"', '"a:"', '"\\":"']),
            st.sampled_from(["", " ", "\n", "\t", "\r"]),
            values,
        ),
        max_size=5,
    )
)
def test_a_key_that_stands_twice_is_found_however_it_is_written(pairs: list[tuple[str, str, Any]]) -> None:
    text = "{%s}" % ",".join(f"{key}{blank}:{json.dumps(value)}" for key, blank, value in pairs)
    try:
        expected = json.loads(text, object_pairs_hook=once)
    except Twice:
        with pytest.raises(Refused, match="twice") as refused:
            wire.loads(text.encode())
        assert refused.value.code == "bad_json"
    else:
        assert wire.loads(text.encode()) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"{",
        b"[]",
        b'"op"',
        b"1",
        b"null",
        b"{'op':'ping'}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1e999}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
        b'{"a":' * 990 + b"1" + b"}" * 990,
        b'{"op":"ping"}{"op":"ping"}',
        b'{"op":"ping",}',
        b'{"x":{"a":1,"a":2}}',
        b'{"a":1,"a":1}',
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda text: repr(text[:24]),
)
def test_what_is_not_one_json_object_is_bad_json(text: bytes) -> None:
    with pytest.raises(Refused) as refused:
        wire.loads(text)
    assert refused.value.code == "bad_json"
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("ref", [0, 1, 2**53 - 1])
def test_a_ref_comes_back(ref: int) -> None:
    assert wire.check_ref({"ref": ref}) == ref
    for frame in (
        wire.ok(ref),
        wire.pong(ref),
        wire.auth(ref, "u:1"),
        wire.ack(ref, b'"item":"a"'),
        wire.snapshot(ref, []),
    ):
        assert decoded(frame)["ref"] == ref
    assert decoded(wire.error(ref, Refused("bad_item", "no")))["ref"] == ref


def test_without_a_ref_none_comes_back() -> None:
    assert wire.check_ref({}) is None
    assert wire.check_ref({"ref": None}) is None
    for frame in (wire.ok(None), wire.pong(None), wire.ack(None, b'"item":"a"'), wire.snapshot(None, [])):
        assert "ref" not in decoded(frame)


@pytest.mark.parametrize("ref", [-1, 2**53, 1.0, "1", True, [], {}])
def test_a_ref_that_is_none_is_refused(ref: object) -> None:
    with pytest.raises(Refused, match="ref"):
        wire.check_ref({"ref": ref})


@given(st.text(max_size=220) | st.text(alphabet="aZ09._~:/@%+=,-", min_size=1, max_size=220))
def test_item_ids_are_those_of_the_protocol(item: str) -> None:
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~:/@%+=,-")
    if 1 <= len(item) <= 200 and set(item) <= allowed:
        assert wire.check_item(item) == item
    else:
        with pytest.raises(Refused) as refused:
            wire.check_item(item)
        assert refused.value.code == "bad_item"


def test_a_list_of_items_keeps_its_order_and_has_each_once() -> None:
    assert wire.check_items(["b", "a", "b"]) == ["b", "a"]


@pytest.mark.parametrize(
    ("items", "code"),
    [(None, "bad_request"), ([], "bad_request"), ("a", "bad_request"), ({}, "bad_request"), ([1], "bad_item"),
     ([["a"]], "bad_item"), (["a", None], "bad_item"), (["a b"], "bad_item")],
)  # fmt: skip
def test_what_is_no_list_of_items_is_refused(items: object, code: str) -> None:
    with pytest.raises(Refused) as refused:
        wire.check_items(items)
    assert refused.value.code == code


def test_the_key_ev_comes_first_and_item_next() -> None:
    body = wire.body(Snapshot("post:1", 7, {"like": 1, "clap": 50}))
    assert list(decoded(wire.counts(body)).items()) == [
        ("ev", "counts"), ("item", "post:1"), ("v", 7), ("counts", {"like": 1, "clap": 50}),
    ]  # fmt: skip
    mine = wire.with_mine(body, {"like": 1})
    assert list(decoded(wire.ack(4, mine))) == ["ev", "ref", "item", "v", "counts", "mine"]
    assert decoded(wire.snapshot(2, [body, mine]))["items"] == [
        {"item": "post:1", "v": 7, "counts": {"like": 1, "clap": 50}},
        {"item": "post:1", "v": 7, "counts": {"like": 1, "clap": 50}, "mine": {"like": 1}},
    ]


def test_an_error_says_what_and_when_to_come_back() -> None:
    assert decoded(wire.error(3, Unavailable('a "quoted" thing\n', retry_after_s=0.8121))) == {
        "ev": "error", "ref": 3, "code": "unavailable", "message": 'a "quoted" thing\n', "retry_after": 0.813,
    }  # fmt: skip
    assert "retry_after" not in decoded(wire.error(3, Refused("bad_value", "no")))


def test_an_actor_with_quotes_in_its_name_is_json_too() -> None:
    assert decoded(wire.auth(None, 'u:"\\'))["actor"] == 'u:"\\'


def test_bye_tells_when_to_come_back() -> None:
    assert decoded(wire.bye(2.66)) == {"ev": "bye", "reason": "restart", "retry_after": 2.7}
