"""Results of load tests as they come: a whole one, and one that was stopped before anything was measured."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from functools import cache

from tallycast_loadtest.machine import this_machine
from tallycast_loadtest.results import (
    Deliveries,
    Generator,
    Hub,
    HubCost,
    Latencies,
    LatencySummary,
    Mark,
    Oracle,
    Rates,
    Result,
    Second,
    Threshold,
)
from tallycast_loadtest.scenario import Scenario

CONNECT_S, STEADY_S, SETTLE_S = 10, 60, 5
VIEWERS, OFFERED = 5000, 500
RESTART_S = 40


def latency(median_ms: float, spread: float, count: int) -> LatencySummary:
    """Log-normal times: the larger `spread`, the longer the tail."""
    steps = [0.0, *(100 * (1 - 2**-each) for each in range(1, int(math.log2(count)) + 1)), 100.0]
    rng = random.Random(f"{median_ms} {count}")
    times = sorted(rng.lognormvariate(math.log(median_ms), spread) for _ in range(min(count, 20_000)))

    def at(percentile: float) -> float:
        return times[min(len(times) - 1, int(percentile / 100 * len(times)))]

    return LatencySummary(
        count=count,
        mean_ms=sum(times) / len(times),
        p50_ms=at(50),
        p90_ms=at(90),
        p99_ms=at(99),
        p999_ms=at(99.9),
        max_ms=times[-1],
        curve=tuple((step, at(step)) for step in steps),
    )


def seconds() -> tuple[Second, ...]:
    """Viewers come for ten seconds, then reactions; the hub restarts in the 40th; then it gets quiet."""
    rng = random.Random(5)
    made = []
    viewers, memory = 0, 60 << 20
    for t_s in range(CONNECT_S + STEADY_S + SETTLE_S):
        steady = CONNECT_S <= t_s < CONNECT_S + STEADY_S
        away, back = t_s == RESTART_S, RESTART_S < t_s <= RESTART_S + 3
        viewers = 0 if away else min(VIEWERS, viewers + (1700 if back else 500))
        memory = (58 << 20) + viewers * 2300 + rng.randrange(1 << 19)
        slow = 25 if back else rng.uniform(0.8, 1.3)
        measured = steady and not away
        made.append(
            Second(
                t_s=t_s,
                viewers=viewers,
                offered=OFFERED if steady else 0,
                sent=0 if away else OFFERED * 2 if t_s == RESTART_S + 1 else OFFERED if steady else 0,
                acked=0 if away else OFFERED * 2 if t_s == RESTART_S + 1 else OFFERED if steady else 0,
                errors=37 if away else 0,
                frames=viewers * 10 + rng.randrange(100) if measured else 0,
                bytes=viewers * 900 if measured else 0,
                connect_p99_ms=rng.uniform(4, 9) * (12 if back else 1) if t_s < CONNECT_S or back else None,
                ack_p50_ms=1.1 * slow if measured else None,
                ack_p99_ms=4.2 * slow if measured else None,
                ack_max_ms=11.7 * slow * rng.uniform(1, 2) if measured else None,
                viewer_p50_ms=52 * slow if measured else None,
                viewer_p99_ms=108 * slow if measured else None,
                viewer_max_ms=131 * slow * rng.uniform(1, 1.3) if measured else None,
                generator_cpu=0.08 if not steady else rng.uniform(0.4, 0.55),
                generator_lag_ms=rng.uniform(0.3, 2.5),
                hub_cpu=None if away else rng.uniform(0.5, 0.6) if steady else 0.2,
                hub_rss_bytes=None if away else memory,
                hub_lag_ms=None if away else rng.uniform(0.2, 3.0),
            )
        )
    return tuple(made)


@cache
def whole() -> Result:
    """Five thousand viewers on one item, a restart in the middle, all counts right."""
    acked = OFFERED * STEADY_S
    return Result(
        tool={"name": "tallycast load", "version": "0.1.0"},
        command=("tallycast", "load", "http://127.0.0.1:8080", "--scenario", "deploy", "--thresholds", "ack_p99<50ms"),
        started="2026-11-22T03:00:00Z",
        duration_s=float(CONNECT_S + STEADY_S + SETTLE_S),
        partial=False,
        verdict="ok",
        why=(),
        machine=this_machine(),
        hub=Hub(url="http://127.0.0.1:8080", kinds=("like", "love", "clap"), tick_ms=100.0),
        scenario=Scenario(
            name="deploy",
            about="5,000 viewers of one item, and a restart of the hub in the middle",
            viewers=VIEWERS,
            reactors=OFFERED,
            items=1,
            rate_per_s=float(OFFERED),
            ramp_s=float(CONNECT_S),
            duration_s=float(STEADY_S),
            restart_at_s=float(RESTART_S - CONNECT_S),
        ).to_json(),
        latency=Latencies(
            connect=latency(3.4, 0.5, VIEWERS),
            ack=latency(1.13, 0.6, acked),
            viewer=latency(53.0, 0.3, acked * VIEWERS),
            recovery=latency(740.0, 0.6, VIEWERS),
        ),
        seconds=seconds(),
        marks=(
            Mark(0.0, "connecting"),
            Mark(float(CONNECT_S), "steady"),
            Mark(float(RESTART_S), "the hub restarts"),
            Mark(float(CONNECT_S + STEADY_S), "settling"),
        ),
        rates=Rates(offered_per_s=500.0, sent_per_s=500.0, acked_per_s=499.9833),
        deliveries=Deliveries(
            frames=2_951_873,
            bytes=265_668_570,
            frames_per_viewer=590.37,
            frames_per_viewer_s=9.8396,
            acked=acked,
            conflation=50.815,
        ),
        hub_cost=HubCost(cpu_s=33.71, cpu_us_per_frame=11.42, rss_bytes_per_viewer=2304.5, lag_p99_ms=2.87),
        errors={"connection_lost": 37},
        reconnects=VIEWERS,
        oracle=Oracle(
            items=1,
            viewers=VIEWERS,
            acked=acked,
            unanswered=0,
            lost=0,
            doubled=0,
            reordered=0,
            stale_at_end=0,
            examples=(),
        ),
        generator=Generator(processes=2, cpu_max=0.5483, lag_p99_ms=2.41, saturated=False),
        thresholds=(
            Threshold(text="ack_p99<50ms", value=4.619, met=True),
            Threshold(text="lost==0", value=0.0, met=True),
        ),
    )


def stopped() -> Result:
    """Ctrl-C before the first viewer was connected, at a hub without /metrics."""
    return replace(
        whole(),
        duration_s=0.4,
        partial=True,
        verdict="interrupted",
        why=("ack_p99<50ms: not measured",),
        latency=Latencies(connect=None, ack=None, viewer=None, recovery=None),
        seconds=(),
        marks=(),
        rates=Rates(offered_per_s=0.0, sent_per_s=0.0, acked_per_s=0.0),
        deliveries=Deliveries(
            frames=0, bytes=0, frames_per_viewer=0.0, frames_per_viewer_s=0.0, acked=0, conflation=None
        ),
        hub_cost=HubCost(cpu_s=None, cpu_us_per_frame=None, rss_bytes_per_viewer=None, lag_p99_ms=None),
        errors={},
        reconnects=0,
        oracle=Oracle(
            items=0,
            viewers=0,
            acked=0,
            unanswered=0,
            lost=0,
            doubled=0,
            reordered=0,
            stale_at_end=0,
            examples=(),
        ),
        generator=Generator(processes=2, cpu_max=0.0, lag_p99_ms=0.0, saturated=False),
        thresholds=(Threshold(text="ack_p99<50ms", value=None, met=False),),
    )
