"""Requests that create something, sent twice: the second one is given the first one's answer.

After the Idempotency-Key header of draft-ietf-httpapi-idempotency-key-header. Answers are documents of the space
`idempotency`, so that it does not matter which hub the second request meets.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import orjson

from tallycast.chores import every
from tallycast.errors import Refused, TallycastError
from tallycast.store.records import ANY, Records

SPACE = "idempotency"
KEPT_S = 24 * 3600.0
GIVEN_UP_S = 60.0  # after which who began to make an answer is taken for dead
SWEEP_EVERY_S = 3600.0


class Answer(NamedTuple):
    """What was answered: an HTTP status and JSON."""

    status: int
    body: str


class _Begun(NamedTuple):
    """A document: the request that the key was first used with, since when (Unix seconds), and its answer if made."""

    request: str
    at: float
    status: int = 0
    body: str = ""


class Idempotency:
    """Remembers answers for KEPT_S seconds. `clock_s` gives Unix time in seconds."""

    def __init__(self, records: Records, *, clock_s: Callable[[], float] = time.time) -> None:
        self._records = records
        self._clock_s = clock_s

    async def once(self, owner: str, key: str, request: bytes, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """What `make` answers, or answered when `owner` sent this `key` before with the same `request`.

        Raises Refused: what `make` raises, after which nothing is remembered; `conflict` where the key came with
        another request, or the first is still being answered; `unavailable`.
        """
        name = _digest(owner.encode(), key.encode())
        begun = _Begun(_digest(request), self._clock_s())
        before = await self._records.get(SPACE, name)
        if before is not None:
            stood = _load(before)
            if begun.at - stood.at < KEPT_S:
                if stood.request != begun.request:
                    raise Refused("conflict", "this Idempotency-Key came with another request: use a new key for each")
                if stood.status:
                    return Answer(stood.status, stood.body)
                if begun.at - stood.at < GIVEN_UP_S:
                    raise _under_way()
        if not await self._records.put(SPACE, name, _dump(begun), before):
            raise _under_way()
        try:
            answer = await make()
        except (TallycastError, asyncio.CancelledError):
            await self._records.delete(SPACE, name, _dump(begun))
            raise
        await self._records.put(SPACE, name, _dump(begun._replace(status=answer.status, body=answer.body)), ANY)
        return answer

    async def run(self) -> None:
        """sweep() now and then, as long as the hub runs."""
        await every(SWEEP_EVERY_S, self.sweep, "forgetting old answers")

    async def sweep(self) -> None:
        """Forget what is old enough. Raises Unavailable."""
        old_s = self._clock_s() - KEPT_S
        for name, body in (await self._records.all(SPACE)).items():
            if _load(body).at < old_s:
                await self._records.delete(SPACE, name, body)


def _load(body: bytes) -> _Begun:
    return _Begun(**orjson.loads(body))


def _dump(begun: _Begun) -> bytes:
    return orjson.dumps(begun._asdict())


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\n".join(parts)).hexdigest()


def _under_way() -> Refused:
    return Refused("conflict", "the first request with this Idempotency-Key is still being answered", retry_after_s=1.0)
