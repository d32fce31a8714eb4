"""Frames that end a connection, and with which code; sizes and pieces that do not."""

from __future__ import annotations

import json

import pytest

from hubs import Hub
from raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, Raw, close, frame, opened, text
from talk import Talk

MESSAGE_BYTES = 4096
ABRUPT = {"hypercorn": (1006,)}  # hangs up on broken frames without a word, before the hub hears of them


async def closes(hub: Hub, data: bytes, *codes: int) -> None:
    """The hub answers these bytes with a close frame of one of the codes."""
    async with opened(hub) as raw:
        await raw.send(data)
        assert await close_frame(raw) in codes


async def close_frame(raw: Raw) -> int:
    """Read up to the close frame; its code, or 1006 when the connection ends without one."""
    try:
        while (got := await raw.frame()).opcode != CLOSE:
            pass
    except (EOFError, ConnectionError):
        return 1006
    return int.from_bytes(got.payload[:2], "big")


def padded(n: int) -> str:
    """A good message of n bytes."""
    message = json.dumps({"op": "ping", "ref": 1})
    return message + " " * (n - len(message))


@pytest.mark.parametrize("payload", [b"", b"\x00", b'{"op":"ping"}'])
async def test_a_binary_frame_closes_with_1003(hub: Hub, payload: bytes) -> None:
    await closes(hub, frame(BINARY, payload), 1003)


@pytest.mark.parametrize("payload", [b"\xff", b'{"op":"\xc3"}', b"\xed\xa0\x80", b'{"op":"ping"}\x80'])
async def test_a_text_that_is_not_utf8_closes_with_1007(hub: Hub, lane: str, payload: bytes) -> None:
    await closes(hub, frame(TEXT, payload), 1007, *ABRUPT.get(lane, ()))


async def test_a_message_of_4_kib_is_taken_and_one_byte_more_closes_with_1009(hub: Hub, reader: Talk) -> None:
    assert await reader.say(padded(MESSAGE_BYTES)) == {"ev": "pong", "ref": 1}
    await reader.send(padded(MESSAGE_BYTES + 1))
    assert await reader.closed() == 1009


async def test_sizes_are_counted_in_bytes_and_not_in_characters(reader: Talk) -> None:
    await reader.send(json.dumps({"op": "ping", "x": "€" * 1500}, ensure_ascii=False))
    assert await reader.closed() == 1009


async def test_a_message_in_fragments_counts_as_one(hub: Hub) -> None:
    whole = padded(MESSAGE_BYTES).encode()
    first, rest = frame(TEXT, whole[:3000], fin=False), whole[3000:]
    async with opened(hub) as raw:
        await raw.send(first + frame(PING, b"between") + frame(CONTINUATION, rest))
        assert await raw.frame() == Frame(PONG, b"between")
        assert await raw.message() == {"ev": "pong", "ref": 1}
    await closes(hub, first + frame(CONTINUATION, rest + b" "), 1009)


@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b"{}", mask=None),
        frame(TEXT, b"{}", reserved=4),
        frame(3, b"{}"),
        frame(CONTINUATION, b"{}"),
        frame(PING, b"x" * 126),
        frame(PING, b"x", fin=False),
        frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"),
        close(1005),
    ],
    ids=["unmasked", "reserved bit", "reserved opcode", "continuation", "long ping", "cut ping", "two texts", "1005"],
)
async def test_a_frame_against_rfc_6455_closes_with_1002(hub: Hub, lane: str, data: bytes) -> None:
    await closes(hub, data, 1002, *ABRUPT.get(lane, ()))


async def test_a_close_is_answered_with_its_code(hub: Hub) -> None:
    for code in (1000, 1001, 4999):
        await closes(hub, close(code, b"so long"), code)


async def test_what_was_said_before_a_close_is_still_counted(hub: Hub, item: str, user: Talk) -> None:
    async with opened(hub, authorization=f"Bearer {hub.token('u:leaver')}") as raw:
        react = text({"op": "react", "item": item, "kind": "like", "value": 1})
        await raw.send(react + close(1000))
        assert await close_frame(raw) == 1000
    ack = await user.react(item, "love")
    assert ack["counts"] == {"like": 1, "love": 1}


async def test_many_messages_in_one_segment_and_one_message_in_many_are_the_same(hub: Hub) -> None:
    async with opened(hub) as raw:
        await raw.send(b"".join(text({"op": "ping", "ref": n}) for n in range(50)))
        for n in range(50):
            assert await raw.message() == {"ev": "pong", "ref": n}
        for byte in text({"op": "ping", "ref": 50}):
            await raw.send(bytes((byte,)))
        assert await raw.message() == {"ev": "pong", "ref": 50}
