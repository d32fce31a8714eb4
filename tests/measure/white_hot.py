"""One item on which everybody reacts, over several hubs on one Redis: how old is what viewers see?

    PYTHONPATH=tests .venv/bin/python -m measure.white_hot --hubs 4 --rate 50000 --seconds 15

Reactions are offered on a schedule that does not wait for answers. Versions are Redis's clock in microseconds, and so
tell how old a number is: just before a frame comes, a viewer still shows the one before it. That age, from the version
of the frame before, is what is printed: the most that a viewer is behind. The viewers have a process of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import re
import tempfile
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import redis as redis_py
import uvloop

from hubs import Hub, OwnHub, running
from measure.line import Frames, Line, frame
from redis_servers import RedisServer, single

ITEM = "item:hot"
ACTORS = 100  # on each hub, each with a connection
VIEWERS = 10  # on each hub
AT_ONCE = 4  # reactions of one connection
STEP_S = 0.004
V = re.compile(rb'"v":(\d+)')
SETTINGS = {"reactions_per_second": 0, "connects_per_second": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hubs", type=int, default=4, help="at most 8")
    parser.add_argument("--rate", type=int, default=50_000, help="reactions a second in all, at most 100000")
    parser.add_argument("--seconds", type=int, default=15, help="at most 60")
    options = parser.parse_args()
    number, rate, seconds = min(options.hubs, 8), min(options.rate, 100_000), min(options.seconds, 60)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(single())
        hubs = [stack.enter_context(running(directory, store=redis.url, **SETTINGS)) for _ in range(number)]
        _measure(redis, hubs, rate, seconds)


def _measure(redis: RedisServer, hubs: list[OwnHub], rate: int, seconds: int) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    addresses = [(hub.port, hub.prefix) for hub in hubs]
    watching = context.Process(target=_watch, args=(addresses, theirs))
    watching.start()
    ours.recv()
    client = redis_py.Redis.from_url(redis.url)
    client.config_resetstat()
    cpu_s = _redis_cpu_s(client)
    offered, took_s, acked, refused = uvloop.run(_react(hubs, rate, seconds))
    cpu_s = _redis_cpu_s(client) - cpu_s
    published = sum(client.info("commandstats").get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("publish",))
    ours.send(None)
    ages_ms = ours.recv()
    watching.join()
    ages_ms.sort()
    print(
        f"{len(hubs)} hubs: {offered / took_s:,.0f} reactions/s offered, {acked / took_s:,.0f}/s acknowledged,"
        f" {refused / took_s:,.0f}/s refused"
    )
    print(
        f"Redis: {published / took_s:,.0f} publications/s, {cpu_s / took_s:.0%} of a core,"
        f" {cpu_s / max(acked, 1) * 1e6:.1f} us a reaction"
    )
    print(
        f"viewers: {len(ages_ms) / took_s / len(hubs) / VIEWERS:.1f} frames/s each, behind by at most"
        f" {_at(ages_ms, 0.5):.0f} ms (median of frames), {_at(ages_ms, 0.99):.0f} ms (p99), {ages_ms[-1]:.0f} ms (max)"
    )


def _at(sorted_values: list[float], share: float) -> float:
    return sorted_values[int(share * (len(sorted_values) - 1))]


def _redis_cpu_s(client: redis_py.Redis) -> float:
    cpu = client.info("cpu")
    return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


async def _react(hubs: list[OwnHub], rate: int, seconds: int) -> tuple[int, float, int, int]:
    acked = refused = 0

    def heard(data: bytes) -> None:
        nonlocal acked, refused
        acked += data.count(b'"ev":"ack"')
        refused += data.count(b'"ev":"error"')

    lines = [await Line.dial(hub, heard, actor=f"u:{hub.port}:{n}") for hub in hubs for n in range(ACTORS)]
    values = [frame({"op": "react", "item": ITEM, "kind": "clap", "value": value % 51}) for value in range(1, 52)]
    random.shuffle(lines)  # so that all hubs get some at each step
    bursts = [b"".join(values[(begin + n) % 51] for n in range(AT_ONCE)) for begin in range(51)]
    offered, begin_s = 0, time.perf_counter()
    while (now_s := time.perf_counter()) < begin_s + seconds:
        while offered < (now_s - begin_s) * rate:
            turn, at = divmod(offered // AT_ONCE, len(lines))
            lines[at].send(bursts[turn * AT_ONCE % 51])
            offered += AT_ONCE
        await asyncio.sleep(max(now_s + STEP_S - time.perf_counter(), 0))
    took_s = time.perf_counter() - begin_s
    acked_in_time, refused_in_time = acked, refused
    for line in lines:
        line.close()
    return offered, took_s, acked_in_time, refused_in_time


def _watch(addresses: list[tuple[int, str]], pipe: Connection) -> None:
    uvloop.run(_viewers([Hub(port, prefix) for port, prefix in addresses], pipe))


class _Viewer:
    """Notes how far it was behind when each frame came."""

    def __init__(self) -> None:
        self.ages_ms: list[float] = []
        self._frames = Frames()
        self._v = 0

    def heard(self, data: bytes) -> None:
        now_us = time.time() * 1e6
        for text in self._frames.feed(data):
            if match := V.search(text):
                if self._v:
                    self.ages_ms.append((now_us - self._v) / 1000)
                self._v = int(match[1])


async def _viewers(hubs: list[Hub], pipe: Connection) -> None:
    viewers = [_Viewer() for _ in range(len(hubs) * VIEWERS)]
    for number, viewer in enumerate(viewers):
        line = await Line.dial(hubs[number % len(hubs)], viewer.heard)
        line.send(frame({"op": "subscribe", "items": [ITEM]}))
    await asyncio.sleep(1)  # the links to Redis are up
    pipe.send(None)
    while not pipe.poll():
        await asyncio.sleep(0.05)
    pipe.recv()
    pipe.send([age_ms for viewer in viewers for age_ms in viewer.ages_ms])


if __name__ == "__main__":
    main()
