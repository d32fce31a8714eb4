"""What a run found: the result that `--json` writes, and the one table of figures that a threshold may name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, NamedTuple

Verdict = Literal["ok", "thresholds missed", "generator saturated", "wrong counts", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the run ran on; the generator's side. `cpu` is the model's name."""

    cores: int
    cpu: str
    memory_bytes: int
    system: str
    python: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """The hub that was loaded, by its own /v1/config: the names of its kinds, in its order, and its tick."""

    url: str
    kinds: tuple[str, ...]
    tick_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySummary:
    """One latency over the whole run. `max_ms` is exact, the others are right to three digits.

    `curve` are points (percentile, ms) for a plot, closer together the nearer they are to 100; both only grow.
    """

    count: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Every latency of the run; None where nothing was measured.

    `connect`: from the intended time of a connect to the snapshot. `ack`: from the intended time of a reaction to its
    ack. `viewer`: from the same time to the frame that shows the reaction to a viewer. `recovery`: from the loss of a
    connection to the snapshot of the next.
    """

    connect: LatencySummary | None
    ack: LatencySummary | None
    viewer: LatencySummary | None
    recovery: LatencySummary | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """One second of the run, from `t_s` seconds after its start; None where there was nothing to measure.

    Counts are of this second alone, `viewers` is how many were live at its end. `…_cpu` are shares of one core (1.0: a
    whole one; the generator's is that of its busiest process), lags how late an event loop's timer was at worst.
    """

    t_s: int
    viewers: int
    offered: int
    sent: int
    acked: int
    errors: int
    frames: int
    bytes: int
    connect_p99_ms: float | None
    ack_p50_ms: float | None
    ack_p99_ms: float | None
    ack_max_ms: float | None
    viewer_p50_ms: float | None
    viewer_p99_ms: float | None
    viewer_max_ms: float | None
    generator_cpu: float | None
    generator_lag_ms: float | None
    hub_cpu: float | None
    hub_rss_bytes: int | None
    hub_lag_ms: float | None


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment that plots show, in seconds after the run's start: a phase that begins, a storm, a restart."""

    t_s: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Reactions a second while the schedule ran: as planned, as sent, as acknowledged."""

    offered_per_s: float
    sent_per_s: float
    acked_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """What all viewers were sent. `conflation`: frames that there would be if each reaction were sent to each of its
    viewers by itself, for each frame that there was; None without frames."""

    frames: int
    bytes: int
    frames_per_viewer: float
    frames_per_viewer_s: float
    acked: int
    conflation: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HubCost:
    """What the run cost the hub, by its /metrics; None where they do not tell."""

    cpu_s: float | None
    cpu_us_per_frame: float | None
    rss_bytes_per_viewer: float | None
    lag_p99_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """Whether the counts are right. All but `items`, `viewers`, `acked` and `unanswered` must be 0.

    `lost` and `doubled`: by how much the hub's counts are below and above what was acknowledged. `reordered`: times
    that a viewer saw a version fall, or other counts under a version. `stale_at_end`: viewers whose last number is not
    the hub's. `unanswered`: reactions whose fate is not known. `examples` are a few of each fault, a sentence each.
    """

    items: int
    viewers: int
    acked: int
    unanswered: int
    lost: int
    doubled: int
    reordered: int
    stale_at_end: int
    examples: tuple[str, ...]

    @property
    def wrong(self) -> bool:
        """Whether any count was wrong."""
        return bool(self.lost or self.doubled or self.reordered or self.stale_at_end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """The load generator itself. `cpu_max`: the busiest process's share of a core. `saturated`: the figures lie."""

    processes: int
    cpu_max: float
    lag_p99_ms: float
    saturated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One `--thresholds`: its text, the figure in the metric's own unit (None: not measured), and whether it holds."""

    text: str
    value: float | None
    met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All that a run found. `started` is UTC in ISO 8601; `partial` after an interruption; `why` explains the verdict,
    a line for each reason; `scenario` is every key of the scenario as it was run."""

    tool: dict[str, str]
    command: tuple[str, ...]
    started: str
    duration_s: float
    partial: bool
    verdict: Verdict
    why: tuple[str, ...]
    machine: Machine
    hub: Hub
    scenario: dict[str, Any]
    latency: Latencies
    seconds: tuple[Second, ...]
    marks: tuple[Mark, ...]
    rates: Rates
    deliveries: Deliveries
    hub_cost: HubCost
    errors: dict[str, int]
    reconnects: int
    oracle: Oracle
    generator: Generator
    thresholds: tuple[Threshold, ...]

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values, keys in the order of the fields."""
        return asdict(self)


Unit = Literal["ms", "us", "s", "bytes", "/s", "share", "count"]


class Metric(NamedTuple):
    """One figure that a threshold may name. `read` gives it in `unit`, None where it was not measured."""

    name: str
    unit: Unit
    help: str
    read: Callable[[Result], float | None]


_LATENCIES: Final = {
    "connect": "from the intended connect to the snapshot",
    "ack": "from the intended time of a reaction to its ack",
    "viewer": "from the intended time of a reaction to a viewer's frame that shows it",
    "recovery": "from the loss of a connection to the next snapshot",
}
_FIGURES: Final = {
    "mean": ("mean_ms", "mean"),
    "p50": ("p50_ms", "median"),
    "p90": ("p90_ms", "90th percentile"),
    "p99": ("p99_ms", "99th percentile"),
    "p999": ("p999_ms", "99.9th percentile"),
    "max": ("max_ms", "largest"),
}


def _latency(latency: str, field: str) -> Callable[[Result], float | None]:
    def read(result: Result) -> float | None:
        summary: LatencySummary | None = getattr(result.latency, latency)
        return None if summary is None else getattr(summary, field)

    return read


def _achieved(result: Result) -> float | None:
    return result.rates.acked_per_s / result.rates.offered_per_s if result.rates.offered_per_s else None


# What may stand in a threshold, in the order in which documents and errors name it.
METRICS: Final[dict[str, Metric]] = {
    metric.name: metric
    for metric in (
        *(
            Metric(f"{latency}_{figure}", "ms", f"{words}: {meaning}", _latency(latency, field))
            for latency, meaning in _LATENCIES.items()
            for figure, (field, words) in _FIGURES.items()
        ),
        Metric("offered_per_s", "/s", "reactions a second as planned", lambda r: r.rates.offered_per_s),
        Metric("sent_per_s", "/s", "reactions a second as sent", lambda r: r.rates.sent_per_s),
        Metric("acked_per_s", "/s", "reactions a second as acknowledged", lambda r: r.rates.acked_per_s),
        Metric("achieved", "share", "reactions acknowledged of those planned", _achieved),
        Metric("errors", "count", "answers that were errors, of all codes", lambda r: sum(r.errors.values())),
        Metric("reconnects", "count", "connections made again after a loss", lambda r: r.reconnects),
        Metric("frames", "count", "counts frames that all viewers were sent", lambda r: r.deliveries.frames),
        Metric("conflation", "count", "reactions shown by one frame", lambda r: r.deliveries.conflation),
        Metric("lost", "count", "by how much counts are below what was acknowledged", lambda r: r.oracle.lost),
        Metric("doubled", "count", "by how much counts are above what was acknowledged", lambda r: r.oracle.doubled),
        Metric("reordered", "count", "times that a viewer saw a version fall", lambda r: r.oracle.reordered),
        Metric("stale_at_end", "count", "viewers whose last number is not the hub's", lambda r: r.oracle.stale_at_end),
        Metric("unanswered", "count", "reactions whose fate is not known", lambda r: r.oracle.unanswered),
        Metric("hub_cpu", "s", "CPU time that the hub used", lambda r: r.hub_cost.cpu_s),
        Metric("hub_cpu_us_per_frame", "us", "the hub's CPU time for one frame", lambda r: r.hub_cost.cpu_us_per_frame),
        Metric(
            "memory_per_viewer", "bytes", "the hub's memory for one viewer", lambda r: r.hub_cost.rss_bytes_per_viewer
        ),
        Metric(
            "hub_lag_p99", "ms", "99th percentile of how late the hub's timers ran", lambda r: r.hub_cost.lag_p99_ms
        ),
        Metric("generator_cpu", "share", "the busiest process's share of a core", lambda r: r.generator.cpu_max),
        Metric(
            "generator_lag_p99",
            "ms",
            "99th percentile of how late the generator's timers ran",
            lambda r: r.generator.lag_p99_ms,
        ),
    )
}
