"""One generator process: its viewers and reactors, how loaded it is itself, and a report to its parent each second."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

import uvloop

from tallycast_loadtest.guests import Place
from tallycast_loadtest.oracle import Counts, Faults, Report
from tallycast_loadtest.reactors import Crowd
from tallycast_loadtest.scenario import Scenario
from tallycast_loadtest.tally import Tally, Told
from tallycast_loadtest.viewers import Audience
from tallycast_loadtest.wishes import Rule

_LAG_STEP_S: Final = 0.01  # between two timers that tell how late the loop is
_CPU_STEP_S: Final = 0.5  # the least time that a share of a core is taken over: seconds told late come in a row


@dataclass(frozen=True, slots=True)
class Share:
    """One process's part of a run. `tokens` are its reactors', by their number; `run` is unique to the run."""

    run: str
    part: int
    parts: int
    scenario: Scenario
    items: tuple[str, ...]
    rules: Mapping[str, Rule]
    place: Place
    tokens: Mapping[int, str]
    viewers_token: str | None


@dataclass(frozen=True, slots=True)
class Start:
    """Connect everybody, from this time of CLOCK_MONOTONIC on, in seconds."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin with the reactions."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Halt:
    """React no more."""


@dataclass(frozen=True, slots=True)
class Compare:
    """Hold all viewers to the hub's counts; answered with Compared."""

    truth: Mapping[str, Counts]


@dataclass(frozen=True, slots=True)
class Compared:
    """How many viewers were held to the hub's counts, those who differ, and what else the oracle wants."""

    viewers: int
    stale: Faults
    order: Faults
    report: Report


@dataclass(frozen=True, slots=True)
class End:
    """Hang up and end."""


def main(pipe: Connection, share: Share) -> None:
    """Run one process until its parent says End, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    with suppress(OSError):  # the parent is gone
        uvloop.run(_Worker(pipe, share).run())


class _Worker:
    def __init__(self, pipe: Connection, share: Share) -> None:
        self._pipe, self._share = pipe, share
        self._tally = Tally()
        self._second = 0
        self._start_s = self._cpu = self._cpu_s = self._cpu_at_s = 0.0

    async def run(self) -> None:
        share = self._share
        self._audience = Audience(
            share.scenario,
            share.items,
            share.place,
            share.viewers_token,
            self._tally,
            part=share.part,
            parts=share.parts,
        )
        self._crowd = Crowd(
            share.scenario,
            share.items,
            share.rules,
            share.place,
            share.tokens,
            self._tally,
            run=share.run,
            part=share.part,
            parts=share.parts,
        )
        loop = asyncio.get_running_loop()
        self._loop = loop
        ended = loop.create_future()
        self._pipe.send(None)  # ready
        threading.Thread(target=self._listen, args=(ended,), daemon=True).start()
        try:
            await ended
        finally:
            self._audience.close()
            self._crowd.close()
        await asyncio.sleep(0)  # connections close in the loop's next turn

    def _listen(self, ended: asyncio.Future[None]) -> None:
        """Hear what the parent says, in a thread: uvloop's reader would make the pipe one that does not block, and
        large messages would come and go in part."""
        word: Any = None
        while not isinstance(word, End):
            try:
                word = self._pipe.recv()
            except (EOFError, OSError):  # the parent is gone
                word = End()
            self._loop.call_soon_threadsafe(self._obey, word, ended)

    def _obey(self, word: Any, ended: asyncio.Future[None]) -> None:
        match word:
            case Start(at_s):
                self._start_s = at_s
                self._cpu_s, self._cpu_at_s = time.process_time(), time.monotonic()
                self._audience.start(at_s)
                self._crowd.start(at_s)
                self._loop.call_at(at_s + 1, self._tell)
                self._loop.call_at(at_s, self._look_at_clock, at_s)
            case Begin(at_s):
                self._audience.begin(at_s)
                self._crowd.begin(at_s)
            case Halt():
                self._crowd.halt()
                self._audience.catch_up()
            case Compare(truth):
                viewers, stale = self._audience.stale(truth)
                self._say(Compared(viewers, stale, self._audience.order.faults, self._crowd.ledger.report()))
            case End():
                self._say(self._told())
                ended.set_result(None)

    def _say(self, word: object) -> None:
        with suppress(OSError):  # the parent is gone, as `_listen` finds as well
            self._pipe.send(word)

    def _look_at_clock(self, due_s: float) -> None:
        """Note how late this timer ran. Times that it missed altogether count as well, each as late as it was."""
        now_s = time.monotonic()
        while due_s <= now_s:
            self._tally.lags_us.append(int((now_s - due_s) * 1e6))
            due_s += _LAG_STEP_S
        self._loop.call_at(due_s, self._look_at_clock, due_s)

    def _tell(self) -> None:
        """Tell of the second that is over."""
        self._say(self._told())
        self._second += 1
        self._loop.call_at(self._start_s + self._second + 1, self._tell)

    def _told(self) -> Told:
        told = self._tally.take(self._second)
        audience, crowd = self._audience, self._crowd
        told.viewers = audience.live
        told.waiting = audience.waiting + crowd.waiting
        told.unanswered = crowd.unanswered
        told.frames, told.size_bytes, told.deliveries = audience.take()
        cpu_s, now_s = time.process_time(), time.monotonic()
        if now_s - self._cpu_at_s > _CPU_STEP_S:
            self._cpu = (cpu_s - self._cpu_s) / (now_s - self._cpu_at_s)
            self._cpu_s, self._cpu_at_s = cpu_s, now_s
        told.cpu = self._cpu
        return told
