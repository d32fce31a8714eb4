"""Pings, deadlines and stalls, second by second."""

from __future__ import annotations

import pytest

from tallycast.keepalive import CLOSE_S, Keepalive
from tallycast.metrics import Metrics
from tallycast.viewer import Conversation


class Socket:
    """A connection that remembers what was done to it."""

    conversation: Conversation  # nobody asks for it here

    def __init__(self, keepalive: Keepalive) -> None:
        self.heard = True
        self.held = False
        self.paused = False
        self.closing = False
        self.pings = 0
        self.waiting_bytes = 0
        self.aborted = False
        self.closed: int | None = None
        self._keepalive = keepalive

    def ping(self) -> None:
        self.pings += 1

    def unsent_bytes(self) -> int:
        return self.waiting_bytes

    def close(self, code: int, reason: str) -> None:
        self.closed, self.closing = code, True

    def abort(self) -> None:
        self.aborted = True
        self._keepalive.remove(self)


class Caller:
    """A request that has not all come."""

    late = False

    def too_late(self) -> None:
        self.late = True


def make(*, ping_s: int = 5, slow_viewer_s: int = 10, request_s: int = 10) -> tuple[Keepalive, Metrics]:
    metrics = Metrics()
    return Keepalive(metrics, ping_s=ping_s, slow_viewer_s=slow_viewer_s, request_s=request_s), metrics


def test_each_is_pinged_once_a_round_and_not_all_in_one_second() -> None:
    keepalive, _ = make(ping_s=5)
    sockets = [Socket(keepalive) for _ in range(500)]
    for socket in sockets:
        keepalive.add(socket)
    at_once = []
    for second in range(5):
        before = sum(socket.pings for socket in sockets)
        keepalive.sweep(float(second))
        at_once.append(sum(socket.pings for socket in sockets) - before)
    assert [socket.pings for socket in sockets] == [1] * 500
    assert max(at_once) < 250


def test_who_is_not_heard_of_from_one_ping_to_the_next_is_cut() -> None:
    keepalive, _ = make(ping_s=5)
    alive, dead = Socket(keepalive), Socket(keepalive)
    for socket in (alive, dead):
        keepalive.add(socket)
    for second in range(11):
        alive.heard = True
        keepalive.sweep(float(second))
    assert dead.aborted
    assert dead.pings == 1
    assert not alive.aborted
    assert len(keepalive) == 1


def test_who_is_held_is_pinged_but_not_cut_as_its_pongs_are_not_read() -> None:
    keepalive, _ = make(ping_s=5)
    held = Socket(keepalive)
    held.held = True
    keepalive.add(held)
    for second in range(20):
        keepalive.sweep(float(second))
    assert held.pings == 4
    assert not held.aborted


def test_no_pings_when_they_are_turned_off() -> None:
    keepalive, _ = make(ping_s=0)
    socket = Socket(keepalive)
    keepalive.add(socket)
    for second in range(100):
        keepalive.sweep(float(second))
    assert (socket.pings, socket.aborted) == (0, False)


def test_who_takes_nothing_for_too_long_is_closed_and_who_takes_a_little_is_not() -> None:
    keepalive, metrics = make(ping_s=0, slow_viewer_s=10)
    stuck, slow, back = Socket(keepalive), Socket(keepalive), Socket(keepalive)
    for socket in (stuck, slow, back):
        keepalive.add(socket)
        socket.waiting_bytes = 1_000_000
        keepalive.pause(socket, 0.0)
    for second in range(1, 31):
        slow.waiting_bytes -= 1
        if second == 9:
            keepalive.resume(back)
        keepalive.sweep(float(second))
        assert (stuck.closed == 4408) is (second >= 10)
        if stuck.closed:
            keepalive.close(stuck, float(second))
    assert slow.closed is None
    assert back.closed is None
    assert b"tallycast_slow_viewers_total 1.0" in metrics.render()


def test_nobody_is_too_slow_when_the_limit_is_turned_off() -> None:
    keepalive, _ = make(ping_s=0, slow_viewer_s=0)
    stuck = Socket(keepalive)
    keepalive.add(stuck)
    keepalive.pause(stuck, 0.0)
    keepalive.sweep(1e6)
    assert stuck.closed is None


def test_who_does_not_answer_a_close_frame_is_cut() -> None:
    keepalive, _ = make()
    polite, rude = Socket(keepalive), Socket(keepalive)
    for socket in (polite, rude):
        keepalive.add(socket)
        keepalive.close(socket, 0.0)
    keepalive.close(rude, CLOSE_S)  # being told twice gives nobody more time
    keepalive.sweep(CLOSE_S - 0.1)
    keepalive.remove(polite)
    assert not rude.aborted
    keepalive.sweep(CLOSE_S)
    assert rude.aborted
    assert not polite.aborted


@pytest.mark.parametrize(("request_s", "late"), [(10, True), (0, False)])
def test_a_request_has_so_long_to_come(request_s: int, late: bool) -> None:
    keepalive, _ = make(request_s=request_s)
    first, second, done = Caller(), Caller(), Caller()
    keepalive.expect(first, 0.0)
    keepalive.expect(done, 0.0)
    keepalive.expect(second, 5.0)
    keepalive.complete(done)
    keepalive.complete(done)
    keepalive.sweep(9.9)
    assert not first.late
    keepalive.sweep(10.0)
    assert (first.late, second.late, done.late) == (late, False, False)
    keepalive.sweep(15.0)
    assert second.late is late


def test_a_caller_that_asks_again_has_its_time_anew() -> None:
    keepalive, _ = make(request_s=10)
    again, other = Caller(), Caller()
    keepalive.expect(again, 0.0)
    keepalive.expect(other, 1.0)
    keepalive.expect(again, 2.0)
    keepalive.sweep(11.0)
    assert (again.late, other.late) == (False, True)
