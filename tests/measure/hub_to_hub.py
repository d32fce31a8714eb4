"""How long a reaction on one hub takes to a viewer on the other, at a steady rate.

    PYTHONPATH=tests .venv/bin/python -m measure.hub_to_hub --rate 1000 --seconds 20

Two hubs on a Redis of their own, all on loopback. Reactions go over many items, each so seldom that no tick holds it
back, and are timed from when they were due: a generator that is late does not flatter the hub.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
import time
from pathlib import Path

import uvloop

from hubs import Hub, running
from measure.line import Frames, Line, frame
from redis_servers import single

ITEMS = 200
ACTORS = 20
PER_SUBSCRIPTION = 100
COUNTS = re.compile(rb'"ev":"counts","item":"item:(\d+)","v":\d+,"counts":{"clap":(\d+)')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=1_000, help="reactions a second (at most 4000)")
    parser.add_argument("--seconds", type=int, default=20, help="at most 60")
    options = parser.parse_args()
    rate, seconds = min(options.rate, 4_000), min(options.seconds, 60)
    with tempfile.TemporaryDirectory() as directory, single() as redis:
        settings = {"store": redis.url, "reactions_per_second": 0, "connects_per_second": 0}
        with running(Path(directory), **settings) as near, running(Path(directory), **settings) as far:
            delays_s = uvloop.run(_measure(near, far, rate, seconds))
    delays_s.sort()
    total = rate * seconds
    print(f"{len(delays_s)} of {total} reactions seen one by one on the other hub, at {rate}/s")
    for name, share in (("median", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)):
        print(f"{name:>7} {delays_s[int(share * (len(delays_s) - 1))] * 1000:8.2f} ms")


async def _measure(near: Hub, far: Hub, rate: int, seconds: int) -> list[float]:
    due_s: dict[tuple[int, int], float] = {}
    delays_s: list[float] = []
    frames = Frames()

    def heard(data: bytes) -> None:
        now_s = time.perf_counter()
        for text in frames.feed(data):
            if match := COUNTS.search(text):
                begun_s = due_s.pop((int(match[1]), int(match[2])), None)
                if begun_s is not None:
                    delays_s.append(now_s - begun_s)

    viewer = await Line.dial(far, heard)
    names = [f"item:{number}" for number in range(ITEMS)]
    for at in range(0, ITEMS, PER_SUBSCRIPTION):
        viewer.send(frame({"op": "subscribe", "items": names[at : at + PER_SUBSCRIPTION]}))
    actors = [await Line.dial(near, lambda _: None, actor=f"u:{number}") for number in range(ACTORS)]
    await asyncio.sleep(1)  # the links to Redis are up
    begin_s = time.perf_counter()
    for number in range(rate * seconds):
        due = begin_s + number / rate
        if (wait_s := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait_s)
        item, turn = number % ITEMS, number // ITEMS
        actor, value = turn % ACTORS, turn // ACTORS + 1
        due_s[item, turn + 1] = due
        actors[actor].send(frame({"op": "react", "item": names[item], "kind": "clap", "value": value}))
    await asyncio.sleep(1)
    for line in (viewer, *actors):
        line.close()
    return delays_s


if __name__ == "__main__":
    main()
