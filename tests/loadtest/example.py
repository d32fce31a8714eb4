"""A whole result, made up, for tests of what is done with results."""

from __future__ import annotations

from tallycast_loadtest.results import (
    Deliveries,
    Generator,
    Hub,
    HubCost,
    Latencies,
    LatencySummary,
    Machine,
    Mark,
    Oracle,
    Rates,
    Result,
    Second,
)
from tallycast_loadtest.scenario import Scenario


def latency(p50_ms: float) -> LatencySummary:
    """Latencies with that median, each other figure larger than the one before."""
    return LatencySummary(
        count=1000,
        mean_ms=p50_ms + 1,
        p50_ms=p50_ms,
        p90_ms=p50_ms * 2,
        p99_ms=p50_ms * 3,
        p999_ms=p50_ms * 4,
        max_ms=p50_ms * 5,
        curve=((0.0, 0.5), (50.0, p50_ms), (100.0, p50_ms * 5)),
    )


def second(t_s: int) -> Second:
    """One ordinary second."""
    return Second(
        t_s=t_s,
        viewers=100,
        offered=10,
        sent=10,
        acked=9,
        errors=1,
        frames=1_000,
        bytes=90_000,
        connect_p99_ms=None,
        ack_p50_ms=3.0,
        ack_p99_ms=9.0,
        ack_max_ms=12.5,
        viewer_p50_ms=5.0,
        viewer_p99_ms=15.0,
        viewer_max_ms=20.0,
        generator_cpu=0.3,
        generator_lag_ms=1.0,
        hub_cpu=0.4,
        hub_rss_bytes=50_000_000,
        hub_lag_ms=None,
    )


def result() -> Result:
    """A run of two seconds without recovery, on a hub that tells no lag."""
    return Result(
        tool={"name": "tallycast load", "version": "0.1.0"},
        command=("tallycast", "load", "http://127.0.0.1:8000"),
        started="2026-11-22T03:00:00Z",
        duration_s=2.0,
        partial=False,
        verdict="ok",
        why=(),
        machine=Machine(cores=2, cpu="a processor", memory_bytes=2**33, system="Linux", python="3.11.7"),
        hub=Hub(url="http://127.0.0.1:8000", kinds=("like", "clap"), tick_ms=50),
        scenario=Scenario().to_json(),
        latency=Latencies(connect=latency(2.0), ack=latency(3.0), viewer=latency(5.0), recovery=None),
        seconds=(second(0), second(1)),
        marks=(Mark(0.0, "connecting"), Mark(1.0, "steady")),
        rates=Rates(offered_per_s=10.0, sent_per_s=10.0, acked_per_s=9.0),
        deliveries=Deliveries(
            frames=2_000, bytes=180_000, frames_per_viewer=20.0, frames_per_viewer_s=10.0, acked=18, conflation=1.5
        ),
        hub_cost=HubCost(cpu_s=0.8, cpu_us_per_frame=12.5, rss_bytes_per_viewer=3_072.0, lag_p99_ms=None),
        errors={"rate_limited": 2, "unavailable": 1},
        reconnects=0,
        oracle=Oracle(
            items=10,
            viewers=100,
            acked=18,
            unanswered=0,
            lost=0,
            doubled=0,
            reordered=0,
            stale_at_end=0,
            examples=(),
        ),
        generator=Generator(processes=1, cpu_max=0.3, lag_p99_ms=1.5, saturated=False),
        thresholds=(),
    )
