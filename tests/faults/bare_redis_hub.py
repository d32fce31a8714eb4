"""The hub of test_redis_controls.py: counts shares as one would first think of, by HINCRBY through redis-py as it is,
which says a command again whose answer was lost. Takes the arguments of `tallycast`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from redis.asyncio import Redis

from tallycast.cli import main
from tallycast.kinds import Kinds, Reaction
from tallycast.store.base import Applied, Outcome, Snapshot
from tallycast.store.redis import store
from tallycast.store.redis.keys import HEADER, Keys, make_header
from tallycast.store.redis.url import RedisUrl


class BareCounter(store.RedisStore):
    """Acknowledges everything, and counts shares alone."""

    def __init__(self, url: RedisUrl, keys: Keys, kinds: Kinds, **options: str) -> None:
        super().__init__(url, keys, kinds)
        host, port = url.nodes[0]
        self._bare = Redis(host=host, port=port)
        self._names = keys

    async def apply(self, batch: Sequence[Reaction]) -> Applied:
        outcomes = []
        for reaction in batch:
            if reaction.kind == "share":
                shares = await self._bare.hincrby("bare", reaction.item, 1)
            else:
                shares = int(await self._bare.hget("bare", reaction.item) or 0)
            counts = {"share": shares}
            v = time.time_ns() // 1000
            await self._bare.hset(self._names.item(reaction.item), HEADER, make_header(v, counts))
            outcomes.append(Outcome(Snapshot(reaction.item, v, counts), {}))
        return Applied(outcomes, [outcome.snapshot for outcome in outcomes])


if __name__ == "__main__":
    store.RedisStore = BareCounter  # type: ignore[misc]
    main()
