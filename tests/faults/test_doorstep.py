"""Before a connection is anybody: requests that never end, that are too large, or that are none."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pytest

from hubs import Hub, defaults, running
from raw import Raw, connected, text, upgrade

REQUEST_S = 2
SLACK_S = 6.0


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that waits for a request no longer than REQUEST_S."""
    with running(tmp_path_factory.mktemp("doorstep"), **defaults(request_s=REQUEST_S)) as hub:
        yield hub


async def closed_in_time(raw: Raw) -> None:
    """The hub ends the connection within its deadline and some slack, with or without an answer."""
    async with asyncio.timeout(REQUEST_S + SLACK_S):
        try:
            while True:
                await raw.read(1)
        except (EOFError, ConnectionError):
            pass


BEGINNINGS = (
    b"",
    b"GET /v1/co",
    b"GET /v1/live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nX-Long: ",
    b"POST /v1/reactions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    b"POST /v1/reactions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{",
    b"\r\n\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",  # answered, and then no further request comes
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /hea",
)


async def test_a_request_that_never_ends_is_given_up(hub: Hub) -> None:
    token = hub.token("u:1").encode()

    async def given_up(beginning: bytes) -> None:
        async with connected(hub) as raw:
            await raw.send(beginning.replace(b"Host: x\r\n", b"Host: x\r\nAuthorization: Bearer " + token + b"\r\n"))
            try:
                await closed_in_time(raw)
            except TimeoutError:
                raise AssertionError(f"still open: {beginning!r}") from None

    await asyncio.gather(*map(given_up, BEGINNINGS))


async def test_a_head_that_comes_a_byte_at_a_time_is_given_up(hub: Hub) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"x" * 1000
    begun = time.monotonic()
    async with connected(hub) as raw:
        reading = asyncio.create_task(closed_in_time(raw))
        with contextlib.suppress(OSError):
            for byte in request:
                if reading.done():
                    break
                await raw.send(bytes((byte,)))
                await asyncio.sleep(0.1)
        await reading
    assert time.monotonic() - begun < REQUEST_S + SLACK_S


async def test_a_slow_but_timely_handshake_is_let_in(hub: Hub) -> None:
    async with connected(hub) as raw:
        request = upgrade("/v1/live", f"{hub.host}:{hub.port}")
        for at in range(0, len(request), 40):
            await raw.send(request[at : at + 40])
            await asyncio.sleep(0.02)
        assert (await raw.answer()).status == 101


TOO_LARGE = {
    "a header of 9 KiB": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 9 * 1024 + b"\r\n\r\n",
    "a header of 9 KiB without end": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 9 * 1024,
    "a header name of 9 KiB": b"GET /healthz HTTP/1.1\r\n" + b"x" * 9 * 1024 + b": x\r\n\r\n",
    "a target of 9 KiB": b"GET /" + b"x" * 9 * 1024 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target of 70 KiB without end": b"GET /" + b"x" * 70 * 1024,
    "a thousand headers": b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X-Many: xxxxxxxxxxxxxxxx\r\n" * 1000 + b"\r\n",
    "headers without end": b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X-Many: xxxxxxxxxxxxxxxx\r\n" * 1000,
    "a handshake with 9 KiB of a header": upgrade("/v1/live", "x", x_long="x" * 9 * 1024),
}


@pytest.mark.parametrize("request_", TOO_LARGE.values(), ids=TOO_LARGE)
async def test_a_head_that_is_too_large_gets_a_4xx_and_the_connection_ends(hub: Hub, request_: bytes) -> None:
    async with connected(hub) as raw:
        await raw.send(request_)
        answer = await raw.answer()
        assert 400 <= answer.status < 500, answer
        await closed_in_time(raw)


NOT_HTTP = {
    "random bytes": bytes(range(256)),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "a frame": b"\x81\x85mask!!!!!" * 20,
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "null bytes": bytes(300),
    "space in a header's name": b"GET /healthz HTTP/1.1\r\nHo st: x\r\n\r\n",
    "two lengths": b"POST /v1/reactions HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "length and chunks": (
        b"POST /v1/reactions HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a length that is none": b"POST /v1/reactions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
}


@pytest.mark.parametrize("words", NOT_HTTP.values(), ids=NOT_HTTP)
async def test_what_is_not_http_is_answered_with_a_4xx_or_nothing_and_the_connection_ends(
    hub: Hub, words: bytes
) -> None:
    async with connected(hub) as raw:
        await raw.send(words)
        try:
            answer = await raw.answer()
        except (EOFError, ConnectionError):
            return
        assert 400 <= answer.status < 500, answer
        await closed_in_time(raw)


async def test_frames_sent_along_with_the_handshake_are_heard(hub: Hub) -> None:
    async with connected(hub) as raw:
        request = upgrade("/v1/live", f"{hub.host}:{hub.port}")
        await raw.send(request + text({"op": "ping", "ref": 1}) + text({"op": "ping", "ref": 2}))
        assert (await raw.answer()).status == 101
        assert await raw.message() == {"ev": "pong", "ref": 1}
        assert await raw.message() == {"ev": "pong", "ref": 2}


async def test_a_handshake_may_follow_a_request_on_the_same_connection(hub: Hub) -> None:
    async with connected(hub) as raw:
        await raw.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await raw.answer()).status == 200
        assert (await raw.shake(hub)).status == 101
        await raw.send(text({"op": "ping", "ref": 1}))
        assert await raw.message() == {"ev": "pong", "ref": 1}


async def test_requests_on_one_connection_are_answered_in_order(hub: Hub) -> None:
    async with connected(hub) as raw:
        paths = ("/healthz", "/v1/counts?item=a", "/nonsense", "/v1/config", "/healthz")
        await raw.send(b"".join(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode() for path in paths))
        assert [(await raw.answer()).status for _ in paths] == [200, 200, 404, 200, 200]
