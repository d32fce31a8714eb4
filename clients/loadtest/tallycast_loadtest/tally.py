"""What one generator process has measured since it last told, and what it tells its parent."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tallycast_loadtest.latency import Window

Answers = dict[tuple[str, int], list[int]]  # acknowledged reactions: item and version → their intended times, µs


@dataclass(frozen=True, slots=True)
class Delivery:
    """Viewers who went from version `before` of an item straight to `v`: when, and how many at each time.

    `times_us` and `viewers` are as long as each other. Where there were many, several share the time of the last of
    them, so that no latency looks shorter than it was.
    """

    item: str
    before: int
    v: int
    times_us: tuple[int, ...]
    viewers: tuple[int, ...]


@dataclass(slots=True)
class Told:
    """One process's second of the run. Latencies are encoded windows; `cpu` is a share of a core."""

    second: int
    viewers: int = 0
    waiting: int = 0  # viewers and reactors who have never been connected yet
    offered: int = 0
    sent: int = 0
    acked: int = 0
    unanswered: int = 0  # by the end of the second, of the whole run
    reconnects: int = 0
    frames: int = 0
    size_bytes: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    details: dict[str, str] = field(default_factory=dict)
    connect: bytes | None = None
    ack: bytes | None = None
    recovery: bytes | None = None
    lag: bytes | None = None
    lag_ms: float = 0.0
    cpu: float = 0.0
    deliveries: list[Delivery] = field(default_factory=list)
    answers: Answers = field(default_factory=dict)


class Tally:
    """Adds up. All times are of CLOCK_MONOTONIC, which all processes of a machine share."""

    def __init__(self) -> None:
        self.connect, self.recovery, self.lag = Window(), Window(), Window()
        self._ack = Window()
        self._begin()

    def _begin(self) -> None:
        self.offered = self.sent = self.acked = self.reconnects = 0
        self.errors: Counter[str] = Counter()
        self.details: dict[str, str] = {}
        self.ack_us: list[int] = []
        self.lags_us: list[int] = []
        self.answers: defaultdict[tuple[str, int], list[int]] = defaultdict(list)

    def error(self, code: str, detail: str = "") -> None:
        """Something went wrong; `detail` is what the hub said of it."""
        self.errors[code] += 1
        if detail:
            self.details[code] = detail

    def take(self, second: int) -> Told:
        """What was added since the last time; begins anew."""
        self._ack.record_many(self.ack_us)
        self.lag.record_many(self.lags_us)
        told = Told(
            second,
            offered=self.offered,
            sent=self.sent,
            acked=self.acked,
            reconnects=self.reconnects,
            errors=self.errors,
            details=self.details,
            connect=self.connect.take(),
            ack=self._ack.take(),
            recovery=self.recovery.take(),
            lag=self.lag.take(),
            lag_ms=max(self.lags_us, default=0) / 1000,
            answers=dict(self.answers),
        )
        self._begin()
        return told
