"""Follows the journal of changes and judges the alerts by it: one hub at a time, under a lease.

How far it has come is a document. It moves on after what fired has been written, so that a hub that dies is followed by
one that judges the last seconds once more; what has fired by then does not fire again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import orjson

from tallycast.alerts import texts
from tallycast.alerts.alert import Alert, Index
from tallycast.alerts.firings import Event, Firings
from tallycast.alerts.moves import Move, Moves, moves_of, way
from tallycast.alerts.rules import Count, Rate, Ratio, Silence, Verdict, name_of
from tallycast.lease import Lease
from tallycast.mirrors import Mirror
from tallycast.store.base import Reading, Snapshot
from tallycast.store.records import CHANGES, Entry, Journal, Records

log = logging.getLogger("tallycast.alerts")

CHECKPOINTS, CHECKPOINT = "checkpoints", "alerts"
MOST_ENTRIES = 100  # read at a time: each may be of thousands of items
MOST_AT_ONCE = 100  # firings of one alert for one piece of the journal: a large import is not as many messages
SAVE_S, IDLE_SAVE_S = 5.0, 30.0  # between two writings of how far it has come, and when it has come no further
PACE_S = 10.0  # between two judgements of rates
TRIM_S = 600.0
MADE_S = 2.0  # after which an alert is known to all hubs
JUMP_S = 5.0  # by which a clock may go wrong between two rounds and is not said to have jumped
UNWATCHED_S = 60.0  # without any watcher, from which on a silence is not one of the items


class Pace(Protocol):
    """By how much a count moved in some minutes, and by how much it usually does in as many."""

    @property
    def n(self) -> int: ...

    @property
    def usual(self) -> float: ...


Paces = Callable[[Sequence[str], str, int], Awaitable[Mapping[str, Pace]]]  # of items or sections, a kind, in minutes
Read = Callable[[Collection[str], Collection[tuple[str, str]]], Awaitable[Reading]]


class State(NamedTuple):
    """How far a watcher has come: the journal's last entry, and the last change under each alert of silence, in Unix
    seconds."""

    position: str
    last: dict[str, float]


class Watcher:
    """Judges alerts. `read` is the store's, `paces` history's; `clock_s` gives Unix time, `ticks_s` a clock that nobody
    sets, both in seconds; `fired` is told the rule of each firing."""

    def __init__(
        self,
        alerts: Mirror[Alert],
        firings: Firings,
        records: Records,
        journal: Journal,
        lease: Lease,
        *,
        read: Read,
        paces: Paces,
        fired: Callable[[str], None],
        clock_s: Callable[[], float],
        ticks_s: Callable[[], float],
    ) -> None:
        self._alerts, self._firings = alerts, firings
        self._records, self._journal = records, journal
        self._lease = lease
        self._read, self._paces = read, paces
        self._fired = fired
        self._clock_s, self._ticks_s = clock_s, ticks_s
        self._state: State | None = None  # None: to be read, as somebody else may have gone on with it
        self._document: bytes | None = None  # as it stands in the store
        self._saved = ""  # the position in it
        self._ahead: list[Entry] = []  # read, and not judged yet
        self._loaded_ms = 0  # a little before the state was read, since 1970
        self._saved_s = self._paced_s = self._trimmed_s = -float("inf")  # when, by ticks_s
        self._jumped_s = -float("inf")  # when the clock was last seen to jump
        self._before: tuple[float, float] | None = None  # both clocks in the last round

    async def round(self) -> None:
        """Judge what has happened since the last round. To be called about once a second. Raises Unavailable."""
        try:
            await self._round()
        except BaseException:
            self._state = None
            raise

    async def _round(self) -> None:
        await self._alerts.refresh()
        if not self._alerts:
            await self._retire()
            return
        if not await self._lease.hold():
            self._state = None
            return
        state = self._see_jumps(self._state or await self._load())
        while True:
            entries = self._ahead or await self._journal.after(CHANGES, state.position, limit=MOST_ENTRIES)
            self._ahead = []
            await self._alerts.refresh()  # after reading: an alert made before one of these entries is known now
            if entries:
                state = await self._judge_moves(state, entries)
            if len(entries) < MOST_ENTRIES:
                break
            if not await self._lease.hold():
                self._state = None
                return
        self._state = state
        await self._judge_time(state)
        await self._save(state)
        if self._ticks_s() - self._trimmed_s >= TRIM_S:
            self._trimmed_s = self._ticks_s()
            await self._firings.trim(self._alerts)

    # How far it has come

    async def _load(self) -> State:
        """Go on where the last watcher was."""
        self._ahead = []
        self._loaded_ms = int((self._clock_s() - MADE_S) * 1000)
        self._document = await self._records.get(CHECKPOINTS, CHECKPOINT)
        await self._firings.load()
        if self._document is None:
            return State(await self._beginning(), {})
        position, at, last = orjson.loads(self._document)
        unwatched_s = self._clock_s() - at
        if unwatched_s > UNWATCHED_S:
            last = {id: since + unwatched_s for id, since in last.items()}
        return State(position, last)

    async def _beginning(self) -> str:
        """The journal's newest entry from before the first alert was made."""
        first_ms = min((self._since_ms(alert) for alert in self._alerts.values()), default=0)
        before = ""
        while True:
            entries = await self._journal.newest(CHANGES, before=before, limit=MOST_ENTRIES)
            for entry in entries:
                if entry.at_ms < first_ms:
                    return entry.id
            if len(entries) < MOST_ENTRIES:
                return ""
            before = entries[-1].id

    async def _retire(self) -> None:
        """There are no alerts any more: be idle until there are, and begin anew then."""
        if self._state is None:
            return
        await self._firings.trim(())
        if self._document is not None:
            await self._records.delete(CHECKPOINTS, CHECKPOINT, self._document)
        self._state = None
        await self._lease.release()

    async def _save(self, state: State) -> None:
        now_s = self._ticks_s()
        if now_s - self._saved_s < (SAVE_S if state.position != self._saved else IDLE_SAVE_S):
            return
        kept = {id: since for id, since in state.last.items() if id in self._alerts}
        body = orjson.dumps((state.position, self._clock_s(), kept))
        if await self._records.put(CHECKPOINTS, CHECKPOINT, body, self._document):
            self._document, self._saved, self._saved_s = body, state.position, now_s
        else:
            self._state = None  # another watcher has gone on

    def _see_jumps(self, state: State) -> State:
        """A clock that was set tells nothing of how long it has been quiet: then that begins anew."""
        clock_s, ticks_s = self._clock_s(), self._ticks_s()
        before, self._before = self._before, (clock_s, ticks_s)
        if before is None or abs((clock_s - before[0]) - (ticks_s - before[1])) <= JUMP_S:
            return state
        log.warning("the clock jumped by %.0f s", (clock_s - before[0]) - (ticks_s - before[1]))
        self._jumped_s = ticks_s
        silences = (id for id, alert in self._alerts.items() if isinstance(alert.rule, Silence))
        return state._replace(last=dict.fromkeys(silences, clock_s))

    # Judging what has moved

    async def _judge_moves(self, state: State, entries: Sequence[Entry]) -> State:
        # A silence is followed also while it is off: else it would have lasted all that time when it is turned on.
        alerts = [alert for alert in self._alerts.values() if alert.enabled or isinstance(alert.rule, Silence)]
        oldest_ms = min((self._since_ms(alert) for alert in alerts), default=0)
        moves = moves_of(entry for entry in entries if entry.at_ms >= oldest_ms)
        index = Index(alerts)
        heard: dict[str, list[Alert]] = {}
        for item, some in moves.items():
            kinds = {kind for move in some for kind in move.by}
            heard[item] = [alert for alert in index.covering(item) if alert.rule.hears(kinds)]
        wanted = [item for item, by in heard.items() if any(isinstance(alert.rule, (Count, Ratio)) for alert in by)]
        snapshots: Mapping[str, Snapshot] = {}
        ahead: Moves = {}
        if wanted:
            snapshots = (await self._read(wanted, ())).snapshots
            ahead = await self._read_ahead(entries[-1].id, moves, snapshots)
        last = dict(state.last)
        fired: dict[str, int] = {}
        for item, by in heard.items():
            for alert in by:
                if isinstance(alert.rule, Count):
                    events = self._reached(alert, alert.rule, moves[item], ahead.get(item, ()), snapshots[item])
                    for mark, event in events:
                        fired[alert.id] = fired.get(alert.id, 0) + 1
                        if fired[alert.id] <= MOST_AT_ONCE:
                            await self._fire(f"{alert.id}:{item}:{mark}", alert, event)
                elif isinstance(alert.rule, Ratio):
                    if moves[item][-1].at_ms >= self._since_ms(alert):
                        await self._judge_ratio(alert, alert.rule, snapshots[item])
                elif isinstance(alert.rule, Silence):
                    at_s = min(moves[item][-1].at_ms / 1000, self._clock_s())
                    last[alert.id] = max(last.get(alert.id, 0.0), at_s)
                    await self._firings.arm(f"{alert.id}:", after_s=at_s)
        for id, times in fired.items():
            if times > MOST_AT_ONCE:
                log.warning("alert %s fired for %d items at once: %d were left out", id, times, times - MOST_AT_ONCE)
        return State(entries[-1].id, last)

    def _since_ms(self, alert: Alert) -> int:
        """From when on changes count: since it was made. Where the clock was set back since, from about now on."""
        return alert.made_ms if alert.made_ms <= self._clock_s() * 1000 else self._loaded_ms

    async def _read_ahead(self, position: str, moves: Moves, snapshots: Mapping[str, Snapshot]) -> Moves:
        """The moves that follow, up to what the snapshots show."""
        newest = {item: moves[item][-1].v for item in snapshots}
        ahead: Moves = {}
        while any(newest[item] < snapshot.v for item, snapshot in snapshots.items()):
            more = await self._journal.after(CHANGES, position, limit=MOST_ENTRIES)
            self._ahead += more
            for item, some in moves_of(more).items():
                if item in snapshots:
                    ahead.setdefault(item, []).extend(some)
                    newest[item] = some[-1].v
            if len(more) < MOST_ENTRIES:
                break
            position = more[-1].id
        return ahead

    def _reached(
        self, alert: Alert, rule: Count, moves: Sequence[Move], ahead: Sequence[Move], now: Snapshot
    ) -> list[tuple[int, Event]]:
        """The marks that the item has reached, and what is to be told of each that has not fired yet."""
        counts = way(moves, ahead, now, rule.kind, self._since_ms(alert))
        return [
            (mark, texts.count(alert, rule, now.item, mark, counts[-1]))
            for mark in rule.reached(counts)
            if self._firings.get(f"{alert.id}:{now.item}:{mark}") is None
        ]

    async def _judge_ratio(self, alert: Alert, rule: Ratio, now: Snapshot) -> None:
        up, down = (max(now.counts.get(kind, 0), 0) for kind in (rule.up, rule.down))
        event = texts.ratio(alert, rule, now.item, up, down)
        await self._settle(f"{alert.id}:{now.item}", alert, rule.judge(up, down), event, quiet_s=rule.quiet_s)

    # Judging what time brings

    async def _judge_time(self, state: State) -> None:
        now_s, ticks_s = self._clock_s(), self._ticks_s()
        for alert in self._alerts.values():
            if alert.enabled and isinstance(alert.rule, Silence):
                since_s = state.last.setdefault(alert.id, alert.made_ms / 1000)
                if now_s - since_s >= alert.rule.for_s:
                    await self._fire(f"{alert.id}:", alert, texts.silence(alert, since_s))
        if ticks_s - self._paced_s < PACE_S:
            return
        self._paced_s = ticks_s
        asked: dict[tuple[str, int], list[tuple[Alert, Rate]]] = {}
        for alert in self._alerts.values():
            rule = alert.rule
            # After a jump the minutes that are looked at are not those that have passed.
            if alert.enabled and isinstance(rule, Rate) and ticks_s - self._jumped_s >= rule.minutes * 60:
                asked.setdefault((rule.kind, rule.minutes), []).append((alert, rule))
        for (kind, minutes), some in asked.items():
            paces = await self._paces([alert.target.text for alert, _ in some], kind, minutes)
            for alert, rule in some:
                n, usual = paces[alert.target.text].n, paces[alert.target.text].usual
                event = texts.rate(alert, rule, n, usual)
                await self._settle(f"{alert.id}:", alert, rule.judge(n, usual), event, quiet_s=rule.quiet_s)

    # Firing

    async def _settle(self, key: str, alert: Alert, verdict: Verdict, event: Event, *, quiet_s: float) -> None:
        if verdict == "holds":
            await self._fire(key, alert, event, quiet_s=quiet_s)
        elif verdict == "ceases":
            await self._firings.arm(key)

    async def _fire(self, key: str, alert: Alert, event: Event, *, quiet_s: float = 0.0) -> None:
        if await self._firings.fire(key, alert, event, quiet_s=quiet_s):
            self._fired(name_of(alert.rule))
