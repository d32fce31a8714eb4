"""The key of the day: turns what a connection shows of somebody into a name that nobody can trace tomorrow.

The key is random, all hubs on a store share it, and when its UTC day is over it is deleted. What was hashed under it
then belongs to nobody any more, and who comes back is somebody new.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime

from tallycast.errors import Unavailable
from tallycast.store.records import ANY, Records

log = logging.getLogger("tallycast.daily")

SPACE = "daily"
KEY_BYTES = 32
NAME_BYTES = 16  # of a digest: two people share a name about never
LOOK_S = 1.0
EARLY_S = 300.0  # the next day's key is made so long before midnight, and the last one's deleted so long after it


class Daily:
    """The keys of a hub on a store. `clock` gives Unix time in seconds."""

    def __init__(self, records: Records, *, clock: Callable[[], float] = time.time) -> None:
        self._records = records
        self._clock = clock
        self._keys: dict[str, bytes] = {}  # by day: today's, and shortly before midnight the next one's
        self._tidy = ""  # the day on which former days' keys were last taken away
        self._well = True

    def name(self, *shown: str) -> str:
        """A name of 22 characters for whoever shows these texts, the same on all hubs until the day is over.

        Raises Unavailable while there is no key of today: rather nobody is counted than somebody twice.
        """
        key = self._keys.get(_day(self._clock()))
        if key is None:
            raise Unavailable("the hub has no key of today yet; its store is away")
        digest = hashlib.blake2b("\0".join(shown).encode(), key=key, digest_size=NAME_BYTES).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    async def run(self) -> None:
        """Keep the key of the day at hand, until cancelled. While the store is away it tries again each second."""
        while True:
            try:
                await self.renew()
                self._well = True
            except Unavailable as error:
                if self._well:
                    log.warning("no key of the day can be had: %s", error.message)
                self._well = False
            await asyncio.sleep(LOOK_S)

    async def renew(self) -> None:
        """Get or make the keys that are wanted now, and delete those of former days. Raises Unavailable."""
        now_s = self._clock()
        today = _day(now_s)
        wanted = dict.fromkeys((today, _day(now_s + EARLY_S)))
        self._keys = {day: key for day, key in self._keys.items() if day in wanted}
        for day in wanted:
            if day not in self._keys:
                self._keys[day] = await self._shared(day)
        if self._tidy != today == _day(now_s - EARLY_S):
            for day in await self._records.all(SPACE):
                if day < today:
                    await self._records.delete(SPACE, day, ANY)
            self._tidy = today

    async def _shared(self, day: str) -> bytes:
        """The day's key that all hubs use: the first that one of them wrote."""
        while True:
            found = await self._records.get(SPACE, day)
            if found is not None:
                return bytes.fromhex(found.decode())
            made = secrets.token_bytes(KEY_BYTES)
            if await self._records.put(SPACE, day, made.hex().encode(), None):
                return made


def _day(now_s: float) -> str:
    return datetime.fromtimestamp(now_s, UTC).date().isoformat()
