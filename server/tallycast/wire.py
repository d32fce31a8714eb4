"""Messages of protocol version 1 to and from bytes. Pure: what a message means is viewer.py's to know."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from tallycast import frames
from tallycast.errors import Refused
from tallycast.store.base import Snapshot

SUBPROTOCOL = "tallycast.v1"
ITEM = re.compile(r"[A-Za-z0-9._~:/@%+=,\-]{1,200}")
MAX_REF = 2**53 - 1


def loads(data: bytes) -> dict[str, Any]:
    """One JSON object. Raises Refused (`bad_json`), also for a key that stands twice in one object.

    Where no blank follows a quote, each pair of a flat object shows as one `":`, and a string may show more of them,
    never fewer. So as many of them as keys were found means that each key stood once, and the ordinary message is
    parsed once, in C. Any other text is read again by the standard library, which shows every key.
    """
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Refused("bad_json", f"not JSON: {error.msg}") from None
    if type(message) is not dict:
        raise Refused("bad_json", "a message is one JSON object")
    if data.count(b'":') != len(message) or b'" ' in data or b'"\n' in data or b'"\t' in data or b'"\r' in data:
        try:
            json.loads(data, object_pairs_hook=_once)
        except RecursionError:
            raise Refused("bad_json", "nested too deeply") from None
    return message


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("bad_json", "a key stands twice in one object")
    return found


def check_ref(message: dict[str, Any]) -> int | None:
    """The message's `ref`, None where it has none. Raises Refused (`bad_request`)."""
    ref = message.get("ref")
    if ref is None:
        return None
    if type(ref) is not int or not 0 <= ref <= MAX_REF:
        raise Refused("bad_request", "ref must be an integer from 0 to 2^53-1")
    return ref


def check_viewers(message: dict[str, Any]) -> bool:
    """Whether a subscription wants to be told how many watch. Raises Refused (`bad_request`)."""
    viewers = message.get("viewers", False)
    if type(viewers) is not bool:
        raise Refused("bad_request", "viewers must be true or false")
    return viewers


def check_item(item: object) -> str:
    """An item id. Raises Refused (`bad_item`)."""
    if type(item) is not str or not ITEM.fullmatch(item):
        raise Refused("bad_item", "an item id is 1–200 of A–Z a–z 0–9 . _ ~ : / @ % + = , -")
    return item


def check_items(items: object) -> list[str]:
    """A list of at least one item id, each once. Raises Refused (`bad_request`, `bad_item`)."""
    if type(items) is not list or not items:
        raise Refused("bad_request", "items must be a list of at least one item id")
    return [check_item(item) for item in dict.fromkeys(item if type(item) is str else None for item in items)]


def body(snapshot: Snapshot) -> bytes:
    """The part that counts, snapshots and acks share: `"item":…,"v":…,"counts":{…}`, without braces around it.

    An item id needs no escapes: none of its characters has any in JSON.
    """
    return b'"item":"%b","v":%d,"counts":%b' % (snapshot.item.encode(), snapshot.v, orjson.dumps(snapshot.counts))


def hidden(snapshot: Snapshot) -> bytes:
    """The body of an item whose counts are not to be seen."""
    return b'"item":"%b","v":%d,"counts":{},"hidden":true' % (snapshot.item.encode(), snapshot.v)


def counts(body: bytes) -> bytes:
    """The frame that tells viewers of new counts."""
    return frames.text(b'{"ev":"counts",' + body + b"}")


def with_viewers(body: bytes, viewers: int) -> bytes:
    """A body with how many watch the item after it."""
    return b'%b,"viewers":%d' % (body, viewers)


def with_mine(body: bytes, mine: dict[str, int]) -> bytes:
    """A body with the actor's own values after it."""
    return b'%b,"mine":%b' % (body, orjson.dumps(mine))


def approximate(errors: Mapping[str, float]) -> bytes:
    """What stands beside the items of a snapshot where the counts of some kinds are estimates: by how much."""
    return b',"approximate":%b' % orjson.dumps(errors) if errors else b""


def snapshot(ref: int | None, bodies: Iterable[bytes], approximate: bytes = b"") -> bytes:
    """The answer to a subscription: the bodies of its items, with `mine` where there is an actor."""
    return _answer(b"snapshot", ref, b',"items":[{%b}]%b' % (b"},{".join(bodies), approximate))


def ack(ref: int | None, body: bytes) -> bytes:
    """The answer to a reaction that is durable. `body` has `mine`."""
    if ref is None:
        return frames.text(b'{"ev":"ack",%b}' % body)
    return frames.text(b'{"ev":"ack","ref":%d,%b}' % (ref, body))


def auth(ref: int | None, actor: str) -> bytes:
    """The answer to a token that is good."""
    return _answer(b"auth", ref, b',"actor":%b' % orjson.dumps(actor))


def ok(ref: int | None) -> bytes:
    """The answer to `unsubscribe`."""
    return _answer(b"ok", ref)


def pong(ref: int | None) -> bytes:
    """The answer to `ping`."""
    return _answer(b"pong", ref)


def error(ref: int | None, refusal: Refused) -> bytes:
    """The answer to a message that was refused."""
    rest: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
    if refusal.retry_after_s is not None:
        rest["retry_after"] = math.ceil(refusal.retry_after_s * 1000) / 1000
    return _answer(b"error", ref, b"," + orjson.dumps(rest)[1:-1])


def bye(retry_after_s: float) -> bytes:
    """The last message before the hub closes with 1012."""
    return frames.text(b'{"ev":"bye","reason":"restart","retry_after":%.1f}' % retry_after_s)


def _answer(ev: bytes, ref: int | None, rest: bytes = b"") -> bytes:
    head = b'{"ev":"%b"' % ev if ref is None else b'{"ev":"%b","ref":%d' % (ev, ref)
    return frames.text(b"%b%b}" % (head, rest))
