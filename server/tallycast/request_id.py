"""Which request is being served: an id in its answer's X-Request-ID and in what is logged meanwhile."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "X-Request-ID"
NAME = HEADER.lower().encode()  # as ASGI has it

# What proxies and browsers' tracers make: no blank, quote, control or letter that could pass for something else.
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:=+/-]{1,128}")


class _Request:
    """A request that is being served; its `id` is "" once it is over.

    Tasks and timers keep the context in which they were begun, some for as long as the hub lives: what they log later
    is not of this request.
    """

    __slots__ = ("id",)

    def __init__(self, id: str) -> None:
        self.id = id

    def over(self) -> None:
        self.id = ""


_serving: ContextVar[_Request | None] = ContextVar("tallycast_request", default=None)


def choose(given: bytes | None) -> str:
    """The id of a new request: the one that it was `given` by somebody who may, where well-formed; else a new one."""
    return given.decode() if given is not None and _WELL_FORMED.fullmatch(given) else secrets.token_hex(8)


def current() -> str:
    """The id of the request that is being served here and now; "" outside of any."""
    request = _serving.get()
    return "" if request is None else request.id


@contextmanager
def serving(id: str) -> Iterator[None]:
    """The block serves the request with this id, and so do the tasks begun in it until it ends. Inside a running loop.

    The request is over with the loop's next turn: a defect is raised through all of the app, and logged by the server
    around it.
    """
    request = _Request(id)
    _serving.set(request)
    try:
        yield
    finally:
        asyncio.get_running_loop().call_soon(request.over)
