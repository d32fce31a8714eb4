"""What Redis keeps for a person who says something: many actors on one item, and many items with one actor each.

    PYTHONPATH=tests .venv/bin/python -m measure.redis_memory --actors 1000000 --items 1000000

Written through the store to a Redis of its own on loopback, some 3 minutes for the defaults; the figures are the growth
of `used_memory`. Actors are visitors (24 characters) who like; with `seq` each like also guards the other of its group.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from itertools import islice

import redis
import uvloop

from filling import OPINION
from redis_servers import single
from tallycast.kinds import Reaction, parse
from tallycast.store.redis.keys import Keys
from tallycast.store.redis.store import RedisStore
from tallycast.store.redis.url import parse_redis_url

AT_ONCE = 4_000
SEQ = 1_763_750_000_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--actors", type=int, default=1_000_000, help="on one item, at most 5000000; 0: not measured")
    parser.add_argument("--items", type=int, default=1_000_000, help="at most 5000000; 0: not measured")
    options = parser.parse_args()
    actors, items = min(options.actors, 5_000_000), min(options.items, 5_000_000)
    for seq, how in ((0, "without seq"), (SEQ, "with seq and group")):
        if actors:
            many = (Reaction("post:1", f"v:{n:022}", "like", 1, seq and seq + n) for n in range(actors))
            _measure(f"an actor, of {actors} on one item, {how}", many, actors)
        if items:
            each = (Reaction(f"post:{n:07}", f"v:{n:022}", "like", 1, seq and seq + n) for n in range(items))
            _measure(f"an item with one actor, of {items}, {how}", each, items)


def _measure(what: str, reactions: Iterator[Reaction], number: int) -> None:
    with single() as server, redis.Redis(port=server.port) as client:
        before = int(client.info("memory")["used_memory"])
        uvloop.run(_fill(server.url, reactions, number))
        used = int(client.info("memory")["used_memory"]) - before
    print(f"\r{used / number:6.1f} bytes {what}")


async def _fill(url: str, reactions: Iterable[Reaction], number: int) -> None:
    store = RedisStore(parse_redis_url(url), Keys("tallycast:"), parse(OPINION, "kinds of this measurement"))
    rest, done = iter(reactions), 0
    while batch := list(islice(rest, AT_ONCE)):
        await store.apply(batch)
        done += len(batch)
        print(f"\r{done:8}/{number}", end="", flush=True)
    await store.close()


if __name__ == "__main__":
    main()
