"""RFC 6455 frames as the hub sends and measures them. Pure; the rare frames are the websockets package's work."""

from __future__ import annotations

from collections.abc import Iterator

TEXT = 0x81  # FIN and opcode 1: a whole text message in one frame, which nearly every frame is
CLOSE = 0x88
PONG = 0x8A
MASKED = 0x80
PING_FRAME = b"\x89\x00"

CLOSE_CODES = {
    1003: "binary frame: this protocol is JSON in text frames",
    1007: "a text message is not UTF-8",
    1008: "policy: too many errors or fragments",
    1009: "a message is over the size limit",
    1011: "a defect in the hub; it is in its log",
    1012: "the hub restarts: connect again after `retry_after`",
    1013: "overloaded",
    4401: "viewing needs a token here: authenticate before subscribing",
    4408: "slow viewer: nothing was read for too long",
}


def text(payload: bytes) -> bytes:
    """A whole text message as one unmasked frame. `payload` is UTF-8 and shorter than 4 GiB."""
    length = len(payload)
    if length < 126:
        return bytes((TEXT, length)) + payload
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload


def payloads(data: bytes) -> Iterator[bytes]:
    """What text() was given to make each of the frames that stand in `data`: for who leaves framing to a server."""
    at = 0
    while at < len(data):
        length = data[at + 1]
        at += 2
        if length > 125:
            extra = 2 if length == 126 else 8
            length = int.from_bytes(data[at : at + extra], "big")
            at += extra
        yield data[at : at + length]
        at += length


def close(code: int, reason: str = "") -> bytes:
    """A close frame. `reason` is cut to the 123 bytes that fit."""
    body = code.to_bytes(2, "big") + reason.encode()[:123].decode(errors="ignore").encode()
    return bytes((CLOSE, len(body))) + body


def measure(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the masked frame that begins at `at` has its payload, and how long that is: (start, length).

    None while its head has not all come. An unmasked frame, which no client may send, is measured without its mask.
    """
    have = len(data) - at
    if have < 2:
        return None
    length = data[at + 1] & 0x7F
    extra = 0 if length < 126 else 2 if length == 126 else 8
    head = 2 + extra + (4 if data[at + 1] & MASKED else 0)
    if have < head:
        return None
    if extra:
        length = int.from_bytes(data[at + 2 : at + 2 + extra], "big")
    return at + head, length
