"""GET /v1/admin/changes: every change of a count, as it happens and from where a reader left off."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tallycast.changes import Changes, parse
from tallycast.errors import Refused, Unavailable
from tallycast.routes.admin.requests import admin_of, asker_of, prefix_of
from tallycast.routes.events import RETRY_MS
from tallycast.service import Service
from tallycast.store.records import Entry

QUIET_S = 15.0  # after which something is said; proxies cut a connection that says nothing for 30 to 60 s
AGAIN_S = 1.0  # after trouble of the store
CHUNK_BYTES = 65_536  # of what is sent at once
EVENTS, LINES = "text/event-stream", "application/x-ndjson"


def line(id: str, at_s: float, changes: Iterable[tuple[str, int, dict[str, int]]] = ()) -> bytes:
    """What one entry of the journal says, as JSON; without changes only that the journal is at that position."""
    told = [{"item": item, "v": v, "by": by} for item, v, by in changes]
    return orjson.dumps({"id": id, "at": at_s, "changes": told})


class ChangeStream(Response):
    """The answer that goes on: changes of items that begin with `prefix`, after `position`.

    There is no queue: a reader that is slow is further back in the journal. `allowed` raises Refused once its asker may
    not follow any more.
    """

    def __init__(
        self,
        service: Service,
        changes: Changes,
        prefix: str,
        position: str,
        media_type: str,
        allowed: Callable[[], Awaitable[object]],
    ) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx would fill a buffer first
        super().__init__(headers=headers, media_type=media_type)
        del self.headers["Content-Length"]
        self._service = service
        self._changes = changes
        self._prefix = prefix
        self._position = position  # up to where the journal was looked through
        self._entries: deque[Entry] = deque()  # the next ones
        self._told = ""  # the position that the reader knows
        self._as_events = media_type == EVENTS
        self._allowed = allowed
        self._allowed_s = float("-inf")  # when that was asked
        self._waiting: asyncio.Task[bytes] | None = None  # for what to send next
        self._ended = False
        self._goodbye = b""

    def bye(self, retry_after_s: float) -> None:
        """The hub restarts: end, and say when to come back where there is a word for it."""
        if self._as_events:
            self._goodbye = b"retry: %d\n\n" % (retry_after_s * 1000)
        self._end()

    def _end(self) -> None:
        self._ended = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._service.draining:
            raise Unavailable("the hub restarts: come back in a moment")
        with self._changes.following():
            self._service.streams.add(self)
            leaving = asyncio.create_task(self._until_left(receive))
            try:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                if scope["method"] == "HEAD":
                    await send({"type": "http.response.body", "body": b""})
                else:
                    await self._stream(send)
            except TimeoutError:
                self._service.metrics.slow_viewers.inc()
                # As routes/events.py does: ASGI has no word for this.
                abort = scope.get("state", {}).get("abort")
                if abort is not None:
                    abort()
                    await leaving
            finally:
                leaving.cancel()
                self._service.streams.discard(self)

    async def _stream(self, send: Send) -> None:
        text = self._begin()
        while True:
            async with asyncio.timeout(self._service.settings.slow_viewer_s or None):
                await send({"type": "http.response.body", "body": text, "more_body": True})
            if self._ended:
                break
            self._waiting = asyncio.create_task(self._news())
            try:
                text = await self._waiting
            except Refused:
                break  # its place is not kept any more, or it may not follow: it is told when it asks again
            except asyncio.CancelledError:
                if not self._ended:
                    raise
                break
        await send({"type": "http.response.body", "body": self._goodbye})

    async def _news(self) -> bytes:
        """What to send next: changes as soon as there are any, a sign of life when there were none for QUIET_S."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._allowed_s >= QUIET_S:
            await self._allowed()
            self._allowed_s = now_s
        try:
            async with asyncio.timeout(QUIET_S):
                while True:
                    text = await self._some()
                    if text:
                        return text
        except TimeoutError:
            return self._sign_of_life()

    async def _some(self) -> bytes:
        """What the next entries say, "" where that is nothing of these items."""
        if not self._entries:
            try:
                entries = await self._changes.after(self._position)
            except Unavailable:
                await asyncio.sleep(AGAIN_S)
                return b""
            self._entries = deque(entries)
        await asyncio.sleep(0)  # a reader that is far behind must not keep the loop to itself
        text = bytearray()
        while self._entries and len(text) < CHUNK_BYTES:  # nothing is waited for here: it would be lost at a timeout
            entry = self._entries.popleft()
            self._position = entry.id
            text += self._entry(entry)
        return bytes(text)

    def _entry(self, entry: Entry) -> bytes:
        changes = [change for change in parse(entry.body) if change.item.startswith(self._prefix)]
        if not changes:
            return b""
        self._told = entry.id
        said = line(entry.id, entry.at_ms / 1000, changes)
        if self._as_events:
            return b"event: changes\nid: %b\ndata: %b\n\n" % (entry.id.encode(), said)
        return said + b"\n"

    def _begin(self) -> bytes:
        if self._as_events:
            return b"retry: %d\n%b" % (random.randint(*RETRY_MS), self._here())
        return self._here()

    def _sign_of_life(self) -> bytes:
        if self._told == self._position:
            return b": still here\n\n" if self._as_events else b"\n"
        return self._here()

    def _here(self) -> bytes:
        """Tell the reader the position, so that it can go on from there."""
        self._told = self._position
        if self._as_events:
            return b"id: %b\n\n" % self._position.encode()
        return line(self._position, round(time.time(), 3)) + b"\n"

    async def _until_left(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._end()


async def changes(request: Request) -> Response:
    """Changes of counts from now on, or after an id. Raises Refused (admin_of()'s, prefix_of()'s, Changes.position()'s,
    `rate_limited`), Unavailable."""
    prefix = prefix_of(request, await asker_of(request))

    async def allowed() -> None:
        await admin_of(request, "read", prefix)

    await allowed()
    followed: Changes = request.app.state.site.changes
    after = request.headers.get("last-event-id", request.query_params.get("after"))
    position = await followed.position(after)
    media_type = EVENTS if EVENTS in request.headers.get("accept", "") else LINES
    return ChangeStream(request.app.state.service, followed, prefix, position, media_type, allowed)


routes = [Route("/v1/admin/changes", changes)]
