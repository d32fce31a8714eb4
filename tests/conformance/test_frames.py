"""RFC 6455 frame by frame, over the fast lane's transport with an echo at its end. Numbers are the RFC's sections."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from echo import MAX_BYTES, echoing
from raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, Raw, close, connected, frame

EURO = "€".encode()


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    """A connection to the echo."""
    async with echoing() as at, connected(at) as raw:
        yield raw


async def alive(raw: Raw) -> None:
    """It still echoes, and nothing else was on its way."""
    await raw.send(frame(TEXT, b"still there?"))
    assert await raw.frame() == Frame(TEXT, b"still there?")


async def closes(raw: Raw, data: bytes, *codes: int) -> None:
    """These bytes make it close with one of the codes; it says nothing before, and goes when the close is answered."""
    await raw.send(data)
    got = await raw.frame()
    assert (got.opcode, got.fin, got.reserved) == (CLOSE, True, 0), got
    code = int.from_bytes(got.payload[:2], "big")
    assert code in codes
    got.payload[2:].decode()
    await raw.send(close(code))
    assert await raw.close_code() == 1006, "a second close frame"


@pytest.mark.parametrize("n", [0, 1, 124, 125, 126, 127, 128, 255, 256, 4095, MAX_BYTES])
async def test_a_text_of_any_length_is_taken_whole(raw: Raw, n: int) -> None:
    payload = (b"0123456789" * 500)[:n]
    await raw.send(frame(TEXT, payload))
    assert await raw.frame() == Frame(TEXT, payload)
    await alive(raw)


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x00\x01\x02\x03", b"\x81\x81\x81\x81"])
async def test_any_mask_is_taken_off(raw: Raw, mask: bytes) -> None:
    await raw.send(frame(TEXT, b"unmask me", mask=mask) + frame(PING, b"me too", mask=mask))
    assert await raw.frame() == Frame(TEXT, b"unmask me")
    assert await raw.frame() == Frame(PONG, b"me too")


async def test_texts_beyond_ascii_come_back_as_they_were(raw: Raw) -> None:
    for words in ("Κόσμε", "日本", "🎉" * 9, "\u0000", "\ufffe\uffff", "\U0010ffff"):
        await raw.send(frame(TEXT, words.encode()))
        assert (await raw.frame()).payload.decode() == words


async def test_frames_that_come_a_byte_at_a_time_are_put_together(raw: Raw) -> None:
    stream = frame(TEXT, EURO * 50) + frame(PING, b"?") + frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b")
    for n in range(len(stream)):
        await raw.send(stream[n : n + 1])
    assert await raw.frame() == Frame(TEXT, EURO * 50)
    assert await raw.frame() == Frame(PONG, b"?")
    assert await raw.frame() == Frame(TEXT, b"ab")


async def test_many_frames_in_one_segment_are_answered_each_in_order(raw: Raw) -> None:
    await raw.send(b"".join(frame(TEXT, b"%d" % n) + frame(PING, b"%d" % n) for n in range(200)))
    for n in range(200):
        assert await raw.frame() == Frame(TEXT, b"%d" % n)
        assert await raw.frame() == Frame(PONG, b"%d" % n)


@pytest.mark.parametrize("parts", [(b"He", b"llo"), (b"", b"x"), (b"x", b""), (b"", b"", b""), (b"a",) * 200])
async def test_fragments_are_one_message(raw: Raw, parts: tuple[bytes, ...]) -> None:
    """5.4"""
    await raw.send(frame(TEXT, parts[0], fin=False))
    for part in parts[1:-1]:
        await raw.send(frame(CONTINUATION, part, fin=False))
    await raw.send(frame(CONTINUATION, parts[-1]))
    assert await raw.frame() == Frame(TEXT, b"".join(parts))
    await alive(raw)


async def test_control_frames_may_come_between_fragments(raw: Raw) -> None:
    """5.4, 5.5"""
    await raw.send(frame(TEXT, b"one ", fin=False) + frame(PING, b"now"))
    assert await raw.frame() == Frame(PONG, b"now")
    await raw.send(frame(CONTINUATION, b"two ", fin=False) + frame(PONG, b"whatever") + frame(CONTINUATION, b"three"))
    assert await raw.frame() == Frame(TEXT, b"one two three")
    await alive(raw)


async def test_a_character_may_be_cut_by_fragments(raw: Raw) -> None:
    await raw.send(frame(TEXT, EURO[:1], fin=False) + frame(CONTINUATION, EURO[1:2], fin=False))
    await raw.send(frame(CONTINUATION, EURO[2:]))
    assert await raw.frame() == Frame(TEXT, EURO)


@pytest.mark.parametrize("n", [0, 1, 125])
async def test_a_ping_is_answered_with_its_payload(raw: Raw, n: int) -> None:
    """5.5.2, 5.5.3"""
    payload = bytes(range(n))
    await raw.send(frame(PING, payload))
    assert await raw.frame() == Frame(PONG, payload)
    await alive(raw)


@pytest.mark.parametrize("n", [0, 125])
async def test_a_pong_that_nobody_asked_for_is_ignored(raw: Raw, n: int) -> None:
    """5.5.3"""
    await raw.send(frame(PONG, b"x" * n) * 10)
    await alive(raw)


@pytest.mark.parametrize(
    ("wrong", "data"),
    [
        ("ping of 126 bytes", frame(PING, b"x" * 126)),
        ("pong of 126 bytes", frame(PONG, b"x" * 126)),
        ("close of 126 bytes", frame(CLOSE, b"\x03\xe8" + b"x" * 124)),
        ("ping in fragments", frame(PING, b"x", fin=False)),
        ("pong in fragments", frame(PONG, b"x", fin=False)),
        ("close in fragments", frame(CLOSE, b"\x03\xe8", fin=False)),
        ("continuation of nothing", frame(CONTINUATION, b"x")),
        ("open continuation of nothing", frame(CONTINUATION, b"x", fin=False)),
        ("text within a fragmented text", frame(TEXT, b"a", fin=False) + frame(TEXT, b"b")),
        ("open text within a fragmented text", frame(TEXT, b"a", fin=False) + frame(TEXT, b"b", fin=False)),
        ("binary within a fragmented text", frame(TEXT, b"a", fin=False) + frame(BINARY, b"b")),
        ("continuation after the last", frame(CONTINUATION, b"")),
        ("unmasked text", frame(TEXT, b"x", mask=None)),
        ("unmasked empty text", frame(TEXT, b"", mask=None)),
        ("unmasked ping", frame(PING, b"x", mask=None)),
        ("unmasked close", frame(CLOSE, b"\x03\xe8", mask=None)),
        ("unmasked continuation", frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b", mask=None)),
        ("unmasked long text", frame(TEXT, b"x" * 300, mask=None)),
    ],
)
async def test_a_frame_against_the_protocol_closes_with_1002(raw: Raw, wrong: str, data: bytes) -> None:
    await closes(raw, data, 1002)


@pytest.mark.parametrize("reserved", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, PING, PONG, CLOSE])
async def test_a_reserved_bit_closes_with_1002(raw: Raw, opcode: int, reserved: int) -> None:
    """5.2: no extension gave it a meaning."""
    await closes(raw, frame(opcode, b"\x03\xe8" if opcode == CLOSE else b"x", reserved=reserved), 1002)


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("payload", [b"", b"x"])
async def test_a_reserved_opcode_closes_with_1002(raw: Raw, opcode: int, payload: bytes) -> None:
    """5.2"""
    await closes(raw, frame(opcode, payload), 1002)


@pytest.mark.parametrize(
    "data",
    [frame(BINARY, b"x"), frame(BINARY, b""), frame(BINARY, b"x", fin=False), frame(BINARY, b"x" * 300)],
    ids=["one byte", "empty", "first of fragments", "long"],
)
async def test_a_binary_frame_closes_with_1003(raw: Raw, data: bytes) -> None:
    await closes(raw, data, 1003)


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4408, 4999]
)
async def test_a_valid_close_is_echoed_and_the_connection_ends(raw: Raw, code: int) -> None:
    """5.5.1, 7.4"""
    await raw.send(close(code, b"so long"))
    assert await raw.close_code() == code


async def test_a_close_without_a_code_is_echoed(raw: Raw) -> None:
    await raw.send(frame(CLOSE))
    assert await raw.close_code() in (1000, 1005)


async def test_a_close_may_have_a_reason_of_123_bytes(raw: Raw) -> None:
    await raw.send(close(1000, b"x" * 123))
    assert await raw.close_code() == 1000


async def test_nothing_is_answered_after_a_close(raw: Raw) -> None:
    await raw.send(close(1000) + frame(TEXT, b"more") + frame(PING, b"more"))
    assert (await raw.frame()).opcode == CLOSE
    with pytest.raises((EOFError, ConnectionError)):
        await raw.frame()


async def test_a_close_between_fragments_ends_the_message_unheard(raw: Raw) -> None:
    """5.4 allows control frames there; the websockets package calls a message that is given up a protocol error."""
    await raw.send(frame(TEXT, b"half", fin=False) + close(1000))
    assert await raw.close_code() in (1000, 1002)


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
async def test_a_close_with_a_code_that_may_not_be_sent_is_answered_with_1002(raw: Raw, code: int) -> None:
    """7.4.1, 7.4.2"""
    await closes(raw, close(code), 1002)


async def test_a_close_payload_of_one_byte_is_answered_with_1002(raw: Raw) -> None:
    """5.5.1"""
    await closes(raw, frame(CLOSE, b"\x03"), 1002)


async def test_a_close_reason_that_is_not_utf8_is_answered_with_1007(raw: Raw) -> None:
    """8.1"""
    await closes(raw, close(1000, b"\xff\xfe"), 1002, 1007)


NOT_UTF8 = {
    "a continuation byte alone": b"\x80",
    "a byte that never is": b"\xff",
    "cut at its end": EURO[:2],
    "overlong": b"\xc0\xaf",
    "surrogate": b"\xed\xa0\x80",
    "beyond the last": b"\xf4\x90\x80\x80",
    "in the middle": b"ok \xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80 edited",
}


@pytest.mark.parametrize("payload", NOT_UTF8.values(), ids=NOT_UTF8)
async def test_a_text_that_is_not_utf8_closes_with_1007(raw: Raw, payload: bytes) -> None:
    """8.1"""
    await closes(raw, frame(TEXT, payload), 1007)


@pytest.mark.parametrize("payload", NOT_UTF8.values(), ids=NOT_UTF8)
async def test_a_text_that_is_not_utf8_over_fragments_closes_with_1007(raw: Raw, payload: bytes) -> None:
    cut = len(payload) // 2
    await closes(raw, frame(TEXT, payload[:cut], fin=False) + frame(CONTINUATION, payload[cut:]), 1007)


@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b"x" * (MAX_BYTES + 1)),
        frame(TEXT, b"x" * 70_000),
        frame(TEXT, b"x" * MAX_BYTES, fin=False) + frame(CONTINUATION, b"x"),
        frame(TEXT, b"x" * 2000, fin=False)
        + frame(CONTINUATION, b"x" * 2000, fin=False)
        + frame(CONTINUATION, b"x" * 97),
        b"\x81\xff" + (2**62).to_bytes(8, "big") + b"mask",
        b"\x81\xff" + (2**63 - 1).to_bytes(8, "big") + b"mask",
        b"\x01\xfe" + (65535).to_bytes(2, "big") + b"mask",
    ],
    ids=["by one", "by far", "fragmented by one", "fragmented", "head of 2^62", "head of 2^63-1", "head of a fragment"],
)
async def test_a_message_over_the_limit_closes_with_1009(raw: Raw, data: bytes) -> None:
    """7.4.1. It is refused by the length that it announces, before the bytes have come."""
    await closes(raw, data, 1009)


async def test_a_length_of_64_bits_whose_first_is_1_closes(raw: Raw) -> None:
    """5.2: the most significant bit must be 0."""
    await closes(raw, b"\x81\xff" + (2**63 + 5).to_bytes(8, "big") + b"mask", 1002, 1009)


@pytest.mark.parametrize(
    ("n", "length_bytes"), [(0, 2), (5, 2), (125, 2), (0, 8), (5, 8), (125, 8), (126, 8), (4096, 8)]
)
async def test_a_length_that_is_not_the_shortest_is_taken_or_refused_and_never_hangs(
    raw: Raw, n: int, length_bytes: int
) -> None:
    """5.2 wants the shortest form; servers in the field are lenient, and either is safe."""
    await raw.send(frame(TEXT, b"x" * n, length_bytes=length_bytes))
    got = await raw.frame()
    assert got == Frame(TEXT, b"x" * n) or (got.opcode, got.payload[:2]) == (CLOSE, (1002).to_bytes(2, "big"))


async def test_messages_before_a_bad_frame_are_answered_and_those_after_it_are_not(raw: Raw) -> None:
    await raw.send(frame(TEXT, b"before"))
    assert await raw.frame() == Frame(TEXT, b"before")
    await closes(raw, frame(TEXT, b"bad", mask=None) + frame(TEXT, b"after"), 1002)


async def test_after_its_close_frame_it_waits_for_the_peers_and_drops_what_comes_before(raw: Raw) -> None:
    """7.1.1: what we sent before we saw the close frame must not make the kernel reset the connection under it."""
    await raw.send(frame(BINARY, b"x") + frame(TEXT, b"in flight") * 100)
    got = await raw.frame()
    assert (got.opcode, got.payload[:2]) == (CLOSE, (1003).to_bytes(2, "big"))
    await raw.send(frame(TEXT, b"still in flight") + frame(PING, b"?") + close(1003))
    with pytest.raises(EOFError):
        await raw.frame()
