"""Documents of the store kept in memory, where guards and pages look into them without waiting.

A Mirror is one space. Its own writes show at once, those of other processes within PACE_S seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, Literal, TypeVar, cast

from tallycast.errors import Unavailable
from tallycast.store.records import ANY, Expected, Records

log = logging.getLogger("tallycast.mirrors")

T = TypeVar("T")

PACE_S = 1.0


class Mirror(Mapping[str, T], Generic[T]):
    """The documents of one space by key, in the order of the keys. Made by Mirrors.of().

    Empty until the space could be read once: see `loaded`. A document that cannot be understood is logged and left out.
    """

    def __init__(self, records: Records, space: str, load: Callable[[bytes], T], dump: Callable[[T], bytes]) -> None:
        self.space = space
        self.loaded = False  # whether the space was ever read: who must not let pass what is unknown looks here
        self.revision = 0  # as of which this was read; larger ones are not known to be any different
        self._records = records
        self._load = load
        self._dump = dump
        self._bodies: dict[str, bytes] = {}
        self._values: dict[str, T] = {}
        self._watchers: list[Callable[[], None]] = []
        self._one_at_a_time = asyncio.Lock()  # a reading begun before a write must not end after it

    def __getitem__(self, key: str) -> T:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` after each time that something here has changed."""
        self._watchers.append(changed)

    async def put(self, key: str, value: T, expected: T | Literal["any"] | None) -> bool:
        """Write a document if `expected` is what stands there; see Records.put. Raises Unavailable.

        True: it shows here. False: what stands there instead shows here.
        """
        async with self._one_at_a_time:
            body = self._dump(value)
            done = await self._records.put(self.space, key, body, self._expected(key, expected))
            if done:
                self._show({**self._bodies, key: body})
            else:
                await self._read()
            return done

    async def delete(self, key: str, expected: T | Literal["any"]) -> bool:
        """Take a document away if `expected` is what stands there; see Records.delete, and put()."""
        async with self._one_at_a_time:
            what = self._expected(key, expected)
            assert what is not None
            done = await self._records.delete(self.space, key, what)
            if done:
                self._show({other: body for other, body in self._bodies.items() if other != key})
            else:
                await self._read()
            return done

    async def refresh(self) -> None:
        """Read the space again if its revision moved. Raises Unavailable."""
        await self.follow((await self._records.revisions((self.space,)))[self.space])

    async def follow(self, revision: int) -> None:
        """Read the space again if this, which is its revision now, is not the one that it was read at."""
        if revision != self.revision or not self.loaded:
            async with self._one_at_a_time:
                await self._read()
                self.revision = revision  # asked for before reading: what came in between is read once more

    async def _read(self) -> None:
        self._show(await self._records.all(self.space))
        self.loaded = True

    def _show(self, bodies: dict[str, bytes]) -> None:
        if bodies == self._bodies:
            return
        values: dict[str, T] = {}
        for key in sorted(bodies):
            if self._bodies.get(key) == bodies[key] and key in self._values:
                values[key] = self._values[key]
                continue
            try:
                values[key] = self._load(bodies[key])
            except Exception:
                log.exception("%s %s cannot be understood and is left out", self.space, key)
        self._bodies, self._values = bodies, values
        for changed in self._watchers:
            try:
                changed()
            except Exception:
                log.exception("telling of a change of %s failed", self.space)

    def _expected(self, key: str, expected: T | Literal["any"] | None) -> Expected:
        """The body that is expected: the stored one where that value shows here, as it may be written otherwise."""
        if expected is None:
            return None
        if expected is ANY:
            return ANY
        value = cast(T, expected)
        return self._bodies[key] if key in self._values and self._values[key] == value else self._dump(value)


class Mirrors:
    """All spaces that this process has in memory. `clock` gives seconds, monotonic."""

    def __init__(self, records: Records, *, clock: Callable[[], float]) -> None:
        self._records = records
        self._now_s = clock
        self._mirrors: dict[str, Mirror[Any]] = {}
        self._well = True

    def of(self, space: str, load: Callable[[bytes], T], dump: Callable[[T], bytes]) -> Mirror[T]:
        """A mirror of the space. `load` and `dump` are between a document's bytes and what it means; `load` may raise
        for bytes that mean nothing. Each space is mirrored once: pass the Mirror on. Raises ValueError."""
        if space in self._mirrors:
            raise ValueError(f"{space} is mirrored already")
        mirror = self._mirrors[space] = Mirror(self._records, space, load, dump)
        return mirror

    async def refresh(self) -> None:
        """Read again what has moved. Raises Unavailable."""
        revisions = await self._records.revisions(tuple(self._mirrors))
        for space, revision in revisions.items():
            await self._mirrors[space].follow(revision)

    async def run(self) -> None:
        """refresh() every PACE_S seconds, also through trouble. Runs until it is cancelled."""
        while True:
            due_s = self._now_s() + PACE_S
            try:
                await self.refresh()
            except Unavailable as unavailable:
                if self._well:
                    log.warning("documents stay as they are for now: %s", unavailable.message)
                self._well = False
            except Exception:
                log.exception("reading documents failed")
            else:
                if not self._well:
                    log.warning("documents are up to date again")
                self._well = True
            await asyncio.sleep(max(due_s - self._now_s(), 0.0))
