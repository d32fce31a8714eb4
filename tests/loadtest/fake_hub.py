"""A hub with planted faults, for tests of the load test: what it did wrong is what the tool has to find.

It is a real server on a port, in a thread of its own, and does as the protocol says except for its plan. Each change
of an item goes to its viewers in a frame of its own: there are no ticks, so nothing is conflated.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import jwt
import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from hubs import free_port
from scripted import KINDS, Truth
from tallycast.errors import Refused

SECONDS = 20.0
RSS_BYTES = 50_000_000  # of the hub without viewers, as its metrics tell
RSS_BYTES_PER_VIEWER = 8_192
CPU_S_PER_FRAME = 0.000_02
LAG_MS = 10.0  # the upper end of the bucket that all its timers fall into
Message = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What goes wrong. `…_every` n hits each n-th of its kind; 0 is never.

    `lost_every` is of shares: acknowledged, not counted. `doubled_every` is of downloads: counted twice. `error_every`,
    `hang_up_every` (counted, then cut off before the ack) and `mute_every` (counted, never acknowledged) are of all
    reactions. `fall_every` and `fork_every` are of changes: one viewer gets the frame before it once more, or the
    frame with another number in it, after the right one. With `silent_viewer` no frames come to the first one who
    watches. The whole hub stands still for `stall_s`, once, `stall_at_s` after the first reaction.
    """

    connect_delay_s: float = 0.0
    ack_delay_s: float = 0.0
    counts_delay_s: float = 0.0
    lost_every: int = 0
    doubled_every: int = 0
    error_every: int = 0
    hang_up_every: int = 0
    mute_every: int = 0
    fall_every: int = 0
    fork_every: int = 0
    silent_viewer: bool = False
    stall_at_s: float = 0.0
    stall_s: float = 0.0


@dataclass(eq=False)
class Connection:
    """A viewer's or reactor's socket, or an event stream."""

    queue: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)
    actor: str | None = None
    items: list[str] = field(default_factory=list)
    silent: bool = False


