"""The ways to serve the hub, each of which gives the same answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from hubs import Command, OwnHub, fast_lane

Start = Callable[..., AbstractContextManager[OwnHub]]  # start(viewing="token") as hub


class Lane(NamedTuple):
    """How a server with the hub is started, and the path that the hub is found under."""

    command: Command
    prefix: str = ""


def _uvicorn(port: int, *app: str) -> Sequence[str]:
    options = ("--ws", "websockets-sansio", "--ws-per-message-deflate", "false", "--no-access-log")
    return (sys.executable, "-m", "uvicorn", *app, "--factory", "--host", "127.0.0.1", "--port", str(port), *options)


def _plain_uvicorn(port: int) -> Sequence[str]:
    return _uvicorn(port, "tallycast.app:create_app")


def _mounted(port: int) -> Sequence[str]:
    return _uvicorn(port, "mounted:create_app", "--app-dir", str(Path(__file__).parent))


def _hypercorn(port: int) -> Sequence[str]:
    in_one_process = ("--workers", "0")  # a killed parent would leave its worker behind
    return (
        sys.executable,
        "-m",
        "hypercorn",
        *in_one_process,
        "--bind",
        f"127.0.0.1:{port}",
        "tallycast.app:create_app()",
    )


LANES = {
    "fast": Lane(fast_lane),
    "uvicorn": Lane(_plain_uvicorn),
    "hypercorn": Lane(_hypercorn),
    "mounted": Lane(_mounted, "/engage"),
}
