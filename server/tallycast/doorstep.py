"""uvicorn's HTTP protocol with a handshake of its own: what happens before a connection is on the fast lane.

HTTP requests go to the app as ever. A WebSocket handshake for /v1/live, parsed once by httptools like any request, is
answered here; then the transport gets a Lane, and of uvicorn's nothing stays behind: no task, scope, queue or parser.
An idle viewer costs 2 KiB instead of 25 (docs/design.md).

It also closes what stock uvicorn leaves open to strangers: a request's head has a deadline and a size limit, and
connections count before they have said anything.
"""

from __future__ import annotations

import asyncio
import functools
import time

import httptools
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tallycast import request_id
from tallycast.errors import Refused
from tallycast.handshake import by_name, upgrade
from tallycast.routes.problems import problem
from tallycast.service import Service
from tallycast.transport import Lane
from tallycast.viewer import Viewer

LIVE_PATH = b"/v1/live"
MAX_LINE_BYTES = 8 * 1024  # a request's target, or one of its headers
MAX_HEAD_BYTES = 16 * 1024  # all of them together
MOST_OUTSIDE = 64  # connections that may ask for a page or a probe when the hub has as many viewers as it may


class TooLarge(Exception):
    """A request's head is over the limit."""


class Doorstep(HttpToolsProtocol):
    """A connection until it is known what it wants. uvicorn makes one a connection (`http=Doorstep`).

    The app's lifespan state must hold `service`.
    """

    _in_head = True
    _unread_bytes = 0
    _lines_bytes = 0
    _live = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._service: Service = self.app_state["service"]
        gate = self._service.gate
        if gate.most_open and gate.open + len(self.connections) > gate.most_open + MOST_OUTSIDE:
            self._refuse(503, "unavailable", "the hub has as many connections as it may", retry_after_s=5)
            return
        self._service.keepalive.expect(self, time.monotonic())

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._service.keepalive.complete(self)

    def too_late(self) -> None:
        """The head of a request has not come in time."""
        self._refuse(408, "bad_request", "the request's head did not come in time")

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as end:
            if self._live:
                self._handshake(data[end.args[0] :])
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, TooLarge):
                self._refuse_large()
            else:
                self._refuse(400, "bad_request", "not an HTTP request")
        else:
            if self._in_head:
                self._unread_bytes += len(data)  # httptools says nothing of a line before its end
                if self._unread_bytes > MAX_HEAD_BYTES:
                    self._refuse_large()

    # httptools calls these

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"]["abort"] = self.transport.abort  # for answers that go on and are not read
        self._in_head, self._unread_bytes, self._lines_bytes = True, 0, 0
        self._service.keepalive.expect(self, time.monotonic())

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._measure_line(len(self.url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._measure_line(len(name) + len(value))

    def _measure_line(self, size_bytes: int) -> None:
        self._lines_bytes += size_bytes
        if size_bytes > MAX_LINE_BYTES or self._lines_bytes > MAX_HEAD_BYTES:
            raise TooLarge

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._service.keepalive.complete(self)
        self._live = (
            self.parser.should_upgrade()
            and self.url.partition(b"?")[0] == LIVE_PATH
            and self._get_upgrade() == b"websocket"
        )
        if not self._live:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._live:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._live:
            super().on_message_complete()

    def _should_upgrade(self) -> bool:
        return False  # to what uvicorn has for it; a socket anywhere else is a plain request that finds no page

    # Answers

    def _handshake(self, rest: bytes) -> None:
        service = self._service
        headers = by_name(self.headers)
        peer = self.client[0] if self.client else ""
        id = service.gate.request_id(headers, peer)
        try:
            answer = upgrade(self.parser.get_method(), headers, b"%b: %b\r\n" % (request_id.NAME, id.encode()))
            admission = service.gate.admit(headers, peer)
        except Refused as refusal:
            response = problem(refusal.code, refusal.message, retry_after_s=refusal.retry_after_s)
            self._answer(response, id)
            return
        transport = self.transport
        transport.write(answer)
        lane = Lane(
            transport,
            lambda channel: Viewer(service, channel, admission),
            service.keepalive,
            max_bytes=service.settings.message_bytes,
            lost=functools.partial(service.gate.leave, admission),
        )
        transport.set_protocol(lane)
        self.connections.discard(self)
        self.parser = None  # type: ignore[assignment]  # it holds this object, and this object it
        if rest:
            lane.data_received(rest)

    def _refuse_large(self) -> None:
        self._refuse(431, "bad_request", "the request's head is too large")

    def _refuse(self, status: int, code: str, detail: str, *, retry_after_s: float | None = None) -> None:
        self._answer(problem(code, detail, status=status, retry_after_s=retry_after_s), request_id.choose(None))

    def _answer(self, response: Response, id: str) -> None:
        """Answer without the app, and close."""
        response.headers[request_id.HEADER] = id
        head = [STATUS_LINE[response.status_code]]
        for name, value in (*self.server_state.default_headers, *response.raw_headers, (b"connection", b"close")):
            head += name, b": ", value, b"\r\n"
        self.transport.write(b"".join((*head, b"\r\n", bytes(response.body))))
        self.transport.close()
