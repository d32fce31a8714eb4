"""What connections need as time goes by, for all of them by one timer: pings, deadlines, an end to those that hang.

A timer a connection would cost more than the connection does. sweep() is called once a second and pings one share of
all connections, so that ten thousand pings do not go out in one turn of the loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

from tallycast.metrics import Metrics
from tallycast.viewer import Conversation

Late = TypeVar("Late")

CLOSE_S = 2.0  # after our close frame, how long to wait for the peer's before the connection is cut


class Connection(Protocol):
    """On the fast lane. `heard`: whether anything came since it was last pinged. `held`: it is not listened to."""

    heard: bool
    held: bool
    paused: bool
    closing: bool
    conversation: Conversation

    def ping(self) -> None: ...
    def unsent_bytes(self) -> int: ...
    def close(self, code: int, reason: str) -> None: ...
    def abort(self) -> None: ...


class Caller(Protocol):
    """Somebody whose HTTP request has not all come yet."""

    def too_late(self) -> None: ...


class Stream(Protocol):
    """An answer that goes on for as long as its reader stays."""

    def sweep(self, now_s: float) -> None: ...


class Keepalive:
    """All connections on the fast lane and all requests on the doorstep, with what is to happen to them when.

    `streams` know that themselves, and are told of the time.

    `ping_s`: seconds between two pings; a peer of whom nothing is heard from one to the next is dead, 0: no pings.
    `slow_viewer_s`: how long a viewer may take nothing of what waits for it, 0: for ever.
    `request_s`: how long a request may take to come, 0: for ever.
    """

    def __init__(self, metrics: Metrics, *, ping_s: int, slow_viewer_s: int, request_s: int) -> None:
        self.streams: set[Stream] = set()
        self._metrics = metrics
        self._pings = ping_s > 0
        self._slow_viewer_s = slow_viewer_s
        self._request_s = request_s
        self._shares: list[set[Connection]] = [set() for _ in range(max(ping_s, 1))]
        self._turn = 0
        self._paused: dict[Connection, tuple[float, int]] = {}  # since when it made no progress, with how many bytes
        self._closing: dict[Connection, float] = {}  # until when; oldest first, as all wait equally long
        self._doorstep: dict[Caller, float] = {}  # the same

    def __len__(self) -> int:
        return sum(map(len, self._shares))

    def __iter__(self) -> Iterator[Connection]:
        for share in self._shares:
            yield from share

    def add(self, connection: Connection) -> None:
        """A connection that stays has come."""
        self._shares[id(connection) // 64 % len(self._shares)].add(connection)

    def remove(self, connection: Connection) -> None:
        """It has gone."""
        self._shares[id(connection) // 64 % len(self._shares)].discard(connection)
        self._paused.pop(connection, None)
        self._closing.pop(connection, None)

    def pause(self, connection: Connection, now_s: float) -> None:
        """It cannot be written to: from now on it must make progress."""
        self._paused[connection] = now_s, connection.unsent_bytes()

    def resume(self, connection: Connection) -> None:
        """It can be written to again."""
        self._paused.pop(connection, None)

    def close(self, connection: Connection, now_s: float) -> None:
        """It was sent a close frame and is cut if it does not go by itself."""
        self._paused.pop(connection, None)
        self._closing.setdefault(connection, now_s + CLOSE_S)

    def expect(self, caller: Caller, now_s: float) -> None:
        """A request begins to come."""
        if self._request_s:
            self._doorstep.pop(caller, None)
            self._doorstep[caller] = now_s + self._request_s

    def complete(self, caller: Caller) -> None:
        """It has all come, or will never."""
        self._doorstep.pop(caller, None)

    def sweep(self, now_s: float) -> None:
        """Do what is due. Called once a second."""
        for stream in self.streams:
            stream.sweep(now_s)
        for caller in _due(self._doorstep, now_s):
            caller.too_late()
        for connection in _due(self._closing, now_s):
            connection.abort()
        for connection, (since_s, bytes_then) in list(self._paused.items()):
            bytes_now = connection.unsent_bytes()
            if bytes_now < bytes_then:
                self._paused[connection] = now_s, bytes_now
            elif self._slow_viewer_s and now_s - since_s >= self._slow_viewer_s:
                self._metrics.slow_viewers.inc()
                connection.close(4408, "slow viewer")
        if self._pings:
            self._turn = (self._turn + 1) % len(self._shares)
            for connection in list(self._shares[self._turn]):
                if connection.paused or connection.closing:
                    continue
                if not (connection.heard or connection.held):
                    connection.abort()
                    continue
                connection.heard = False
                connection.ping()


def _due(deadlines: dict[Late, float], now_s: float) -> list[Late]:
    """Take those whose time has come out of a dictionary that has the oldest first."""
    due = []
    for late, deadline_s in deadlines.items():
        if deadline_s > now_s:
            break
        due.append(late)
    for late in due:
        del deadlines[late]
    return due
