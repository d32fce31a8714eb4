"""Connections that come, are lost, and come again as the protocol asks of clients: with full jitter."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import Any, Final, NamedTuple

from tallycast_loadtest.latency import Window
from tallycast_loadtest.line import Line, Refusal, Target, dial, upgrade
from tallycast_loadtest.tally import Tally

_BACKOFF_S, _LONGEST_BACKOFF_S = 0.5, 20.0  # docs/protocol.md, "How to write a client"
_RESTART: Final = 1012


def delay_s(attempt: int, random: Random) -> float:
    """How long to wait before reconnection `attempt` (0 is the first): anything up to a time that doubles."""
    return random.uniform(0, min(_LONGEST_BACKOFF_S, _BACKOFF_S * 2 ** min(attempt, 10)))


class Place(NamedTuple):
    """Where the guests of a run connect, and from where. `sources` may be empty: the system chooses then."""

    target: Target
    origin: str | None
    sources: tuple[str, ...] = ()
    per_source: int = 1

    def source(self, number: int) -> str | None:
        """The address from which connection `number` of the whole run comes."""
        return self.sources[number // self.per_source % len(self.sources)] if self.sources else None


class Lobby:
    """What a process's guests of one sort have in common. `live` are in now, `waiting` have never been."""

    def __init__(self, place: Place, tally: Tally, random: Random, connect: Window, recovery: Window) -> None:
        self.place, self.tally, self.random = place, tally, random
        self.connect, self.recovery = connect, recovery
        self.live = self.waiting = 0
        self.over = False
        self.loop = asyncio.get_running_loop()
        self.open: set[Guest] = set()
        self._dialling: set[asyncio.Task[None]] = set()

    def dial(self, guest: Guest) -> None:
        """Connect the guest now."""
        if not self.over:
            task = self.loop.create_task(guest.connect())
            self._dialling.add(task)
            task.add_done_callback(self._dialling.discard)

    def close(self) -> None:
        """All leave, and nobody comes any more."""
        self.over = True
        for task in self._dialling:
            task.cancel()
        for guest in self.open:
            guest.transport.abort()


class Guest(Line):
    """One who wants to be connected, through all the connections that it takes.

    `live` says that it is in, `due_s` since when, on the loop's clock, it has wanted to be. `number` is its own among
    all connections of the run.
    """

    __slots__ = ("_attempt", "_lobby", "_lost", "_new", "_retry_after_s", "_wanted_end", "due_s", "live", "number")

    receive_bytes = 0
    events = False

    def __init__(self, lobby: Lobby, number: int) -> None:
        super().__init__()
        self._lobby, self.number = lobby, number
        self.live = self._lost = self._wanted_end = False
        self._new = True
        self._attempt = 0
        self._retry_after_s: float | None = None
        self.due_s = 0.0
        lobby.waiting += 1

    def request(self) -> bytes:
        """What opens its connection."""
        return upgrade(self._lobby.place.target, origin=self._lobby.place.origin)

    def come(self, at_s: float) -> None:
        """Connect for the first time at that time of the loop's clock."""
        self.due_s = at_s
        self._lobby.loop.call_at(at_s, self._lobby.dial, self)

    async def connect(self) -> None:
        """Connect once; where that fails, try again later."""
        place = self._lobby.place
        try:
            await dial(
                self,
                place.target,
                self.request(),
                source=place.source(self.number),
                receive_bytes=self.receive_bytes,
                events=self.events,
            )
        except Refusal as refusal:
            self._lobby.tally.error(refusal.code, refusal.detail)
            self._again(refusal.retry_after_s)
        except OSError as error:
            self._lobby.tally.error("connect_failed", error.strerror or type(error).__name__)
            self._again(None)

    def opened(self, transport: asyncio.Transport) -> None:
        super().opened(transport)
        self._wanted_end = False
        self._retry_after_s = None
        self._lobby.open.add(self)

    def took(self, frame_: bytes) -> None:
        try:
            super().took(frame_)
        except (ValueError, LookupError, TypeError) as error:
            self._lobby.tally.error("unreadable", f"a message that this protocol does not have: {error!r}")
            self.lose()

    def seated(self) -> None:
        """It has what it connected for."""
        if self.live:
            return
        lobby = self._lobby
        self.live, self._attempt = True, 0
        lobby.live += 1
        took_us = max(0, int((time.monotonic() - self.due_s) * 1e6))
        if self._lost:
            lobby.recovery.record(took_us)
            lobby.tally.reconnects += 1
            self._lost = False
        else:
            lobby.connect.record(took_us)
            lobby.waiting -= self._new
            self._new = False

    def unseat(self) -> None:
        """It has it no longer."""
        if self.live:
            self.live = False
            self._lobby.live -= 1

    def lose(self) -> None:
        """Cut its connection off, as a network does."""
        self._wanted_end = True
        self.transport.abort()

    def bye(self, message: dict[str, Any]) -> None:
        """The hub says that it restarts."""
        self.close_code = _RESTART
        self._retry_after_s = float(message.get("retry_after", 0))

    def connection_lost(self, error: Exception | None) -> None:
        lobby = self._lobby
        lobby.open.discard(self)
        if lobby.over:
            return
        if self.live:
            self.unseat()
            self._lost, self.due_s = True, time.monotonic()
        if not self._wanted_end and self.close_code != _RESTART:
            lobby.tally.error(f"closed_{self.close_code}" if self.close_code else "connection_lost")
        self._again(self._retry_after_s)

    def _again(self, wait_s: float | None) -> None:
        if wait_s is None:
            wait_s = delay_s(self._attempt, self._lobby.random)
        self._attempt += 1
        self._lobby.loop.call_later(wait_s, self._lobby.dial, self)
