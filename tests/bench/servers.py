"""The servers of the benchmark: how each is started, what it is spoken to in, and what it does besides."""

from __future__ import annotations

import importlib.metadata
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import hubs
from bench.native import SERVER_CORE, RunError, pin

TESTS = Path(__file__).parents[1]
START_S = 20.0
MESSAGE_BYTES = 120  # of each message to all viewers: what the hub's counts frame of ITEM is long
V = 1_763_750_000_000_000  # a version, with as many digits as the hub's
TOKENS = 512  # identities that connections take turns at


def _counts(item: str) -> str:
    return f'{{"ev":"counts","item":"{item}","v":{V},"counts":{{"clap":{{v}}}}}}'


ITEM = "bench:".ljust(6 + MESSAGE_BYTES - len(_counts("bench:")) + len("{v}") - len("10"), "x")
ECHO = '{"op":"ping","ref":{n}}'  # the hub's pong is as long
REACT = '{"op":"react","ref":{n},"item":"bench:{i}","kind":"clap","value":{v}}'
SUBSCRIBE = f'>{{"op":"subscribe","ref":1,"items":["{ITEM}"]}}\n<{{"ev":"snapshot"'
AUTH = '>{"op":"auth","ref":1,"token":"{token}"}\n<{"ev":"auth"'


@dataclass(frozen=True)
class Dialect:
    """What the client says to a server, in the client's own terms (client.c)."""

    path: str = "/"
    protocol: str = ""
    viewer: str = SUBSCRIBE  # scripts until a connection is a viewer, the publisher, one who reacts or is echoed
    publisher: str = ""
    reactor: str = ""
    talker: str = ""
    publish: str = _counts(ITEM)  # messages, each with the beginning of what it is counted by
    published: str = '{"ev":"counts"'
    echo: str = ECHO
    echoed: str = '{"op":"ping"'
    react: str = REACT
    acked: str = '{"ev":"ack"'
    refused: str = ""
    heartbeat: str = ""


PLAIN = Dialect()
HUB = Dialect(
    path="/v1/live",
    protocol="tallycast.v1",
    publisher=AUTH,
    reactor=AUTH,
    publish=f'{{"op":"react","ref":{{n}},"item":"{ITEM}","kind":"clap","value":{{v}}}}',
    echoed='{"ev":"pong"',
    refused='{"ev":"error"',
)
_HELLO = "<0{\n>40\n<40{"
SOCKET_IO = Dialect(
    path="/socket.io/?EIO=4&transport=websocket",
    viewer=_HELLO + '\n>42["subscribe",{"ref":1}]\n<42["snapshot"',
    publisher=_HELLO,
    reactor=_HELLO,
    talker=_HELLO,
    publish=f'42["publish",{_counts(ITEM)}]',
    published='42["counts"',
    echo=f'421["echo",{ECHO}]',
    echoed="431",
    react=f'421["react",{REACT}]',
    acked="431",
    heartbeat="23",  # Engine.IO's own ping and pong
)


class Running(NamedTuple):
    """A server that listens."""

    port: int
    pid: int


Start = Callable[[Path], AbstractContextManager[Running]]


@dataclass(frozen=True)
class Contestant:
    """One server of the benchmark. `kind` is `hub`, `floor`, `python` or `native` (its work is done in C++)."""

    name: str
    kind: str
    start: Start
    dialect: Dialect
    packages: tuple[str, ...]  # distributions that it needs, the first being the one that is compared
    does: str

    @property
    def missing(self) -> str | None:
        """The first distribution that is not installed."""
        for package in self.packages:
            try:
                importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                return package
        return None

    @property
    def versions(self) -> str:
        """The versions of what it is made of."""
        return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in self.packages)


HUB_SETTINGS: Mapping[str, object] = {  # all clients share an address, and reactors are as quick as they can be
    "connections_per_ip": 0,
    "connects_per_second": 0,
    "reactions_per_second": 0,
    "log_level": "warning",
}


@contextmanager
def hub(directory: Path, **settings: object) -> Iterator[Running]:
    """`tallycast serve` as shipped but for HUB_SETTINGS: embedded store in `directory`, durable to the disk."""
    options: dict[str, Any] = {**HUB_SETTINGS, **settings}
    own = hubs.OwnHub(directory, **options)
    try:
        pin(own.process.pid, SERVER_CORE)
        yield Running(own.port, own.process.pid)
    finally:
        own.kill()


def program(*command: str | Path) -> Start:
    """A server that takes its port as its last argument."""

    @contextmanager
    def start(directory: Path) -> Iterator[Running]:
        port = hubs.free_port()
        log_path = directory / f"server-{port}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [*command, str(port)],
                env=os.environ | {"PYTHONPATH": str(TESTS)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            _wait_for(process, port, log_path)
            pin(process.pid, SERVER_CORE)
            yield Running(port, process.pid)
        finally:
            process.kill()
            process.wait()

    return start


def _wait_for(process: subprocess.Popen[bytes], port: int, log_path: Path) -> None:
    end = time.monotonic() + START_S
    while True:
        if process.poll() is not None or time.monotonic() > end:
            said = log_path.read_text("utf-8", "replace").strip().splitlines()
            raise RunError(f"did not start: {said[-1] if said else 'it said nothing'}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.05)


def _peer(module: str) -> Start:
    return program(sys.executable, "-m", f"bench.peers.{module}")


def contestants(floor: Path) -> list[Contestant]:
    """All of them, in the order in which a round takes them."""
    return [
        Contestant("C floor", "floor", program(floor), PLAIN, (), "copies bytes; knows who subscribed"),
        Contestant(
            "Tallycast", "hub", hub, HUB, ("tallycast", "uvloop"),
            "keeps counts in SQLite, flushed to disk before a reaction is acknowledged; identity, limits, versions,"
            " conflation, slow viewers, keepalive",
        ),
        Contestant(
            "socketify", "native", _peer("socketify_app"), PLAIN, ("socketify",),
            "uWebSockets' publish in C++; counts in a dictionary; idle time-out",
        ),
        Contestant(
            "websockets broadcast()", "python", _peer("websockets_server"), PLAIN, ("websockets", "uvloop"),
            "counts in a dictionary; keepalive",
        ),
        Contestant(
            "Starlette on uvicorn", "python", _peer("starlette_app"), PLAIN,
            ("starlette", "uvicorn", "uvloop", "httptools", "websockets"),
            "awaits each send; counts in a dictionary; keepalive",
        ),
        Contestant(
            "python-socketio", "python", _peer("socketio_app"), SOCKET_IO, ("python-socketio", "uvicorn", "uvloop"),
            "Socket.IO's events, rooms and acknowledgements; counts in a dictionary; keepalive",
        ),
    ]  # fmt: skip
