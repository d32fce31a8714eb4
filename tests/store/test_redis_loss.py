"""A double fault: Redis loses what was acknowledged just now, while the hub hears nothing of what is published."""

from __future__ import annotations

import redis

from fault_proxy import fault_proxy
from hubs import eventually
from redis_servers import RedisServer
from tallycast.kinds import Kinds, Reaction
from tallycast.store.base import Snapshot
from tallycast.store.redis.keys import Keys
from tallycast.store.redis.link import SILENCE_S
from tallycast.store.redis.store import RedisStore
from tallycast.store.redis.url import parse_redis_url

POST = "post:1"
KEYS = Keys("loss:")


async def test_what_is_lost_of_the_hubs_own_changes_shows_though_its_feed_was_dead(
    redis_single: RedisServer, kinds: Kinds
) -> None:
    heard: list[Snapshot] = []
    async with fault_proxy(redis_single.port) as proxy:
        store = RedisStore(parse_redis_url(f"redis://127.0.0.1:{proxy.port}"), KEYS, kinds)
        with redis.Redis(port=redis_single.port) as direct:
            try:
                store.follow([POST], heard.append)
                first = (await store.apply([Reaction(POST, "u:1", "love", 1)])).changed[0]
                await eventually(lambda: first in heard)
                kept = direct.dump(KEYS.item(POST))
                proxy.hold(b"SUBSCRIBE")
                second = (await store.apply([Reaction(POST, "u:2", "love", 1)])).changed[0]
                direct.restore(KEYS.item(POST), 0, kept, replace=True)
                assert second not in heard
                await eventually(lambda: heard[-1].v > second.v, within_s=SILENCE_S + 5)
                assert heard[-1].counts == {"love": 1}
            finally:
                await store.close()
