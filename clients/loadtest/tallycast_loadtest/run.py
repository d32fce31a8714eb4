"""A run, from the first look at the hub to the verdict."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from tallycast_loadtest import schedule
from tallycast_loadtest.gather import Gather
from tallycast_loadtest.hub import BadInput, Unreachable
from tallycast_loadtest.machine import this_machine
from tallycast_loadtest.oracle import Counts, Faults, Report, judge
from tallycast_loadtest.prepare import Prepared
from tallycast_loadtest.processes import Processes
from tallycast_loadtest.results import Hub as HubFacts
from tallycast_loadtest.results import HubCost, Mark, Oracle, Result, Second
from tallycast_loadtest.scrape import Scrape
from tallycast_loadtest.tally import Told
from tallycast_loadtest.verdict import SETTINGS, limit_met, verdict, why
from tallycast_loadtest.worker import Begin, Compare, Halt, Start

if TYPE_CHECKING:
    from tallycast_loadtest.live import View

_CONNECT_S: Final = 30.0  # after the ramp, until viewers that are not connected end the run
_INTERRUPTED_SETTLE_S: Final = 2.0
_LOOK_S: Final = 0.1
_AHEAD_S: Final = 0.2  # between saying when something begins and its beginning
_HOPELESS: Final = ("too_many_items", "unauthenticated", "forbidden", "bad_token", "token_expired", "closed_4401")


async def run(prepared: Prepared, view: View) -> Result:
    """Make the run. Ctrl-C ends it early with what there is. Raises Died, BadInput and Unreachable."""
    with _interruptible() as interrupted:
        return await _Run(prepared, view, interrupted).run()


@contextmanager
def _interruptible() -> Iterator[asyncio.Event]:
    """Set by the first SIGINT; the second one ends as ever."""
    loop, interrupted = asyncio.get_running_loop(), asyncio.Event()

    def once() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        interrupted.set()

    loop.add_signal_handler(signal.SIGINT, once)
    try:
        yield interrupted
    finally:
        loop.remove_signal_handler(signal.SIGINT)


class _Run:
    def __init__(self, prepared: Prepared, view: View, interrupted: asyncio.Event) -> None:
        self._prepared, self._view, self._interrupted = prepared, view, interrupted
        self._options, self._hub = prepared.options, prepared.hub
        self._scenario = prepared.options.scenario
        self._readers = self._scenario.viewers - len(schedule.roles(self._scenario).stuck)
        self._gather = Gather(len(prepared.shares))
        self._scrape = Scrape()
        self._marks: list[Mark] = []
        self._start_s = self._steady_s = 0.0
        self._idle_rss: float | None = None
        self._connected_rss: float | None = None

    async def run(self) -> Result:
        started = datetime.now(UTC)
        items = self._prepared.shares[0].items
        before = await asyncio.to_thread(self._hub.counts, items, self._prepared.viewers_token)
        async with Processes(self._prepared.shares, self._told) as self._processes:
            await self._processes.ready()
            await self._look()
            self._idle_rss = self._scrape.rss_bytes
            self._start_s = time.monotonic() + _AHEAD_S
            self._processes.tell(Start(self._start_s))
            looking = asyncio.create_task(self._look_each_second())
            try:
                await self._connect()
                await self._react()
                oracle = await self._settle(before)
                await self._processes.end()
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
        self._show(self._gather.finish())
        return self._result(started, oracle)

    # Phases

    async def _connect(self) -> None:
        scenario = self._scenario
        self._phase("connecting", scenario.viewers, "viewers")
        end_s = self._start_s + scenario.ramp_s + _CONNECT_S
        while not self._interrupted.is_set():
            all_told = len(self._gather.last) == self._parts
            if all_told and not self._gather.waiting:
                break
            self._view.progress(self._gather.viewers)
            self._give_up_if_hopeless(late=all_told and time.monotonic() > end_s)
            await self._pause()
        await self._look()
        self._connected_rss = self._scrape.rss_bytes

    def _give_up_if_hopeless(self, *, late: bool) -> None:
        errors, details = self._gather.errors, self._gather.details
        for code in _HOPELESS:
            if errors[code]:
                if code in SETTINGS:
                    raise BadInput(limit_met(code, errors[code], details.get(code, "")))
                raise BadInput(f"the hub lets nobody watch or react: {details.get(code, code)}")
        if not late:
            return
        missing_ = (
            f"{self._gather.waiting:,} of {self._scenario.viewers + self._scenario.reactors:,} connections did not open"
        )
        if errors["rate_limited"]:
            words = details.get("rate_limited", "")
            raise BadInput(f"{missing_}: the hub said {words!r}; raise {SETTINGS['too_many_connections']} on the hub")
        self._hub.config()  # Unreachable, if the hub has gone
        most = errors.most_common(1)
        raise BadInput(f"{missing_}" + "".join(f"; {code}: {details.get(code, count)}" for code, count in most))

    async def _react(self) -> None:
        scenario = self._scenario
        if self._interrupted.is_set():
            return
        self._scrape.reset()
        begin_s = time.monotonic() + _AHEAD_S
        self._processes.tell(Begin(begin_s))
        self._phase("steady", scenario.duration_s, "s")
        happenings: list[tuple[float, str]] = []
        if scenario.storm_at_s:
            share = round(scenario.storm_share * scenario.viewers)
            happenings.append((scenario.storm_at_s, f"storm: {share:,} viewers lose their connections"))
        restarting: asyncio.Task[None] | None = None
        while not self._interrupted.is_set() and (passed_s := time.monotonic() - begin_s) < scenario.duration_s:
            self._view.progress(max(0.0, passed_s))
            for happening in [each for each in happenings if each[0] <= passed_s]:
                happenings.remove(happening)
                self._mark(happening[1])
            if scenario.restart_at_s and restarting is None and passed_s >= scenario.restart_at_s:
                restarting = asyncio.create_task(self._restart())
            if restarting is not None and restarting.done():
                restarting.result()
            await self._pause()
        self._processes.tell(Halt())
        self._steady_s = time.monotonic() - begin_s
        if restarting is not None:
            await restarting

    async def _restart(self) -> None:
        if self._options.restart is None:
            self._mark("restart the hub now")
            return
        self._mark("the hub restarts")
        process = await asyncio.create_subprocess_shell(
            self._options.restart, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
        )
        if code := await process.wait():
            raise BadInput(f"the command of --restart ended with {code}")

    async def _settle(self, before: dict[str, Counts]) -> Oracle:
        settle_s = _INTERRUPTED_SETTLE_S if self._interrupted.is_set() else self._scenario.settle_s
        self._phase("settling", settle_s, "s")
        begin_s = time.monotonic()
        end_s = begin_s + settle_s
        halted = {part: told.second for part, told in self._gather.last.items()}
        while time.monotonic() < end_s and not self._interrupted.is_set():
            told = self._gather.last
            if self._all_back() and all(told[part].second > second for part, second in halted.items()):
                break
            self._view.progress(time.monotonic() - begin_s)
            await self._pause()
        self._phase("checking", len(before), "items")
        while True:
            try:
                truth = await asyncio.to_thread(self._hub.counts, before, self._prepared.viewers_token)
            except Unreachable:  # it may be about to come back
                if time.monotonic() > end_s:
                    raise
                await asyncio.sleep(_LOOK_S)
                continue
            compared = await self._processes.compare(Compare(truth))
            missing_ = sum(each.stale.count + each.report.unanswered for each in compared)
            if not missing_ or time.monotonic() > end_s:
                break
            await asyncio.sleep(_LOOK_S)
        self._view.progress(len(before))
        report, order, behind = Report(), Faults(), Faults()
        for each in compared:
            report.merge(each.report)
            order.merge(each.order)
            behind.merge(each.stale)
        return judge(before, truth, report, order, behind, sum(each.viewers for each in compared))

    def _all_back(self) -> bool:
        """Whether nothing is to be waited for: answers, viewers on their way back."""
        return not self._gather.unanswered and self._gather.viewers >= self._readers

    # What goes on beside

    @property
    def _parts(self) -> int:
        return len(self._prepared.shares)

    async def _pause(self) -> None:
        """Wait a moment, less where the run is interrupted. Raises Died."""
        waiting = asyncio.create_task(self._interrupted.wait())
        await asyncio.wait((waiting, self._processes.died), timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._processes.died.done():
            self._processes.died.result()

    def _told(self, part: int, told: Told) -> None:
        self._show(self._gather.add(part, told))

    def _show(self, seconds: Iterable[Second]) -> None:
        for second in seconds:
            self._view.second(second, dict(self._gather.errors))

    def _phase(self, name: str, total: float, unit: str) -> None:
        self._marks.append(Mark(self._now_s(), name))
        self._view.phase(name, total, unit)

    def _mark(self, text: str) -> None:
        self._marks.append(Mark(self._now_s(), text))
        self._view.note(text)

    def _now_s(self) -> float:
        return round(max(0.0, time.monotonic() - self._start_s), 3)

    async def _look_each_second(self) -> None:
        for second in itertools.count():
            await asyncio.sleep(max(0.0, self._start_s + second + 0.95 - time.monotonic()))
            await self._look(second)

    async def _look(self, second: int | None = None) -> None:
        text = await asyncio.to_thread(self._hub.metrics)
        if text is not None:
            with suppress(ValueError):  # something else answers at /metrics
                load = self._scrape.look(text, time.monotonic())
                if load is not None and second is not None:
                    self._gather.loads[second] = load

    # The end

    def _result(self, started: datetime, oracle: Oracle) -> Result:
        gather, scenario, options = self._gather, self._scenario, self._options
        generator = gather.generator()
        draft = Result(
            tool={"name": "tallycast load", "version": version("tallycast")},
            command=tuple(options.command),
            started=started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            duration_s=self._now_s(),
            partial=self._interrupted.is_set(),
            verdict="ok",
            why=(),
            machine=this_machine(),
            hub=HubFacts(url=self._hub.url, kinds=tuple(self._prepared.rules), tick_ms=self._prepared.tick_ms),
            scenario=scenario.to_json(),
            latency=gather.latencies(),
            seconds=tuple(gather.seconds),
            marks=tuple(self._marks),
            rates=gather.rates(self._steady_s),
            deliveries=gather.deliveries(scenario.viewers, self._steady_s),
            hub_cost=self._hub_cost(),
            errors=dict(gather.errors),
            reconnects=gather.reconnects,
            oracle=oracle,
            generator=generator,
            thresholds=(),
        )
        thresholds = tuple(limit.check(draft) for limit in options.limits)
        return replace(
            draft,
            thresholds=thresholds,
            verdict=verdict(oracle, generator, thresholds, interrupted=draft.partial),
            why=why(oracle, generator, thresholds, gather.errors, gather.details),
        )

    def _hub_cost(self) -> HubCost:
        frames = sum(second.frames for second in self._gather.seconds)
        connections = self._scenario.viewers + self._scenario.reactors
        idle, connected = self._idle_rss, self._connected_rss
        cpu_s = None if connected is None else self._scrape.cpu_s
        grown = None if idle is None or connected is None else connected - idle
        return HubCost(
            cpu_s=cpu_s,
            cpu_us_per_frame=cpu_s * 1e6 / frames if cpu_s is not None and frames else None,
            rss_bytes_per_viewer=grown / connections if grown is not None and connections else None,
            lag_p99_ms=self._scrape.lag_ms(0.99),
        )
