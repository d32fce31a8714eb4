"""What a request brings, checked: its items, its body within bounds of size and time, its headers and peer."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request

from tallycast import wire
from tallycast.errors import Refused
from tallycast.routes.problems import closing


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


async def read_body(request: Request, *, most_bytes: int, within_s: float) -> bytes:
    """The whole body, if it is at most `most_bytes` long and has come `within_s` seconds from now.

    Raises HTTPException 413 as soon as it is known to be longer, 408 when it is late, 400 when the client hangs up.
    """
    too_big = HTTPException(413, f"the body may have {most_bytes} bytes at most", closing(request))
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most_bytes:
        raise too_big
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for part in request.stream():
                body += part
                if len(body) > most_bytes:
                    raise too_big
    except TimeoutError:
        raise HTTPException(408, f"the body did not come within {within_s:g} s", closing(request)) from None
    except ClientDisconnect:
        raise HTTPException(400, "the connection ended before the body did") from None
    return bytes(body)


def headers_of(connection: HTTPConnection) -> dict[bytes, bytes]:
    """The headers by lower-case name; those that stand several times as one, joined by commas (RFC 9110, 5.3)."""
    headers: dict[bytes, bytes] = {}
    for name, value in connection.scope["headers"]:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def peer_of(connection: HTTPConnection) -> str:
    """The other end's address; "" where it has none, such as on a Unix socket."""
    return connection.client.host if connection.client else ""
