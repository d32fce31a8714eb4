"""What a request brings, checked: its items, its body within bounds of size and time, its headers and peer."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request

from tallycast import wire
from tallycast.errors import Refused
from tallycast.handshake import by_name
from tallycast.routes.problems import closing

MOST_READ_BYTES = 2 * 1024 * 1024  # of a body that is too long, kept or not


def asked_items(request: Request, most: int) -> list[str]:
    """The ids of the query's `item` parameters in their order, each once; at most `most`, 0 for any number.

    Raises Refused (`bad_request`, `bad_item`, `too_many_items`).
    """
    names = list(dict.fromkeys(request.query_params.getlist("item")))
    if not names:
        raise Refused("bad_request", "say which items: ?item=post:1&item=post:2")
    if most and len(names) > most:
        raise Refused("too_many_items", f"{len(names)} items are asked for: {most} at most")
    return [wire.check_item(name) for name in names]


def asked_viewers(request: Request) -> bool:
    """Whether the query wants to be told how many watch. Raises Refused (`bad_request`)."""
    viewers = request.query_params.get("viewers", "false")
    if viewers not in ("true", "false"):
        raise Refused("bad_request", "viewers must be true or false")
    return viewers == "true"


async def read_body(request: Request, *, most_bytes: int, within_s: float) -> bytes:
    """The whole body, if it is at most `most_bytes` long and has come `within_s` seconds from now (0: whenever).

    Raises HTTPException 413 when it is longer, 408 when it is late, 400 when the client hangs up. A body that is too
    long is read on and thrown away, within bounds: closing on a client that still writes would reset the connection,
    and the client might see that in place of the answer.
    """
    too_big = f"the body may have {most_bytes} bytes at most"
    declared = request.headers.get("content-length", "")
    declared_bytes = int(declared) if declared.isdecimal() else 0
    # Expect: 100-continue: the client waits for leave to send, and need not be given it.
    if declared_bytes > MOST_READ_BYTES or (declared_bytes > most_bytes and "expect" in request.headers):
        raise HTTPException(413, too_big, closing(request))
    body = bytearray()
    size_bytes = 0
    try:
        async with asyncio.timeout(within_s or None):
            async for part in request.stream():
                size_bytes += len(part)
                if size_bytes <= most_bytes:
                    body += part
                elif size_bytes > MOST_READ_BYTES:
                    raise HTTPException(413, too_big, closing(request))
    except TimeoutError:
        if size_bytes <= most_bytes:
            raise HTTPException(408, f"the body did not come within {within_s:g} s", closing(request)) from None
        raise HTTPException(413, too_big, closing(request)) from None
    except ClientDisconnect:
        raise HTTPException(400, "the connection ended before the body did") from None
    if size_bytes > most_bytes:
        raise HTTPException(413, too_big)
    return bytes(body)


def headers_of(connection: HTTPConnection) -> dict[bytes, bytes]:
    """The headers as the gate wants them."""
    return by_name(connection.scope["headers"])


def peer_of(connection: HTTPConnection) -> str:
    """The other end's address; "" where it has none, such as on a Unix socket."""
    return connection.client.host if connection.client else ""
