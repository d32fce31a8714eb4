"""The journal of changes: how much of it is kept, and who adds to it on a cluster.

On one server the scripts that count add to it. On a cluster it is in another slot than the items: there the scripts
answer with what moved, and this adds it right after. So what a hub counted in the moment of its death may be missing in
the journal of a cluster, and so may what was counted by a call whose answer was lost.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from tallycast.errors import Unavailable
from tallycast.store.records import MOST_CHANGES
from tallycast.store.redis.line import Ask
from tallycast.store.redis.servers import Command, command
from tallycast.store.redis.tasks import end

log = logging.getLogger("tallycast.redis")

AGAIN_S = 0.25  # after a failure
ENTRY_BYTES = 65_536  # of one entry, unless one batch has more
MOST_WAITING_BYTES = 16 * 2**20  # while the journal's shard is away and others count; then the oldest are lost
MOST_BYTES = 256 * 2**20  # that it takes in Redis, about: an entry of a large batch is some kilobytes
LEAST_CHANGES = 10_000
MEASURE_S = 30.0
SETTLE_S = 1.0


class Changes:
    """Adds what moved to the journal, in that order, and measures now and then how large the stream `key` has become.

    `make` makes the command that adds an entry with that body.
    """

    def __init__(self, key: str, make: Callable[[bytes], Command], read: Ask, write: Ask) -> None:
        self.most = MOST_CHANGES  # entries that are kept now
        self._key = key
        self._make = make
        self._read = read
        self._write = write
        self._next_measure_s = 0.0
        self._measuring: asyncio.Task[None] | None = None
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._adding: asyncio.Task[None] | None = None

    def note(self, text: bytes) -> None:
        """This moved: '["item",version,{"kind":by}]' for each item, with commas between; nothing where it is empty."""
        if not text:
            return
        self._waiting.append(text)
        self._bytes += len(text)
        if self._bytes > MOST_WAITING_BYTES:
            log.error("the journal of changes is away for too long: some changes will be missing in it")
            while self._bytes > MOST_WAITING_BYTES // 2:
                self._bytes -= len(self._waiting.pop(0))
        if self._adding is None:
            self._adding = asyncio.get_running_loop().create_task(self._add())

    def measure_when_due(self) -> None:
        """To be called after what adds to the journal. Returns at once."""
        now_s = time.monotonic()
        if now_s >= self._next_measure_s:
            self._next_measure_s = now_s + MEASURE_S
            self._measuring = asyncio.get_running_loop().create_task(self._measure())

    async def settle(self) -> None:
        """Wait until all that was noted is there, or SETTLE_S."""
        if self._adding is not None:
            await asyncio.wait([self._adding], timeout=SETTLE_S)

    async def close(self) -> None:
        """Add what waits, where that can be done at once."""
        await self.settle()
        await end([task for task in (self._adding, self._measuring) if task is not None])

    async def _measure(self) -> None:
        with suppress(Unavailable):
            asked = (("MEMORY", "USAGE", self._key, "SAMPLES", 100), ("XLEN", self._key))
            taken, entries = await self._read([Command(command(*words), self._key) for words in asked])
            if entries:
                fitting = MOST_BYTES * entries // taken
                self.most = min(max(fitting, LEAST_CHANGES), MOST_CHANGES)

    async def _add(self) -> None:
        try:
            while self._waiting:
                command = self._make(b"[" + b",".join(self._some()) + b"]")
                while not await self._added(command):
                    await asyncio.sleep(AGAIN_S)
        finally:
            self._adding = None

    def _some(self) -> list[bytes]:
        size = number = 0
        for text in self._waiting:
            if number and size + len(text) > ENTRY_BYTES:
                break
            number, size = number + 1, size + len(text)
        some, self._waiting = self._waiting[:number], self._waiting[number:]
        self._bytes -= size
        return some

    async def _added(self, command: Command) -> bool:
        try:
            await self._write([command])  # sent again it is known, and added once
        except Unavailable as unavailable:
            log.debug("adding to the journal of changes failed: %s", unavailable)
            return False
        return True
