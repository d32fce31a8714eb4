"""The whole tool against hubs that do wrong: every planted fault is found, every planted delay is told.

Lower bounds are exact. Upper ones hold on a machine that others use at the same time, so they say little.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal

from loadtest.fake_hub import CPU_S_PER_FRAME, LAG_MS, RSS_BYTES_PER_VIEWER, FakeHub, Plan, fake_hub
from loadtest.quiet import Quiet
from tallycast_loadtest import thresholds
from tallycast_loadtest.prepare import Options, prepare
from tallycast_loadtest.results import LatencySummary, Result
from tallycast_loadtest.run import run
from tallycast_loadtest.scenario import Scenario

REACTIONS = 100
SMALL = Scenario(
    viewers=20,
    reactors=10,
    items=2,
    rate_per_s=100.0,
    arrivals="constant",
    kinds={"like": 0.4, "share": 0.3, "download": 0.3},
    think_s=0.0,
    ramp_s=0.5,
    duration_s=1.0,
    settle_s=3.0,
    sse_share=0.2,
)


async def load(hub: FakeHub, *limits: str, processes: int = 1, view: Quiet | None = None, **keys: float) -> Result:
    """What a run of the small scenario, changed by `keys`, finds on the hub."""
    scenario = Scenario(**{**SMALL.to_json(), **keys})
    options = Options(
        url=hub.url, scenario=scenario, processes=processes, limits=[thresholds.parse(limit) for limit in limits]
    )
    return await run(prepare(options), view or Quiet())


def faults(found: Result) -> dict[str, int]:
    """Everything of the oracle that ought to be 0 and is not."""
    names = ("lost", "doubled", "reordered", "stale_at_end", "unanswered")
    return {name: getattr(found.oracle, name) for name in names if getattr(found.oracle, name)}


def measured(latency: LatencySummary | None) -> LatencySummary:
    assert latency is not None
    return latency


async def test_a_right_hub_is_found_right_and_its_delays_and_costs_are_told() -> None:
    with fake_hub(Plan(connect_delay_s=0.03, ack_delay_s=0.04, counts_delay_s=0.08)) as hub:
        found = await load(hub, "lost==0", "ack_p50>=40ms", "viewer_p50>=80ms", "acked_per_s>1/s", processes=2)
    assert found.verdict in ("ok", "generator saturated")  # the latter where others have the machine
    assert faults(found) == {}
    assert (found.oracle.viewers, found.oracle.acked, found.oracle.items) == (20, REACTIONS, 2)
    assert found.errors == {}
    assert all(threshold.met for threshold in found.thresholds)
    assert measured(found.latency.connect).p50_ms >= 30
    ack, viewer = measured(found.latency.ack), measured(found.latency.viewer)
    assert (ack.count, viewer.count) == (REACTIONS, hub.frames)
    assert 40 <= ack.p50_ms <= 5000
    assert 80 <= viewer.p50_ms <= 5000
    assert found.deliveries.frames == hub.frames
    assert found.deliveries.conflation == 1.0
    assert sum(second.offered for second in found.seconds) == REACTIONS
    assert found.hub_cost.lag_p99_ms == LAG_MS
    assert found.hub_cost.cpu_us_per_frame is not None
    assert 0 < found.hub_cost.cpu_us_per_frame <= CPU_S_PER_FRAME * 1e6 * 1.01
    assert found.hub_cost.rss_bytes_per_viewer == RSS_BYTES_PER_VIEWER


async def test_lost_doubled_and_forked_counts_are_found_to_the_last_one() -> None:
    with fake_hub(Plan(lost_every=5, doubled_every=6, fork_every=10)) as hub:
        found = await load(hub, "lost==0")
    assert min(hub.planted.values()) > 2
    wrong = faults(found)
    wrong.pop("stale_at_end", None)  # whoever was shown a fork last
    planted = hub.planted
    assert wrong == {"lost": planted["lost"], "doubled": planted["doubled"], "reordered": planted["forked"]}
    assert len(found.oracle.examples) > 3
    assert found.verdict == "wrong counts"
    assert not found.thresholds[0].met


async def test_versions_that_fall_and_a_viewer_that_is_left_behind_are_found() -> None:
    with fake_hub(Plan(fall_every=10, silent_viewer=True)) as hub:
        found = await load(hub, items=1)
    assert hub.planted["fell"] > 5
    assert faults(found) == {"reordered": hub.planted["fell"], "stale_at_end": 1}


async def test_errors_and_reactions_that_are_never_answered_are_counted_and_accuse_nobody() -> None:
    with fake_hub(Plan(error_every=10, mute_every=10)) as hub:
        found = await load(hub)
    assert hub.planted["error"] >= 10
    assert hub.planted["muted"] > 5
    assert found.errors == {"unavailable": hub.planted["error"]}
    assert faults(found) == {"unanswered": hub.planted["muted"]}
    assert found.oracle.acked == REACTIONS - hub.planted["muted"]


async def test_lost_connections_are_told_with_their_recovery_and_what_was_said_on_them_counts_once() -> None:
    """The hub cuts reactors off before their answers, and the storm takes half of the viewers."""
    with fake_hub(Plan(hang_up_every=10, connect_delay_s=0.03)) as hub:
        found = await load(hub, settle_s=20.0, storm_at_s=0.3, storm_share=0.5, sse_share=0.0)
    assert hub.planted["hung_up"] >= 10
    assert faults(found) == {}
    assert (found.oracle.acked, found.oracle.viewers) == (REACTIONS, SMALL.viewers)
    recovery = measured(found.latency.recovery)
    assert recovery.count == SMALL.viewers / 2
    assert recovery.p50_ms >= 30
    assert found.reconnects > recovery.count


async def test_a_stall_of_the_hub_weighs_on_every_reaction_that_was_due_in_it() -> None:
    """It stands still for one of the two seconds: a quarter of the reactions waits for at least half of that."""
    with fake_hub(Plan(stall_at_s=0.5, stall_s=1.0)) as hub:
        found = await load(hub, duration_s=2.0, rate_per_s=50.0)
    ack = measured(found.latency.ack)
    assert ack.count == REACTIONS
    assert ack.p90_ms >= 500
    assert ack.p99_ms >= 900
    assert max(second.ack_max_ms or 0 for second in found.seconds) == ack.max_ms
    assert faults(found) == {}


async def test_a_stall_of_the_generator_itself_weighs_as_much_and_is_confessed() -> None:
    """Nothing is sent while it stands still, yet the reactions due then count from when they were due."""

    def signal_all(number: signal.Signals) -> None:
        for child in multiprocessing.active_children():
            assert child.pid is not None
            os.kill(child.pid, number)

    def stall(phase: str) -> None:
        if phase != "steady":
            return
        loop = asyncio.get_running_loop()
        loop.call_later(0.7, signal_all, signal.SIGSTOP)
        loop.call_later(1.7, signal_all, signal.SIGCONT)

    with fake_hub() as hub:
        found = await load(hub, view=Quiet(on_phase=stall), duration_s=2.0, rate_per_s=50.0)
    ack = measured(found.latency.ack)
    assert ack.count == REACTIONS
    assert ack.p90_ms >= 500
    assert ack.p99_ms >= 900
    assert found.generator.lag_p99_ms >= 900
    assert found.verdict == "generator saturated"
    assert faults(found) == {}
