"""The websockets package's asyncio server on uvloop, and its broadcast().

Its argument is the port to listen on.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from bench.peers import PUBLISH, REACT, SNAPSHOT, SUBSCRIBE
from bench.peers.counting import Counts

viewers: set[ServerConnection] = set()
counts = Counts()


async def live(socket: ServerConnection) -> None:
    """One connection."""
    try:
        async for text in socket:
            assert isinstance(text, str)
            if text.startswith(REACT):
                await socket.send(counts.react_text(socket, text))
            elif text.startswith(SUBSCRIBE):
                viewers.add(socket)
                await socket.send(SNAPSHOT)
            elif text.startswith(PUBLISH):
                broadcast(viewers, text)
            else:
                await socket.send(text)
    except ConnectionClosed:  # without a goodbye
        pass
    finally:
        viewers.discard(socket)


async def main(port: int) -> None:
    """Serve until the process is ended."""
    async with serve(live, "127.0.0.1", port, compression=None, backlog=8192):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
