"""The socket over plain ASGI: the same conversation as on the fast lane, under any server and inside any app."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tallycast import frames, wire
from tallycast.errors import Refused
from tallycast.handshake import offers_subprotocol
from tallycast.keepalive import CLOSE_S
from tallycast.outbox import Outbox
from tallycast.routes.incoming import headers_of, peer_of
from tallycast.routes.problems import problem
from tallycast.service import Service
from tallycast.viewer import Viewer


async def live(socket: WebSocket) -> None:
    """A viewer, from the handshake to the end."""
    service: Service = socket.app.state.service
    headers = headers_of(socket)
    try:
        admission = service.gate.admit(headers, peer_of(socket))
    except Refused as refusal:
        await _deny(socket, problem(refusal.code, refusal.message, retry_after_s=refusal.retry_after_s))
        return
    viewer = None
    try:
        offered = offers_subprotocol(headers.get(b"sec-websocket-protocol", b""))
        await socket.accept(subprotocol=wire.SUBPROTOCOL if offered else None)

        async def send(data: bytes) -> None:
            for payload in frames.payloads(data):
                await socket.send_text(payload.decode())

        outbox = Outbox(send, patience_s=service.settings.slow_viewer_s)
        viewer = Viewer(service, outbox, admission)
        outbox.conversation = viewer
        service.streams.add(viewer)
        service.metrics.viewers.labels("asgi").inc()
        await _converse(socket, service, viewer, outbox)
    finally:
        if viewer is not None:
            service.streams.discard(viewer)
            service.metrics.viewers.labels("asgi").dec()
            viewer.gone()
        service.gate.leave(admission)


async def _converse(socket: WebSocket, service: Service, viewer: Viewer, outbox: Outbox) -> None:
    sending = asyncio.create_task(outbox.run())
    listening = asyncio.create_task(_listen(socket, service.settings.message_bytes, viewer, outbox))
    try:
        # Listening ends when the client goes, sending when the hub closes.
        await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            # The client may have gone meanwhile, or a close frame may not get past what it does not read.
            with contextlib.suppress(RuntimeError, OSError, WebSocketDisconnect, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    if isinstance(sending.exception(), TimeoutError):
                        service.metrics.slow_viewers.inc()
                        await socket.close(4408, "slow viewer")
                    elif sending.exception() is None and outbox.closed is not None:
                        await socket.close(*outbox.closed)
    finally:
        for task in (sending, listening):
            task.cancel()
        await asyncio.gather(sending, listening, return_exceptions=True)


async def _listen(socket: WebSocket, max_bytes: int, viewer: Viewer, outbox: Outbox) -> None:
    while True:
        await outbox.room()
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if outbox.closed is not None:
            continue  # our close is on its way; what comes before the client's answer is dropped
        text = message.get("text")
        if text is None:
            outbox.close(1003, "text frames only")
            continue
        data = text.encode()
        if len(data) > max_bytes:
            outbox.close(1009, f"a message may have {max_bytes} bytes")
            continue
        viewer.message(data)


async def _deny(socket: WebSocket, response: Response) -> None:
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(response)
    else:
        await socket.close()  # which such a server answers with 403


async def no_socket(_request: Request) -> Response:
    """A plain request to the socket's path."""
    return problem("bad_request", "this is a WebSocket", status=426, headers={"Upgrade": "websocket"})


routes: list[BaseRoute] = [WebSocketRoute("/v1/live", live), Route("/v1/live", no_socket)]
