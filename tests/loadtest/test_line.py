"""The generator's own WebSocket: frames, the handshake with a real hub, refusals, and data that come in any pieces."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from random import Random

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, Protocol, State

from hubs import SECONDS, Hub, OwnHub, free_port, running
from tallycast_loadtest import line
from tallycast_loadtest.guests import Place
from tallycast_loadtest.line import Line, Refusal, Target, dial, frame, payload, split, upgrade
from tallycast_loadtest.scenario import Scenario
from tallycast_loadtest.tally import Tally
from tallycast_loadtest.viewers import Audience


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHub]:
    with running(tmp_path_factory.mktemp("hub"), connects_per_second=20) as hub:
        yield hub


class Recorder(Line):
    """Keeps what it hears, and knows when it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[bytes] = []
        self.heard_one = asyncio.Event()
        self.lost = asyncio.Event()

    def heard(self, text: bytes, frame: bytes) -> None:
        self.texts.append(text)
        self.heard_one.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set()


def target(hub: Hub) -> Target:
    return Target(socket.AF_INET, ("127.0.0.1", hub.port), f"127.0.0.1:{hub.port}", "")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535])
def test_a_frame_is_what_another_implementation_reads(size: int) -> None:
    other = Protocol(SERVER, state=State.OPEN, max_size=None)
    other.receive_data(frame(b"x" * size))
    (event,) = other.events_received()
    assert event == Frame(Opcode.TEXT, b"x" * size)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536])
def test_frames_of_another_implementation_are_found_whole_in_any_pieces(size: int) -> None:
    sent = [Frame(Opcode.TEXT, bytes([65 + n]) * size).serialize(mask=False) for n in range(4)]
    stream, random, rest, found = b"".join(sent), Random(size), b"", []
    while stream:
        cut = random.randrange(1, max(2, len(stream)))
        whole, rest = split(rest + stream[:cut])
        found += whole
        stream = stream[cut:]
    assert found == sent
    assert rest == b""
    assert [payload(each) for each in found] == [bytes([65 + n]) * size for n in range(4)]


def test_a_request_is_as_large_as_a_browsers_and_offers_compression() -> None:
    request = upgrade(Target(socket.AF_INET, ("127.0.0.1", 1), "hub.test", "/base"), "a.b.c", "https://page.test")
    assert request.startswith(b"GET /base/v1/live HTTP/1.1\r\nHost: hub.test\r\n")
    assert b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" in request
    assert b"Authorization: Bearer a.b.c\r\n" in request
    assert b"Origin: https://page.test\r\n" in request
    assert b"Cookie: " in request
    assert 700 < len(request) < 1500


async def test_a_hub_lets_us_in_and_answers(hub: OwnHub) -> None:
    recorder = Recorder()
    await dial(recorder, target(hub), upgrade(target(hub), hub.token("u:1")), source="127.0.0.2")
    assert recorder.transport.get_extra_info("sockname")[0] == "127.0.0.2"
    recorder.transport.write(frame(b'{"op":"ping","ref":7}'))
    async with asyncio.timeout(SECONDS):
        await recorder.heard_one.wait()
    assert recorder.texts == [b'{"ev":"pong","ref":7}']
    recorder.transport.abort()


async def test_a_ping_is_answered_with_its_payload() -> None:
    sent = bytearray()

    class Transport(asyncio.Transport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            sent.extend(data)

    recorder = Recorder()
    recorder.opened(Transport())
    recorder.data_received(Frame(Opcode.PING, b"still there?").serialize(mask=False))
    other = Protocol(SERVER, state=State.OPEN)
    other.receive_data(bytes(sent))
    assert other.events_received() == [Frame(Opcode.PONG, b"still there?")]


async def test_the_hubs_reason_for_hanging_up_is_kept(hub: OwnHub) -> None:
    recorder = Recorder()
    await dial(recorder, target(hub), upgrade(target(hub)))
    recorder.transport.write(frame(b"\x00", 2))  # binary: this protocol has none
    async with asyncio.timeout(SECONDS):
        await recorder.lost.wait()
    assert recorder.close_code == 1003


async def test_a_refusal_says_what_the_hub_said(hub: OwnHub) -> None:
    with pytest.raises(Refusal) as caught:
        await dial(Recorder(), target(hub), upgrade(target(hub), origin="https://elsewhere.test"))
    assert (caught.value.status, caught.value.code) == (403, "forbidden")
    assert "TALLYCAST_ORIGINS" in caught.value.detail
    with pytest.raises(Refusal) as caught:
        await dial(Recorder(), target(hub), upgrade(target(hub), "no.good.token"))
    assert (caught.value.status, caught.value.code) == (401, "bad_token")


async def test_a_refusal_says_when_to_come_again(hub: OwnHub) -> None:
    lines, refused = [], None
    for _ in range(400):
        lines.append(Recorder())
        try:
            await dial(lines[-1], target(hub), upgrade(target(hub)), source="127.0.0.3")
        except Refusal as refusal:
            refused = refusal
            break
    for each in lines[:-1]:
        each.transport.abort()
    assert refused is not None
    assert (refused.status, refused.code) == (429, "rate_limited")
    assert refused.retry_after_s is not None and refused.retry_after_s > 0


async def test_nobody_there_is_an_error_of_the_system() -> None:
    nobody = Hub(free_port())
    with pytest.raises(ConnectionRefusedError):
        await dial(Recorder(), target(nobody), upgrade(target(nobody)))


async def test_a_server_that_hangs_up_or_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "OPEN_S", 0.3)
    mute = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not mute.is_set():
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    there = Target(socket.AF_INET, server.sockets[0].getsockname(), "hub.test", "")
    with pytest.raises(ConnectionResetError):
        await dial(Recorder(), there, upgrade(there))
    mute.set()
    with pytest.raises(TimeoutError):
        await dial(Recorder(), there, upgrade(there))
    server.close()


class Nowhere(asyncio.Transport):
    """Takes what a viewer writes, and is never read from."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass


async def test_a_viewer_sees_the_same_in_whichever_pieces_its_frames_come() -> None:
    def counts(v: int) -> bytes:
        return Frame(Opcode.TEXT, b'{"ev":"counts","item":"i","v":%d,"counts":{"like":%d}}' % (v, v)).serialize(
            mask=False
        )

    snapshot = Frame(Opcode.TEXT, b'{"ev":"snapshot","ref":1,"items":[{"item":"i","v":1,"counts":{}}]}').serialize(
        mask=False
    )
    stream = snapshot + b"".join(map(counts, range(2, 40)))
    random, scenario = Random(5), Scenario(viewers=3, items=1)
    audience = Audience(
        scenario, ["i"], Place(Target(socket.AF_INET, ("127.0.0.1", 1), "", ""), None), None, Tally(), part=0, parts=1
    )
    for number, viewer in audience._viewers.items():
        viewer.due_s = time.monotonic()
        viewer.opened(Nowhere())
        rest = stream
        while rest:
            cut = (len(rest), 1, random.randrange(1, 200))[number]  # all at once, byte by byte, at random
            viewer.data_received(rest[:cut])
            rest = rest[cut:]
    frames, size_bytes, deliveries = audience.take()
    assert frames == 3 * 38
    assert size_bytes == 3 * (len(stream) - len(snapshot))
    assert [(each.before, each.v, each.viewers) for each in deliveries] == [(v - 1, v, (1, 1, 1)) for v in range(2, 40)]
    assert audience.order.faults.count == 0
    assert audience.live == 3