class FakeHub:
    """The hub; `planted` counts what it did wrong, by the plan's words (`lost`, `doubled`, `fell`, …)."""

    def __init__(self, plan: Plan) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.live = f"ws://127.0.0.1:{self.port}/v1/live"
        self.planted: Counter[str] = Counter()
        self.frames = 0
        self._started_s = time.monotonic()
        self._plan = plan
        self._truth = Truth()
        self._wrong: Counter[tuple[str, str]] = Counter()
        self._connections: set[Connection] = set()
        self._before: dict[str, str] = {}
        self._numbers: Counter[str] = Counter()
        routes = [
            Route("/v1/config", self._config),
            Route("/v1/counts", self._counts),
            Route("/v1/events", self._events),
            Route("/v1/visitors", self._visitors, methods=["POST"]),
            Route("/metrics", self._metrics),
            Route("/healthz", self._health),
            Route("/readyz", self._health),
            WebSocketRoute("/v1/live", self._live),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes),
            port=self.port,
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            log_level="critical",
            timeout_graceful_shutdown=1,
        )
        self.server = uvicorn.Server(config)

    def body(self, item: str) -> Message:
        """The item as it is shown, planted faults included."""
        body = self._truth.body(item)
        counts: dict[str, int] = body["counts"]
        for kind in {*counts, *(kind for of, kind in self._wrong if of == item)}:
            counts[kind] = counts.get(kind, 0) + self._wrong[item, kind]
        return {**body, "counts": {kind: count for kind, count in counts.items() if count}}

    async def _config(self, _: Request) -> Response:
        return JSONResponse({"kinds": {name: kind.public() for name, kind in KINDS.items()}, "tick_ms": 50})

    async def _counts(self, request: Request) -> Response:
        items = request.query_params.getlist("item")
        assert 1 <= len(items) <= 100
        return JSONResponse({"items": [self.body(item) for item in items]})

    async def _visitors(self, _: Request) -> Response:
        self._numbers["visitor"] += 1
        actor = f"v:{self._numbers['visitor']}"
        token = jwt.encode({"sub": actor, "exp": 4_000_000_000}, "a secret of this hub, nobody else's one")
        return JSONResponse({"token": token, "actor": actor, "expires_in": 3600}, 201)

    async def _health(self, _: Request) -> Response:
        return PlainTextResponse("ok")

    async def _metrics(self, _: Request) -> Response:
        timers = int((time.monotonic() - self._started_s) * 100)
        lines = {
            "process_cpu_seconds_total": self.frames * CPU_S_PER_FRAME,
            "process_resident_memory_bytes": RSS_BYTES + RSS_BYTES_PER_VIEWER * len(self._connections),
            "tallycast_fanout_frames_total": self.frames,
            'tallycast_viewers{transport="fast"}': len(self._connections),
            'tallycast_loop_lag_seconds_bucket{le="0.005"}': 0,
            'tallycast_loop_lag_seconds_bucket{le="0.01"}': timers,
            'tallycast_loop_lag_seconds_bucket{le="+Inf"}': timers,
            "tallycast_loop_lag_seconds_count": timers,
            "tallycast_loop_lag_seconds_sum": timers * 0.008,
        }
        return PlainTextResponse("".join(f"{name} {value}\n" for name, value in lines.items()))

    async def _events(self, request: Request) -> Response:
        connection = Connection(items=request.query_params.getlist("item"))

        async def stream() -> AsyncIterator[str]:
            self._connections.add(connection)
            try:
                yield "retry: 2000\n\n"
                for item in connection.items:
                    yield self._event(json.dumps({"ev": "counts", **self.body(item)}))
                while (text := await connection.queue.get()) is not None:
                    yield self._event(text)
            finally:
                self._connections.discard(connection)

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    def _event(self, text: str) -> str:
        return f"event: counts\nid: {json.loads(text)['v']}\ndata: {text}\n\n"

    async def _live(self, ws: WebSocket) -> None:
        await asyncio.sleep(self._plan.connect_delay_s)
        await ws.accept("tallycast.v1" if "tallycast.v1" in ws.scope["subprotocols"] else None)
        connection = Connection(actor=_bearer(ws))
        self._connections.add(connection)
        writer = asyncio.create_task(_write(ws, connection.queue))
        try:
            while True:
                self._take(connection, json.loads(await ws.receive_text()))
        except WebSocketDisconnect:
            pass
        finally:
            self._connections.discard(connection)
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer

    def _take(self, connection: Connection, message: Message) -> None:
        ref = {"ref": message["ref"]} if "ref" in message else {}
        match message["op"]:
            case "auth":
                connection.actor = _actor(message["token"])
                _send(connection, {"ev": "auth", **ref, "actor": connection.actor})
            case "subscribe":
                if self._plan.silent_viewer and connection.actor is None:
                    connection.silent = self._first("viewer")
                connection.items += message["items"]
                _send(connection, {"ev": "snapshot", **ref, "items": [self.body(item) for item in message["items"]]})
            case "ping":
                _send(connection, {"ev": "pong", **ref})
            case "react":
                self._react(connection, message, ref)

    def _react(self, connection: Connection, message: Message, ref: Message) -> None:
        plan, item, actor = self._plan, message["item"], connection.actor
        assert actor is not None
        if plan.stall_s and self._first("stall"):
            asyncio.get_running_loop().call_later(plan.stall_at_s, time.sleep, plan.stall_s)
        if self._planted("error", plan.error_every):
            _send(connection, {"ev": "error", **ref, "code": "unavailable", "message": "planted", "retry_after": 0.05})
            return
        before = self._truth.versions.get(item)
        try:
            self._truth.react(actor, message)
        except Refused as refused:
            _send(connection, {"ev": "error", **ref, "code": refused.code, "message": str(refused)})
            return
        if self._truth.versions.get(item) != before:
            if message["kind"] == "share" and self._planted("lost", plan.lost_every):
                self._wrong[item, "share"] -= 1
            if message["kind"] == "download" and self._planted("doubled", plan.doubled_every):
                self._wrong[item, "download"] += 1
            _later(plan.counts_delay_s, self._show, item, self.body(item))
        if self._planted("hung_up", plan.hang_up_every):
            connection.queue.put_nowait(None)
        elif not self._planted("muted", plan.mute_every):
            ack = {"ev": "ack", **ref, **self.body(item), "mine": self._truth.mine(item, actor)}
            _later(plan.ack_delay_s, _send, connection, ack)

    def _show(self, item: str, body: Message) -> None:
        """Send a change to everybody who watches the item, and what is planted after it to one of them."""
        text = json.dumps({"ev": "counts", **body})
        viewers = [c for c in self._connections if item in c.items and not c.silent]
        for viewer in viewers:
            viewer.queue.put_nowait(text)
        self.frames += len(viewers)
        before = self._before.get(item)
        self._before[item] = text
        if not viewers or before is None:
            return
        if self._planted("fell", self._plan.fall_every):
            viewers[0].queue.put_nowait(before)
        if self._planted("forked", self._plan.fork_every):
            forked = {**body, "counts": {**body["counts"], "love": 1_000}}
            viewers[0].queue.put_nowait(json.dumps({"ev": "counts", **forked}))

    def _planted(self, fault: str, every: int) -> bool:
        """Whether this is the one of `every` to go wrong; then it is noted."""
        if not every:
            return False
        self._numbers[fault] += 1
        if self._numbers[fault] % every:
            return False
        self.planted[fault] += 1
        return True

    def _first(self, what: str) -> bool:
        self._numbers[what] += 1
        return self._numbers[what] == 1


@contextmanager
def fake_hub(plan: Plan | None = None) -> Iterator[FakeHub]:
    """A running fake hub, for one block."""
    hub = FakeHub(plan or Plan())
    thread = threading.Thread(target=hub.server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + SECONDS
    while not hub.server.started:
        assert thread.is_alive() and time.monotonic() < deadline, "the fake hub did not start"
        time.sleep(0.01)
    try:
        yield hub
    finally:
        hub.server.should_exit = True
        thread.join(SECONDS)
        assert not thread.is_alive()


async def _write(ws: WebSocket, queue: asyncio.Queue[str | None]) -> None:
    with suppress(WebSocketDisconnect):
        while (text := await queue.get()) is not None:
            await ws.send_text(text)
        await ws.close(1011)


def _send(connection: Connection, message: Message) -> None:
    connection.queue.put_nowait(json.dumps(message))


def _later(delay_s: float, call: Any, *arguments: Any) -> None:
    if delay_s:
        asyncio.get_running_loop().call_later(delay_s, call, *arguments)
    else:
        call(*arguments)


def _bearer(connection: HTTPConnection) -> str | None:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return _actor(token) if scheme == "Bearer" else None


def _actor(token: str) -> str:
    actor: str = jwt.decode(token, options={"verify_signature": False})["sub"]
    return actor
