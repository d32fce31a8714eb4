"""What a reaction costs Redis and the store's side of the hub, and how long one call of the script holds Redis.

    PYTHONPATH=tests .venv/bin/python -m measure.redis_cpu --works hot,spread,again,events --batches 100

Batches go through the store in this process to a Redis of its own on loopback, one core for each where there are two.
Works, each over 1,000 items but the first: `hot`, many actors on one item; `spread`, every actor another one; `seq`,
the same in a group and with `seq`; `alone`, each item once a batch; `again`, the actors of the yardstick, who set and
take back; `events`. Redis's CPU time is what it says of itself (`INFO cpu`); that of calls is wall time (SLOWLOG).
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable

import redis
import uvloop

from filling import OPINION
from redis_servers import single
from tallycast.kinds import Kinds, Reaction, parse
from tallycast.store.base import Store
from tallycast.store.redis.keys import Keys
from tallycast.store.redis.store import RedisStore
from tallycast.store.redis.url import parse_redis_url

ITEMS = 1_000
ACTORS = 100_000
WARM_UP = 5  # batches
KINDS = f"""{OPINION}[love]
rule = "toggle"
[share]
rule = "event"
"""

Batch = list[Reaction]


class Works:
    """Makes batches of one size; `chance` is the same in every run."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.chance = random.Random(1)
        self.said = 0

    def hot(self) -> Batch:
        return [Reaction("item:0", self._actor(), "love", self._on()) for _ in range(self.size)]

    def spread(self) -> Batch:
        return [Reaction(self._item(), self._actor(), "love", self._on()) for _ in range(self.size)]

    def seq(self) -> Batch:
        return [
            Reaction(self._item(), self._actor(), self.chance.choice(("like", "dislike")), self._on(), self._next())
            for _ in range(self.size)
        ]

    def alone(self) -> Batch:
        return [Reaction(f"item:{n % ITEMS}", self._actor(), "love", self._on()) for n in range(min(self.size, ITEMS))]

    def again(self) -> Batch:
        batch = []
        for actor in self.chance.sample(range(200), 200):
            for _ in range(max(1, self.size // 200)):
                turn = self._next()
                item = f"item:{(actor + turn // 400) % ITEMS}"
                batch.append(Reaction(item, f"u:actor-{actor}", "like", turn % 2))
        return batch

    def events(self) -> Batch:
        return [Reaction(self._item(), self._actor(), "share", 1, id=f"{self._next():036}") for _ in range(self.size)]

    def _item(self) -> str:
        return f"item:{self.chance.randrange(ITEMS)}"

    def _actor(self) -> str:
        return f"v:{self.chance.randrange(ACTORS):022}"

    def _on(self) -> int:
        return int(self.chance.random() < 0.8)

    def _next(self) -> int:
        self.said += 1
        return self.said


NAMES = ("hot", "spread", "seq", "alone", "again", "events")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", default=",".join(NAMES), help="some of %(default)s")
    parser.add_argument("--batches", type=int, default=100, help="of each work, at most 1000")
    parser.add_argument("--size", type=int, default=1_600, help="reactions in a batch, at most 4000")
    options = parser.parse_args()
    works = options.works.split(",")
    if not set(works) <= set(NAMES):
        parser.error(f"--works: expected some of {', '.join(NAMES)}")
    cores = sorted(os.sched_getaffinity(0))
    kinds = parse(KINDS, "kinds of this measurement")
    print("CPU µs a reaction: median of the batches, and the fifth of them below it; calls in µs of wall time")
    for name in works:
        with single(slowlog_log_slower_than=500, slowlog_max_len=10_000) as server:
            os.sched_setaffinity(server.pid, {cores[-1]})
            os.sched_setaffinity(0, {cores[0]})
            make = getattr(Works(min(options.size, 4_000)), name)
            with redis.Redis(port=server.port) as client:
                uvloop.run(_measure(name, make, min(options.batches, 1_000), kinds, server.url, client))
            os.sched_setaffinity(0, set(cores))


async def _measure(
    name: str, make: Callable[[], Batch], batches: int, kinds: Kinds, url: str, client: redis.Redis
) -> None:
    store: Store = RedisStore(parse_redis_url(url), Keys("tallycast:"), kinds)
    for _ in range(WARM_UP):
        await store.apply(make())
    client.config_resetstat()
    client.slowlog_reset()
    theirs_us, ours_us = [], []
    for number in range(batches):
        batch = make()
        redis_s, hub_s = _cpu_s(client), time.process_time()
        await store.apply(batch)
        hub_s = time.process_time() - hub_s
        theirs_us.append((_cpu_s(client) - redis_s) / len(batch) * 1e6)
        ours_us.append(hub_s / len(batch) * 1e6)
        print(f"\r{name} {number + 1}/{batches}", end="", flush=True)
    script = client.info("commandstats")["cmdstat_evalsha"]
    slowest_us = max((entry["duration"] for entry in client.slowlog_get(10_000)), default=0)
    print(
        f"\r{name:7} Redis {_figures(theirs_us)}  hub {_figures(ours_us)}"
        f"  calls {script['calls']:6}  mean {script['usec_per_call']:6.0f}  longest {slowest_us or '< 500'}"
    )
    await store.close()


def _cpu_s(client: redis.Redis) -> float:
    info = client.info("cpu")
    return float(info["used_cpu_user"] + info["used_cpu_sys"])


def _figures(values: list[float]) -> str:
    return f"{statistics.median(values):6.2f} ({sorted(values)[len(values) // 5]:.2f})"


if __name__ == "__main__":
    main()
