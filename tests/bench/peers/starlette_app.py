"""A plain Starlette application on uvicorn: a set of sockets and a loop that awaits each send.

Its argument is the port to listen on.
"""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from bench.peers import PUBLISH, REACT, SNAPSHOT, SUBSCRIBE
from bench.peers.counting import Counts

viewers: set[WebSocket] = set()
counts = Counts()


async def live(socket: WebSocket) -> None:
    """One connection."""
    await socket.accept()
    try:
        async for text in socket.iter_text():
            if text.startswith(REACT):
                await socket.send_text(counts.react_text(socket, text))
            elif text.startswith(SUBSCRIBE):
                viewers.add(socket)
                await socket.send_text(SNAPSHOT)
            elif text.startswith(PUBLISH):
                for viewer in list(viewers):
                    try:
                        await viewer.send_text(text)
                    except WebSocketDisconnect:
                        viewers.discard(viewer)
            else:
                await socket.send_text(text)
    finally:
        viewers.discard(socket)


if __name__ == "__main__":
    uvicorn.run(
        Starlette(routes=[WebSocketRoute("/", live)]),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        ws_per_message_deflate=False,
        backlog=8192,
    )
