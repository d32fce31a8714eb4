"""The journal of changes for those who follow it: read once, however many there are in this process."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import orjson

from tallycast.chores import every
from tallycast.errors import Refused
from tallycast.store.records import CHANGES, Entry, Journal

BEGINNING = "0"  # the position before the oldest entry that is kept
LOOK_S = 0.2
LIMIT = 100  # entries that are read in one go
MOST_RECENT_BYTES = 4 * 2**20  # of entries that are kept in memory for those who are nearly there
MOST_FOLLOWERS = 100

_ANEW = "read the counts anew, and follow from now on by leaving `after` out"
_ID = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?")


class Change(NamedTuple):
    """By how much the count of each kind of an item moved in one step of the store, and the version that came of it."""

    item: str
    v: int
    by: dict[str, int]


def parse(body: bytes) -> list[Change]:
    """What an entry of the journal says. On a cluster an item may be in it more than once."""
    return [Change(*change) for change in orjson.loads(body)]


class Changes:
    """Gives the entries after a position as soon as there are any. A position is the id of an entry, or BEGINNING.

    While nobody follows, nothing is read.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._followers = 0
        self._looking: asyncio.Task[None] | None = None
        self._news = asyncio.Event()  # set, and another one put in its place, when there are new entries
        self._recent: list[Entry] = []
        self._bytes = 0
        self._place: dict[str, int] = {}  # by position how many of `_recent` are not after it

    @contextmanager
    def following(self) -> Iterator[None]:
        """What waits for entries does so in this block. Raises Refused (`rate_limited`)."""
        if self._followers >= MOST_FOLLOWERS:
            raise Refused("rate_limited", f"{MOST_FOLLOWERS} follow the changes here already", retry_after_s=5.0)
        self._followers += 1
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers and self._looking is not None:
                self._looking.cancel()
                self._looking = None
                self._forget()

    async def position(self, after: str | None) -> str:
        """Where to begin: at `after` if it is a position in the journal, None for the newest entry.

        Raises Refused (`bad_request`; `conflict` where entries after it are gone), Unavailable.
        """
        if after is None:
            newest = await self._journal.newest(CHANGES, limit=1)
            return newest[0].id if newest else BEGINNING
        if after == BEGINNING:
            return BEGINNING
        if not _ID.fullmatch(after):
            raise Refused("bad_request", "after must be the id of a change, or 0 for the oldest that is kept")
        newest = await self._journal.newest(CHANGES, limit=1)
        if not newest or _order(after) > _order(newest[0].id):
            raise Refused("conflict", f"there is no change {after} here: {_ANEW}")
        await self._check(after)
        return after

    async def after(self, position: str) -> list[Entry]:
        """The next entries after the position, waited for. Raises Refused (`conflict`, as position() does),
        Unavailable."""
        if self._looking is None:
            self._looking = asyncio.create_task(every(LOOK_S, self._look, "following the journal of changes"))
        while True:
            news = self._news
            place = self._place.get(position)
            if place is not None:
                found = self._recent[place : place + LIMIT]
            else:
                found = await self._journal.after(CHANGES, "" if position == BEGINNING else position, limit=LIMIT)
                if position != BEGINNING:
                    await self._check(position)  # now: entries may have gone before these were read
            if found:
                return found
            await news.wait()

    async def _check(self, position: str) -> None:
        oldest = await self._journal.after(CHANGES, "", limit=1)
        if not oldest or _order(position) < _order(oldest[0].id):
            raise Refused("conflict", f"changes after {position} are not kept any more: {_ANEW}")

    async def _look(self) -> None:
        """Bring to memory what is new."""
        if not self._place:
            newest = await self._journal.newest(CHANGES, limit=1)
            self._place[newest[0].id if newest else BEGINNING] = 0
            self._tell()  # who looked before this may have missed what is not new to it
        while True:
            last = next(reversed(self._place))
            entries = await self._journal.after(CHANGES, "" if last == BEGINNING else last, limit=LIMIT)
            for entry in entries:
                self._recent.append(entry)
                self._bytes += len(entry.body)
                self._place[entry.id] = len(self._recent)
            if entries:
                if self._bytes > MOST_RECENT_BYTES:
                    self._forget_some()
                self._tell()
            if len(entries) < LIMIT:
                return

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _forget_some(self) -> None:
        """Keep the newer half; who is not there yet reads the journal."""
        kept = self._recent[len(self._recent) // 2 :]
        last = next(reversed(self._place))
        self._forget()
        self._recent = kept
        self._bytes = sum(len(entry.body) for entry in kept)
        self._place = {entry.id: number for number, entry in enumerate(kept, 1)} or {last: 0}

    def _forget(self) -> None:
        self._recent, self._place, self._bytes = [], {}, 0


def _order(id: str) -> tuple[int, ...]:
    """Ids in the order of the journal."""
    return tuple(int(part) for part in id.split("-"))
