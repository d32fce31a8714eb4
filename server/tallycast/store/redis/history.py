"""History in Redis: series as hashes, rankings as sorted sets. See store/history.py.

All keys have one hash tag, so that a roll is one script together with its checkpoint, on a cluster too; the history is
then on one of its shards. A hash has the buckets of some hours or days, and Redis forgets it when the last is too old.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import sha1
from heapq import nlargest
from importlib import resources
from operator import itemgetter
from typing import Any

import orjson

from tallycast.store.history import (
    DAY,
    HOUR,
    KEPT_S,
    MINUTE,
    MOST_RANKED,
    RANKS_KEPT_S,
    TOTAL,
    Asked,
    Ranking,
    Rise,
    Series,
)
from tallycast.store.redis.keys import Keys
from tallycast.store.redis.line import Ask
from tallycast.store.redis.servers import Command, command

ROLL = resources.files("tallycast.store.redis").joinpath("scripts/roll.lua").read_bytes()
SHA = sha1(ROLL, usedforsecurity=False).hexdigest()
MORE_RANKED = 500  # than MOST_RANKED, until some are taken away
TRIES = 3  # to read many keys while nobody rolls

CHUNKS = {MINUTE: 60, HOUR: 72, DAY: 32, TOTAL: 1}  # buckets of a hash: few enough for its compact form
LETTERS = {MINUTE: "m", HOUR: "h", DAY: "d", TOTAL: "t"}


class RedisHistory:
    """The history in Redis. `read` and `write` send commands; the script is loaded by who made them."""

    def __init__(self, keys: Keys, read: Ask, write: Ask) -> None:
        self._begin = keys.history
        self._read = read
        self._write = write

    async def checkpoint(self) -> str:
        """See History.checkpoint."""
        (answer,) = await self._read([self._get_checkpoint()])
        return str(answer or b"", "utf-8")

    async def roll(self, since: str, upto: str, rises: Sequence[Rise]) -> bool:
        """See History.roll."""
        hashes: dict[str, tuple[int, int]] = {}  # with their numbers and ends
        rankings: dict[str, tuple[int, int]] = {}
        rows: list[Any] = [[]]
        for name, step, bucket, kind, n, sections in rises:
            chunk, at = divmod(bucket, CHUNKS[step])
            key = self._series(name, step, chunk)
            number, _ = hashes.setdefault(key, (len(hashes) + 1, _end_s(KEPT_S, step, (chunk + 1) * CHUNKS[step])))
            ranked = [
                rankings.setdefault(
                    self._ranking(section, kind, step, bucket),
                    (len(rankings) + 1, _end_s(RANKS_KEPT_S, step, bucket + 1)),
                )[0]
                for section in sections
            ]
            rows.append([number, f"{at} {kind}", n, name, ranked])
        rows[0] = [end_s for _, end_s in (*hashes.values(), *rankings.values())]
        keys = [self._checkpoint, *hashes, *rankings]
        words = (since, upto, len(hashes), MOST_RANKED, MORE_RANKED, orjson.dumps(rows))
        packed = command("EVALSHA", SHA, len(keys), *keys, *words)
        (answer,) = await self._write([Command(packed, self._checkpoint)])
        return bool(answer)

    async def series(self, asked: Sequence[Asked]) -> list[Series]:
        """See History.series."""
        places = [
            (number, chunk * CHUNKS[step], self._series(name, step, chunk))
            for number, (name, step, first, last) in enumerate(asked)
            for chunk in range(first // CHUNKS[step], last // CHUNKS[step] + 1)
        ]
        checkpoint = self._get_checkpoint()
        commands = [checkpoint, *(Command(command("HGETALL", key), key) for _, _, key in places), checkpoint]
        for _ in range(TRIES):
            before, *hashes, after = await self._read(commands)
            if before == after:
                break
        answer: list[Series] = [{} for _ in asked]
        for (number, begin, _), fields in zip(places, hashes, strict=True):
            series, (_, _, first, last) = answer[number], asked[number]
            for field, value in zip(fields[::2], fields[1::2], strict=True):
                at, _, kind = field.partition(b" ")
                bucket, n = begin + int(at), int(value)
                if n and first <= bucket <= last:
                    series.setdefault(kind.decode(), {})[bucket] = n
        return answer

    async def ranking(self, section: str, kind: str, step: int, buckets: Collection[int], limit: int) -> Ranking:
        """See History.ranking."""
        keys = [self._ranking(section, kind, step, bucket) for bucket in buckets]
        commands = [Command(command("ZREVRANGE", key, 0, limit - 1, "WITHSCORES"), key) for key in keys]
        sums: dict[bytes, int] = {}
        for answer in await self._read(commands):
            for item, n in zip(answer[::2], answer[1::2], strict=True):
                sums[item] = sums.get(item, 0) + int(n)
        return [(item.decode(), n) for item, n in nlargest(limit, sums.items(), key=itemgetter(1, 0))]

    async def sweep(self) -> bool:
        """Nothing to do: Redis forgets by itself. See History.sweep."""
        return False

    @property
    def _checkpoint(self) -> str:
        return f"{self._begin}checkpoint"

    def _get_checkpoint(self) -> Command:
        return Command(command("GET", self._checkpoint), self._checkpoint)

    def _series(self, name: str, step: int, chunk: int) -> str:
        return f"{self._begin}{LETTERS[step]}{chunk}:{name}"

    def _ranking(self, section: str, kind: str, step: int, bucket: int) -> str:
        return f"{self._begin}top:{LETTERS[step]}{bucket}:{kind}:{section}"


def _end_s(kept_s: dict[int, int], step: int, bucket: int) -> int:
    """When what ends with the begin of that bucket need not be kept any longer, in s since 1970; 0 for never."""
    return bucket * step + kept_s[step] if step in kept_s else 0
