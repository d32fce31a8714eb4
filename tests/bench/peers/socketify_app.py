"""socketify: uWebSockets, in C++, with its own publish and subscribe, under handlers in Python.

Its argument is the port to listen on.
"""

from __future__ import annotations

import sys

from socketify import App, AppListenOptions, CompressOptions, OpCode, WebSocket

from bench.peers import PUBLISH, REACT, SNAPSHOT, SUBSCRIBE
from bench.peers.counting import Counts

TOPIC = "viewers"
app = App()
counts = Counts()


def message(socket: WebSocket, text: str, opcode: OpCode) -> None:
    """One message of one connection."""
    if text.startswith(REACT):
        socket.send(counts.react_text(socket.get_user_data(), text), OpCode.TEXT)
    elif text.startswith(SUBSCRIBE):
        socket.subscribe(TOPIC)
        socket.send(SNAPSHOT, OpCode.TEXT)
    elif text.startswith(PUBLISH):
        app.publish(TOPIC, text, OpCode.TEXT)
    else:
        socket.send(text, OpCode.TEXT)


if __name__ == "__main__":
    app.ws("/*", {"compression": CompressOptions.DISABLED, "idle_timeout": 120, "message": message})
    app.listen(AppListenOptions(port=int(sys.argv[1]), host="127.0.0.1"), lambda options: None)
    # In app.run() asyncio and libuv take turns at polling, which keeps a core busy while nothing happens. No handler
    # here needs asyncio, so uWebSockets gets its own loop to itself.
    app.loop.uv_loop.run()
