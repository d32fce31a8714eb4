"""Many processes on one port: forks workers, replaces those that die, ends all of them on SIGTERM or SIGINT.

Every worker has listening sockets of its own (SO_REUSEPORT), among which the kernel spreads connections by a hash of
their addresses. Processes that share one socket race for it instead: of 900 connections that came at once to four of
them, one took 469 and one 19; with a socket each they took 206 to 245. The parent keeps all of them open, so that
connections wait for a worker's successor rather than be refused.

Workers are forked, not spawned: the parent runs no event loop and no thread, neither now nor later, so nothing is
copied in mid-flight; a successor is there within milliseconds, with the sockets and the imported code as they are.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, NoReturn

from tallycast.errors import ConfigError

logger = logging.getLogger("tallycast.workers")

SOUND_S: Final = 10.0  # a worker that lived so long is replaced at once
FIRST_WAIT_S: Final = 0.5  # before replacing one that did not; twice as long each time that it happens again
LONGEST_WAIT_S: Final = 30.0

_SIGNALS: Final = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}

Listeners = Sequence[socket.socket]


class Work(NamedTuple):
    """What a worker is given: its number from 0, its own sockets, and a pipe that ends when the parent is gone."""

    number: int
    listeners: Listeners
    orphaned: int


@dataclass(slots=True)
class _Place:
    """One worker's place, in which one process follows another."""

    number: int
    listeners: Listeners | None
    pid: int = 0  # 0: nobody is there
    began_s: float = 0.0
    due_s: float = 0.0  # when the next may begin
    wait_s: float = 0.0  # how long the last one had to wait


class Workers:
    """Runs `work` in `count` processes. `listen` makes the sockets of one, the same port each time.

    `work` returns when its process has had SIGTERM and is done. SIGTERM and SIGINT are blocked when it begins: it
    unblocks SIGTERM once it can be told. SIGINT is the parent's alone, as Ctrl-C reaches all of a terminal's processes.
    """

    def __init__(
        self, count: int, listen: Callable[[], Listeners], work: Callable[[Work], None], *, patience_s: float
    ) -> None:
        """`patience_s` is how long workers may take from SIGTERM to their end. Raises ConfigError, from `listen`."""
        self._listen = listen
        self._work = work
        self._patience_s = patience_s
        self._places = [_Place(number, listen()) for number in range(count)]
        self._alive_until, self._lifeline = os.pipe()

    def run(self) -> int:
        """Keep the workers running until SIGTERM or SIGINT, and then until all have ended.

        The exit code: 0, or 1 when one had to be killed or failed on its way out.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        while True:
            self._fill()
            arrived = signal.sigtimedwait(_SIGNALS, self._until_next_s())
            if arrived is not None and arrived.si_signo != signal.SIGCHLD:
                return self._end()
            for place, status in self._reap():
                self._lost(place, status)

    def _fill(self) -> None:
        now_s = time.monotonic()
        for place in self._places:
            if place.pid or place.due_s > now_s:
                continue
            try:
                if place.listeners is None:
                    place.listeners = self._listen()
                place.pid = self._fork(place, place.listeners)
                place.began_s = now_s
            except (ConfigError, OSError) as error:  # the port is taken, the system has no process to give
                self._postpone(place)
                logger.error("worker %d cannot start, next try in %g s: %s", place.number, place.wait_s, error)

    def _until_next_s(self) -> float:
        """How long nothing but a signal can ask for anything."""
        now_s = time.monotonic()
        due = [max(place.due_s - now_s, 0.0) for place in self._places if not place.pid]
        return min(due, default=3600.0)

    def _reap(self) -> list[tuple[_Place, int]]:
        """The places whose process has ended, with its exit code (minus the signal that killed it)."""
        ended = []
        for place in self._places:
            if place.pid:
                pid, status = os.waitpid(place.pid, os.WNOHANG)
                if pid:
                    place.pid = 0
                    ended.append((place, os.waitstatus_to_exitcode(status)))
        return ended

    def _lost(self, place: _Place, code: int) -> None:
        if time.monotonic() - place.began_s >= SOUND_S:
            place.wait_s = place.due_s = 0.0
            logger.error("worker %d ended (%s): it is replaced", place.number, _told(code))
            return
        self._postpone(place)
        logger.error(
            "worker %d ended (%s) soon after its start: it is replaced in %g s", place.number, _told(code), place.wait_s
        )

    def _postpone(self, place: _Place) -> None:
        """Let the place be empty for a while, longer each time, and its share of the connections go to the others."""
        place.wait_s = min(place.wait_s * 2 or FIRST_WAIT_S, LONGEST_WAIT_S)
        place.due_s = time.monotonic() + place.wait_s
        _close(place.listeners or ())
        place.listeners = None

    def _end(self) -> int:
        """Tell all to end, wait for them, kill who takes too long."""
        self._signal(signal.SIGTERM)
        for place in self._places:  # nobody is to wait where nobody will come any more
            _close(place.listeners or ())
        end_s = time.monotonic() + self._patience_s
        code = 0
        while any(place.pid for place in self._places):
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                logger.error("workers did not end within %g s of SIGTERM and are killed", self._patience_s)
                self._signal(signal.SIGKILL)
                end_s = left_s = float("inf")
            signal.sigtimedwait({signal.SIGCHLD}, min(left_s, 1.0))
            for place, status in self._reap():
                if status:
                    logger.error("worker %d did not end well (%s)", place.number, _told(status))
                    code = 1
        return code

    def _signal(self, number: signal.Signals) -> None:
        for place in self._places:
            if place.pid:
                os.kill(place.pid, number)  # nobody else can have the pid: it is ours until we have waited for it

    def _fork(self, place: _Place, listeners: Listeners) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        return pid or self._be_worker(place, listeners)

    def _be_worker(self, place: _Place, listeners: Listeners) -> NoReturn:
        """The child: never goes back to the parent's code, and holds nothing of the other workers'."""
        code = 1
        try:
            os.close(self._lifeline)
            for other in self._places:
                if other is not place:
                    _close(other.listeners or ())
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            self._work(Work(place.number, listeners, self._alive_until))
            code = 0
        except ConfigError as error:
            logger.error("%s", error)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            logger.exception("worker %d failed", place.number)
        finally:
            os._exit(code)


def _close(listeners: Listeners) -> None:
    for listener in listeners:
        listener.close()


def _told(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
