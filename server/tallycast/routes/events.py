"""GET /v1/events: counts as Server-Sent Events, for readers that only watch and need no socket.

https://html.spec.whatwg.org/multipage/server-sent-events.html. As on a socket there is no queue: while a reader has
not taken what came before, the hub keeps only which of its items moved, and sends their newest counts then.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from functools import lru_cache

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tallycast import frames, wire
from tallycast.handshake import Admission
from tallycast.items import Item
from tallycast.routes.incoming import asked_items, asked_viewers, headers_of, peer_of
from tallycast.service import Service

COMMENT_S = 15.0  # of quiet, at least; proxies cut a connection that says nothing for 30 to 60 s
COMMENT = b": still here\n\n"
MOST_KNOWN = 1_000  # events that were just sent, for those who are still to have them
RETRY_MS = (2000, 5000)  # drawn for each stream: those of a hub that dies do not come back all at once
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back to fill a buffer
}


@lru_cache(MOST_KNOWN)
def event(data: bytes) -> bytes:
    """A message as an event of the name in its `ev`; `id` and `retry` say again what `v` and `retry_after` say."""
    message = orjson.loads(data)
    text = b"event: %b\n" % message["ev"].encode()
    if "v" in message:
        text += b"id: %d\n" % message["v"]
    if "retry_after" in message:
        text += b"retry: %d\n" % (message["retry_after"] * 1000)
    return text + b"data: %b\n\n" % data


class EventStream(Response):
    """The answer that goes on: items as they are, then as they move, until the reader leaves or the hub does.

    It is a Watcher to the hub, and what the hub writes in one turn of the event loop goes out together. Time limits are
    the keepalive's: two timers for each event are a third of its cost.
    """

    def __init__(self, service: Service, admission: Admission, names: Sequence[str], *, viewers: bool) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["Content-Length"]
        self.stale: set[Item] | None = None
        self._service = service
        self._admission = admission
        self._names = names
        self._curious = viewers
        self.items: tuple[Item, ...] = ()
        self._frames: list[bytes] = []
        self._wake = asyncio.Event()
        self._ended = False
        self._sending = False
        self._since_s = service.now_s()  # it is sending, or has sent
        self._given_up = False

    def write(self, frame: bytes) -> None:
        """Send `frame` with what else is written in this turn."""
        self._frames.append(frame)
        self._wake.set()

    def bye(self, retry_after_s: float) -> None:
        """The hub restarts: say so, and end."""
        self.write(wire.bye(retry_after_s))
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._wake.set()

    def sweep(self, now_s: float) -> None:
        """Give a reader up who takes nothing for slow_viewer_s; say a word after COMMENT_S of quiet. See Keepalive."""
        patience_s = self._service.settings.slow_viewer_s
        if not self._sending:
            if now_s - self._since_s >= COMMENT_S:
                self._wake.set()
        elif patience_s and now_s - self._since_s >= patience_s and not self._given_up:
            self._given_up = True
            self._task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service, hub = self._service, self._service.hub
        viewers = service.metrics.viewers.labels("events")
        viewers.inc()
        service.streams.add(self)
        try:
            self.items = tuple(hub.item(name) for name in self._names)
            for item in self.items:
                hub.watch(self, item)
                hub.tell_viewers(self, item, wanted=self._curious)
            # Watched first and read then: no change in between is missed. Raises Unavailable, which becomes a 503.
            await hub.read(self._names, None)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
            else:
                await self._stream(scope, receive, send)
        finally:
            hub.leave(self)
            service.streams.discard(self)
            service.gate.leave(self._admission)
            viewers.dec()

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        hub, now_s, swept = self._service.hub, self._service.now_s, self._service.keepalive.streams
        leaving = asyncio.create_task(self._until_left(receive))
        self._frames = [item.frame_for(self) for item in self.items]
        text = b"retry: %d\n\n" % random.randint(*RETRY_MS) + self._events()
        last = False
        swept.add(self)
        try:
            while not last:
                last = self._ended
                hub.pause(self)
                self._sending, self._since_s = True, now_s()
                await send({"type": "http.response.body", "body": text, "more_body": not last})
                self._sending = False
                hub.resume(self)
                if not last:
                    await self._wake.wait()
                    self._wake.clear()
                    text = self._events() or COMMENT
        except asyncio.CancelledError:
            if not self._given_up:
                raise
            task.uncancel()
            self._service.metrics.slow_viewers.inc()
            # ASGI has no word for this, and a server that closes would first wait for what is not taken to be taken.
            abort = scope.get("state", {}).get("abort")
            if abort is not None:
                abort()
                await leaving
        finally:
            swept.discard(self)
            leaving.cancel()

    def _events(self) -> bytes:
        taken, self._frames = self._frames, []
        return b"".join(event(message) for data in taken for message in frames.payloads(data))

    async def _until_left(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._end()


async def events(request: Request) -> Response:
    """Counts of up to items_per_viewer items as they move. Raises Refused where a socket's handshake would."""
    service: Service = request.app.state.service
    items = asked_items(request, service.settings.items_per_viewer)
    viewers = asked_viewers(request)
    admission = service.gate.admit(headers_of(request), peer_of(request))
    try:
        service.check_view(admission.actor, items)
    except BaseException:
        service.gate.leave(admission)
        raise
    return EventStream(service, admission, items, viewers=viewers)


routes = [Route("/v1/events", events)]
