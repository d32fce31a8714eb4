"""Messages of protocol version 1 as a client sends and reads them. Pure.

Unknown events and unknown fields are let pass: a later 1.x hub may send some.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeGuard

import orjson

from tallycast_client.backoff import retry_after_s
from tallycast_client.errors import ProtocolError, Refused, refusal

SUBPROTOCOL = "tallycast.v1"
MESSAGE_BYTES = 4096  # what a hub takes in one message
_ENVELOPE_BYTES = 80  # of a subscribe or unsubscribe message without its items


class Counts(NamedTuple):
    """An item's counts at version `v`; kinds that are absent are 0. v 0: nobody ever reacted.

    `mine` is what the actor now says of the item, non-zero values only; None on a connection without a token.
    `viewers` is how many connections watch the item now; None where that was not asked for or is not told.
    """

    item: str
    v: int
    counts: dict[str, int]
    mine: dict[str, int] | None = None
    viewers: int | None = None


def encode(message: dict[str, object]) -> bytes:
    """A message's bytes."""
    return orjson.dumps(message)


def decode(data: str | bytes) -> dict[str, Any]:
    """One message of the hub, an object with the text `ev`. Raises ProtocolError."""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise ProtocolError("the hub sent what is not JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("ev"), str):
        raise ProtocolError("the hub sent a message without ev")
    return message


def read_counts(message: object) -> Counts:
    """The item, version, counts, own values and viewers in a message or a part of one. Raises ProtocolError."""
    if isinstance(message, dict):
        item, v, counts, mine, viewers = (message.get(key) for key in Counts._fields)
        if (
            isinstance(item, str)
            and type(v) is int
            and _are_counts(counts)
            and (mine is None or _are_counts(mine))
            and (viewers is None or type(viewers) is int)
        ):
            return Counts(item, v, counts, mine, viewers)
    raise ProtocolError("the hub sent counts without item, v or counts, or not of the types that these have")


def read_snapshot(message: dict[str, Any]) -> list[Counts]:
    """The items of a `snapshot`. Raises ProtocolError."""
    items = message.get("items")
    if not isinstance(items, list):
        raise ProtocolError("the hub sent a snapshot without items")
    return [read_counts(item) for item in items]


def read_error(message: dict[str, Any]) -> Refused:
    """The exception that an `error` event or an HTTP problem stands for."""
    code = message.get("code")
    text = message.get("message") or message.get("detail") or message.get("title")
    code = code if isinstance(code, str) else "bad_request"
    return refusal(code, text if isinstance(text, str) else code, retry_after_s(message.get("retry_after")))


def chunks(items: Iterable[str], message_bytes: int = MESSAGE_BYTES) -> Iterator[tuple[str, ...]]:
    """`items` in their order, cut so that each part fits one message of `message_bytes`."""
    chunk: list[str] = []
    size = _ENVELOPE_BYTES
    for item in items:
        item_bytes = len(orjson.dumps(item)) + 1
        if chunk and size + item_bytes > message_bytes:
            yield tuple(chunk)
            chunk, size = [], _ENVELOPE_BYTES
        chunk.append(item)
        size += item_bytes
    if chunk:
        yield tuple(chunk)


def _are_counts(counts: object) -> TypeGuard[dict[str, int]]:
    return isinstance(counts, dict) and all(type(count) is int for count in counts.values())
