"""python-socketio's AsyncServer on uvicorn, with a room of viewers. It speaks Socket.IO: events with JSON arguments.

Its argument is the port to listen on.
An echo and a reaction are answered with Socket.IO's own acknowledgement, which is what a handler returns.
"""

from __future__ import annotations

import sys
from typing import Any

import socketio
import uvicorn

from bench.peers.counting import Counts

ROOM = "viewers"
# Of the WebSocket transport alone. Compression is for HTTP answers there, and monitoring is off.
sio = socketio.AsyncServer(async_mode="asgi", transports=["websocket"], http_compression=False)
counts = Counts()


@sio.event  # type: ignore[untyped-decorator]
async def subscribe(sid: str, data: object) -> None:
    await sio.enter_room(sid, ROOM)
    await sio.emit("snapshot", {"items": [{"item": "bench:hot", "v": 0, "counts": {}}]}, to=sid)


@sio.event  # type: ignore[untyped-decorator]
async def publish(sid: str, data: object) -> None:
    await sio.emit("counts", data, room=ROOM)


@sio.event  # type: ignore[untyped-decorator]
async def react(sid: str, data: dict[str, Any]) -> dict[str, Any]:
    return counts.react(sid, data)


@sio.event  # type: ignore[untyped-decorator]
async def echo(sid: str, data: object) -> object:
    return data


if __name__ == "__main__":
    uvicorn.run(
        socketio.ASGIApp(sio),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        ws_per_message_deflate=False,
        backlog=8192,
    )
