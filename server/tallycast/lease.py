"""Which of the hubs does a chore that one alone shall do."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import orjson

from tallycast.store.records import Records

SPACE = "leases"
RENEW = 1 / 3  # of the time for which it is held


class Lease:
    """The right to do the chore `name`, which one of all owners has at a time.

    The document says who holds it, and is another one after each renewal. Whoever sees the same for `ttl_s` seconds of
    his own clock takes it. So no two machines' clocks are compared, and a clock that is set does no harm: `clock_s`
    gives seconds, monotonic. `owner` is the hub's own, another one after every start.
    """

    def __init__(self, records: Records, name: str, *, owner: str, ttl_s: float, clock_s: Callable[[], float]) -> None:
        self._records = records
        self._name = name
        self._owner = owner
        self._ttl_s = ttl_s
        self._now_s = clock_s
        self._mine: bytes | None = None  # the document, while it is this owner's
        self._renewed_s = 0.0
        self._seen: bytes | None = None  # somebody else's document, and since when
        self._seen_s = 0.0

    async def hold(self) -> bool:
        """Take the lease or go on holding it; True: it is held for at least half of `ttl_s` from now.

        To be called more often than every `ttl_s`; most calls of a holder cost nothing. Raises Unavailable, after
        which it is not held.
        """
        now_s = self._now_s()
        if self._mine is not None and now_s - self._renewed_s < self._ttl_s * RENEW:
            return True
        before, self._mine = self._mine, None
        if before is None or now_s - self._renewed_s >= self._ttl_s:
            before = await self._records.get(SPACE, self._name)
            if before is not None and not self._free(before, now_s):
                return False
        mine = orjson.dumps({"owner": self._owner, "renewal": secrets.token_hex(8)})
        if not await self._records.put(SPACE, self._name, mine, before):
            return False
        self._mine, self._renewed_s = mine, now_s
        return self._now_s() - now_s < self._ttl_s / 2

    async def release(self) -> None:
        """Let another have it at once, if it is held. Raises Unavailable."""
        mine, self._mine = self._mine, None
        if mine is not None:
            await self._records.delete(SPACE, self._name, mine)

    def _free(self, document: bytes, now_s: float) -> bool:
        """Whether that may be taken: it is this owner's own, or has long been the same."""
        if _owner(document) == self._owner:
            return True
        if document != self._seen:
            self._seen, self._seen_s = document, now_s
        return now_s - self._seen_s >= self._ttl_s


def _owner(document: bytes) -> str:
    return str(orjson.loads(document)["owner"])
