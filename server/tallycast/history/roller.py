"""The chore that rolls up the journal of changes, at one hub at a time, exactly once.

The store moves the checkpoint in the step in which it adds what lies before it, so a hub may die anywhere. What never
came through the journal (counted before there was history, by a hub that was killed before it could write it down, or
lost because nobody rolled up for too long) shows when an item's counts are compared with its totals, which is done with
all items in turn; it is booked as undated.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from tallycast.errors import Unavailable
from tallycast.history.rollup import Position, Roll, corrections, items_in
from tallycast.kinds import Kinds
from tallycast.lease import Lease
from tallycast.store.base import Snapshot
from tallycast.store.history import TOTAL, Asked, History
from tallycast.store.moderation import Moderation
from tallycast.store.records import CHANGES, Entry, Journal

log = logging.getLogger("tallycast.history")

ROUND_S = 1.0
REST = 25  # times what a round took: so this has some 4 % of a core; who has more to roll up does it less often
MOST_REST_S = 4.0  # less than the lease is held
ENTRIES_AT_ONCE = 100
MOST_MOVES = 5_000  # merged before they are rolled up
TURN_CHANGES = 1_000  # merged in one turn of the loop: about a millisecond
PAGE_ITEMS = 100  # compared in a round
MOST_PAGES = 20  # where each has something to correct, as with a store that is older than its history
QUIET_S = 10.0  # an item that moved later may have an entry on its way into the journal
SWEEP_S = 0.05  # of a round


class Roller:
    """Rolls up while it has the lease. Items are compared once they have been quiet for `quiet_s`."""

    def __init__(
        self,
        history: History,
        journal: Journal,
        moderation: Moderation,
        lease: Lease,
        kinds: Kinds,
        *,
        quiet_s: float = QUIET_S,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._history = history
        self._journal = journal
        self._moderation = moderation
        self._lease = lease
        self._kinds = kinds
        self._quiet_s = quiet_s
        self._clock_s = clock_s
        self._position: Position | None = None  # None: another hub may have moved it
        self._roll: Roll | None = None  # the one in the middle of which the position is
        self._cursor = ""  # in the comparison of all items
        self._well = True

    async def run(self) -> None:
        """Roll up once a second until cancelled."""
        while True:
            began_s = time.monotonic()
            try:
                await self.round()
                self._well = True
            except Exception as error:
                self._position = None
                if self._well:
                    own = None if isinstance(error, Unavailable) else error
                    log.warning("history is not rolled up for now: %s", error, exc_info=own)
                self._well = False
            took_s = time.monotonic() - began_s
            await asyncio.sleep(min(max(ROUND_S - took_s, took_s * REST, 0.0), MOST_REST_S))

    async def round(self) -> bool:
        """Roll up all that waits, and a little housekeeping; False where another hub does it. Raises Unavailable."""
        if not await self._lease.hold():
            self._position = None
            return False
        if await self._catch_up():
            for _ in range(MOST_PAGES):
                if not await self._compare():
                    break
            begun_s = time.monotonic()
            while await self._history.sweep() and time.monotonic() - begun_s < SWEEP_S:
                pass
        return True

    async def _catch_up(self) -> bool:
        """Roll up until nothing waits; False where another hub does, too."""
        if self._position is None:
            self._position = Position.parse(await self._history.checkpoint())
            self._roll = await self._resume(self._position)
            await self._mind_gap(self._position)
        held_s = time.monotonic()
        while True:
            if self._roll is None:
                self._roll = await self._gather(self._position.after)
                if not self._roll.upto:
                    self._roll = None
                    return True
            if not await self._step(self._position, self._roll):
                return False
            if time.monotonic() - held_s > ROUND_S:
                held_s = time.monotonic()
                if not await self._lease.hold():
                    self._position = None
                    return False

    async def _step(self, position: Position, roll: Roll) -> bool:
        behind, rises = roll.piece(position)
        if not await self._history.roll(str(position), str(behind), rises):
            self._position = None
            return False
        self._position = behind
        if not behind.upto:
            self._roll = None
        return True

    async def _gather(self, after: str) -> Roll:
        """What waits behind the entry with that id, or the first part of it."""
        roll = Roll()
        merged = 0
        while True:
            entries = await self._journal.after(CHANGES, roll.upto or after, limit=ENTRIES_AT_ONCE)
            for entry in entries:
                merged += roll.add(entry)
                if len(roll.moves) >= MOST_MOVES:
                    return roll
                if merged >= TURN_CHANGES:
                    merged = 0
                    await asyncio.sleep(0)
            if len(entries) < ENTRIES_AT_ONCE:
                return roll

    async def _resume(self, position: Position) -> Roll | None:
        """The roll in the middle of which somebody stopped."""
        if not position.upto:
            return None
        roll = Roll()
        if await self._missing(position.after) is None:
            while roll.upto != position.upto:
                entries = await self._journal.after(CHANGES, roll.upto or position.after, limit=1)
                if not entries:
                    break
                roll.add(entries[0])
        if roll.upto != position.upto:  # it is lost: what was not rolled up of it is undated
            roll = Roll()
            roll.upto = position.upto
        return roll

    async def _mind_gap(self, position: Position) -> None:
        lost = await self._missing(position.after)
        if lost is not None:
            log.warning(
                "the journal of changes begins at %s, after what history has of it: what is lost becomes undated", lost
            )

    async def _missing(self, after: str) -> str | None:
        """The id at which the journal goes on, where entries between `after` and it may be gone."""
        if not after:
            return None
        first = await self._journal.after(CHANGES, after, limit=1)
        if not first:
            return None
        before = await self._journal.newest(CHANGES, before=first[0].id, limit=1)
        return None if before and before[0].id == after else first[0].id

    async def _compare(self) -> bool:
        """Compare the counts of some items with their totals; True where that found something to correct."""
        try:
            page = await self._moderation.items("", self._cursor, PAGE_ITEMS)
        except ValueError:  # the cursor is of a store that is no more
            self._cursor = ""
            return False
        self._cursor = page.cursor
        position = self._position
        assert position is not None
        quiet = {item.item: item for item in page.items if item.v < (self._clock_s() - self._quiet_s) * 1e6}
        if not quiet:
            return False
        # Counts were read after the journal; what came to it meanwhile may be in them.
        came: list[Entry] = await self._journal.after(CHANGES, position.after, limit=ENTRIES_AT_ONCE)
        if len(came) == ENTRIES_AT_ONCE:
            return False
        for item in items_in(came):
            quiet.pop(item, None)
        short = await self._short(quiet)
        if not short:
            return False
        behind = position._replace(turn=position.turn + 1)
        if not await self._history.roll(str(position), str(behind), corrections(short)):
            self._position = None
            return False
        self._position = behind
        return True

    async def _short(self, items: dict[str, Snapshot]) -> dict[str, dict[str, int]]:
        """By how much the totals of items are less than their counts, where they differ. Of kinds that are not declared
        here nobody here knows the counts."""
        totals = await self._history.series([Asked(item, TOTAL, 0, 0) for item in items])
        short = {}
        for (item, snapshot), total in zip(items.items(), totals, strict=True):
            counts = snapshot.counts
            differ = {kind: by for kind in self._kinds if (by := counts.get(kind, 0) - total.get(kind, {}).get(0, 0))}
            if differ:
                short[item] = differ
        return short
