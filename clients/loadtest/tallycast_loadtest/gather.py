"""What all processes tell, put together: seconds, latencies, totals. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final

from tallycast_loadtest.join import Join
from tallycast_loadtest.latency import Latency
from tallycast_loadtest.results import Deliveries, Generator, Latencies, Rates, Second
from tallycast_loadtest.scrape import Load
from tallycast_loadtest.tally import Told
from tallycast_loadtest.verdict import saturated

_BUSY_S: Final = 5  # seconds over which a process's CPU is averaged for `cpu_max`


class Gather:
    """Adds up. `second` is called back with each second of the run once nothing of it is missing any more."""

    def __init__(self, parts: int) -> None:
        self.seconds: list[Second] = []
        self.errors: Counter[str] = Counter()
        self.details: dict[str, str] = {}
        self.reconnects = 0
        self.loads: dict[int, Load] = {}
        self.last: dict[int, Told] = {}
        self._parts = parts
        self._told: defaultdict[int, dict[int, Told]] = defaultdict(dict)
        self._join = Join()
        self._connect, self._ack, self._viewer, self._recovery, self._lag = (Latency() for _ in range(5))
        self._cpu: defaultdict[int, list[float]] = defaultdict(list)
        self._answered = 0  # seconds whose answers the join has

    @property
    def waiting(self) -> int:
        """Connections that have never been there, as far as is known."""
        return sum(told.waiting for told in self.last.values())

    @property
    def unanswered(self) -> int:
        """Reactions without an answer, as far as is known."""
        return sum(told.unanswered for told in self.last.values())

    @property
    def viewers(self) -> int:
        """Viewers who see numbers, as far as is known."""
        return sum(told.viewers for told in self.last.values())

    def add(self, part: int, told: Told) -> list[Second]:
        """One process's second; the seconds of the run that are complete with it."""
        self.last[part] = told
        self._told[told.second][part] = told
        self.errors += told.errors
        self.details |= told.details
        self.reconnects += told.reconnects
        self._cpu[part].append(told.cpu)
        for latency, window in (
            (self._connect, told.connect),
            (self._ack, told.ack),
            (self._recovery, told.recovery),
            (self._lag, told.lag),
        ):
            latency.add(told.second, window)
        # A process may tell of a frame before another tells of the answers that it shows: they are a second apart.
        complete: list[Second] = []
        while self._is_whole(len(self.seconds)) and self._is_whole(len(self.seconds) + 1):
            complete.append(self._close())
        return complete

    def finish(self) -> list[Second]:
        """No process tells any more: the seconds that were open."""
        last = max((second for second, parts in self._told.items() if parts), default=-1)
        return [self._close() for _ in range(len(self.seconds), last + 1)]

    def _is_whole(self, second: int) -> bool:
        return len(self._told.get(second, ())) == self._parts

    def _close(self) -> Second:
        number = len(self.seconds)
        while self._answered <= number + 1:
            self._join.answers([told.answers for told in self._told[self._answered].values()])
            self._answered += 1
        parts = list(self._told.pop(number, {}).values())
        for told in parts:
            self._join.deliveries(told.deliveries)
        self._viewer.add(number, self._join.window.take())
        connect, ack = self._connect.take_second(number), self._ack.take_second(number)
        viewer = self._viewer.take_second(number)
        self._lag.take_second(number)
        self._recovery.take_second(number)
        load = self.loads.get(number)
        second = Second(
            t_s=number,
            viewers=sum(told.viewers for told in parts),
            offered=sum(told.offered for told in parts),
            sent=sum(told.sent for told in parts),
            acked=sum(told.acked for told in parts),
            errors=sum(told.errors.total() for told in parts),
            frames=sum(told.frames for told in parts),
            bytes=sum(told.size_bytes for told in parts),
            connect_p99_ms=connect.p99_ms if connect else None,
            ack_p50_ms=ack.p50_ms if ack else None,
            ack_p99_ms=ack.p99_ms if ack else None,
            ack_max_ms=ack.max_ms if ack else None,
            viewer_p50_ms=viewer.p50_ms if viewer else None,
            viewer_p99_ms=viewer.p99_ms if viewer else None,
            viewer_max_ms=viewer.max_ms if viewer else None,
            generator_cpu=max((told.cpu for told in parts), default=None),
            generator_lag_ms=max((told.lag_ms for told in parts), default=None),
            hub_cpu=load.cpu if load else None,
            hub_rss_bytes=load.rss_bytes if load else None,
            hub_lag_ms=load.lag_ms if load else None,
        )
        self.seconds.append(second)
        return second

    def latencies(self) -> Latencies:
        """Those of the whole run."""
        return Latencies(
            connect=self._connect.summary(),
            ack=self._ack.summary(),
            viewer=self._viewer.summary(),
            recovery=self._recovery.summary(),
        )

    def rates(self, duration_s: float) -> Rates:
        """Over the time that the schedule ran."""
        duration_s = max(duration_s, 1e-3)
        return Rates(
            offered_per_s=sum(second.offered for second in self.seconds) / duration_s,
            sent_per_s=sum(second.sent for second in self.seconds) / duration_s,
            acked_per_s=sum(second.acked for second in self.seconds) / duration_s,
        )

    def deliveries(self, viewers: int, duration_s: float) -> Deliveries:
        """To all viewers together, of whom there were so many."""
        frames = sum(second.frames for second in self.seconds)
        a_viewer = frames / max(viewers, 1)
        return Deliveries(
            frames=frames,
            bytes=sum(second.bytes for second in self.seconds),
            frames_per_viewer=a_viewer,
            frames_per_viewer_s=a_viewer / max(duration_s, 1e-3),
            acked=sum(second.acked for second in self.seconds),
            conflation=self._join.owed / frames if frames else None,
        )

    def generator(self) -> Generator:
        """How busy we were: the busiest process in its busiest five seconds, and all timers of all processes."""
        cpu = max((_busiest(shares) for shares in self._cpu.values()), default=0.0)
        lag = self._lag.summary()
        lag_ms = lag.p99_ms if lag else 0.0
        return Generator(processes=self._parts, cpu_max=cpu, lag_p99_ms=lag_ms, saturated=saturated(cpu, lag_ms))


def _busiest(shares: list[float]) -> float:
    width = min(_BUSY_S, len(shares))
    return max(sum(shares[begin : begin + width]) / width for begin in range(len(shares) - width + 1))
