"""What history costs: to be asked, to be kept up, and to be stored, in both stores.

    PYTHONPATH=tests .venv/bin/python -m measure.history [items]

The store gets a history by way of the same moves that the roller makes of the journal: of `items` (a million unless
said otherwise) with a like each, and of one that is liked every hour for 90 days. Times are of the whole query, from
Python to Python; the CPU of rolling up is this process's and, of Redis, what it says of itself (`INFO cpu`).
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median

import orjson
import redis
import uvloop

from redis_servers import single
from tallycast.history.queries import Queries
from tallycast.history.rollup import Move, Position, Roll, rises_of
from tallycast.history.spans import Span
from tallycast.kinds import parse
from tallycast.store import open_store
from tallycast.store.base import OpenStore
from tallycast.store.history import DAY, HOUR, MINUTE
from tallycast.store.records import Entry

KINDS = parse('[like]\nrule = "toggle"\n', "measure")
ITEMS = 1_000_000
PIECE = 300  # items that the filling adds at once
ASKED = 20  # times
DAYS = 90
BUSY_ITEMS = 1_000
ENTRIES, ENTRY_ITEMS = 100, 260  # of a busy second: 26,000 changes

Cpu = Callable[[], float]


def main() -> None:
    items = int(sys.argv[1]) if len(sys.argv) > 1 else ITEMS
    with tempfile.TemporaryDirectory(prefix="tallycast-measure-") as directory:
        path = Path(directory) / "tally.db"
        print(f"SQLite, {items:,} items", flush=True)
        uvloop.run(_measure(open_store(f"sqlite:///{path}", KINDS), items, lambda: 0.0))
        print(f"  {path.stat().st_size / items:.0f} bytes an item on the disk", flush=True)
    with single() as server, redis.Redis.from_url(server.url) as client:
        print(f"Redis {client.info('server')['redis_version']}, {items:,} items", flush=True)
        empty = client.info("memory")["used_memory"]

        def cpu_s() -> float:
            used = client.info("cpu")
            return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])

        uvloop.run(_measure(open_store(server.url, KINDS), items, cpu_s))
        print(f"  {(client.info('memory')['used_memory'] - empty) / items:.0f} bytes an item in memory", flush=True)


async def _measure(store: OpenStore, items: int, redis_cpu_s: Cpu) -> None:
    minute = int(time.time()) // MINUTE
    began_s = time.monotonic()
    turn = await _fill(store, _moves(items, minute), 0)
    turn = await _fill(store, (((minute - n * 60, "post:hot", "like"), n % 5 + 1) for n in range(DAYS * 24)), turn)
    print(f"  filled in {time.monotonic() - began_s:.0f} s", flush=True)
    queries = Queries(store.history)
    hour, day = minute // 60, minute // 1440
    hours = Span(HOUR, hour - DAYS * 24 + 1, hour)
    days = Span(DAY, day - DAYS + 1, day)
    await _time("series of 90 days by hour", lambda: queries.series("post:hot", hours))
    await _time("series of 90 days by day", lambda: queries.series("post:hot", days))
    await _time("the same of the whole site", lambda: queries.series("*", hours))
    for within in ("all", "hour", "day", "week"):
        await _time(f"top 50, within {within}", lambda within=within: queries.top("*", "like", within, 50))  # type: ignore[misc]
    await _time("rising, 20", lambda: queries.rising("*", "like", 20, 1))
    await _roll_busy_second(store, minute, turn, redis_cpu_s)
    await store.close()


def _moves(items: int, minute: int) -> Iterator[tuple[Move, int]]:
    """A like for each item, some of them more, over the last 30 hours."""
    for number in range(items):
        yield (minute - number % 1800, f"post:{number}", "like"), 1 + (number * 7919 % 1000) // 990 * (number % 977)


async def _fill(store: OpenStore, moves: Iterator[tuple[Move, int]], turn: int) -> int:
    while some := list(islice(moves, PIECE)):
        assert await store.history.roll(str(turn or ""), str(turn + 1), rises_of(some))
        turn += 1
    while await store.history.sweep():
        pass
    return turn


async def _time(what: str, ask: Callable[[], Awaitable[object]]) -> None:
    took_ms = []
    for _ in range(ASKED):
        began_s = time.perf_counter()
        await ask()
        took_ms.append((time.perf_counter() - began_s) * 1000)
    print(f"  {what}: median {median(took_ms):.1f} ms, longest {max(took_ms):.1f} ms", flush=True)


async def _roll_busy_second(store: OpenStore, minute: int, turn: int, redis_cpu_s: Cpu) -> None:
    entries = [
        Entry(
            str(n),
            minute * MINUTE * 1000,
            orjson.dumps([(f"item:{(n * 37 + k) % BUSY_ITEMS}", 1, {"like": 1}) for k in range(ENTRY_ITEMS)]),
        )
        for n in range(ENTRIES)
    ]
    for what in ("first", "second"):
        cpu_s, redis_s = _cpu_s(), redis_cpu_s()
        roll = Roll()
        changes = sum(roll.add(entry) for entry in entries)
        merged_s = _cpu_s() - cpu_s
        position, took_ms = Position(turn=turn), []
        since = str(turn)
        while roll.moves and (position.upto or position.turn == turn):
            began_s = time.perf_counter()
            position, rises = roll.piece(position)
            assert await store.history.roll(since, str(position), rises)
            since = str(position)
            took_ms.append((time.perf_counter() - began_s) * 1000)
        turn = position.turn + 1
        assert await store.history.roll(since, str(turn), [])
        hub_us, redis_us = (_cpu_s() - cpu_s) / changes * 1e6, (redis_cpu_s() - redis_s) / changes * 1e6
        print(
            f"  a busy second, the {what}: {changes:,} changes of {BUSY_ITEMS:,} items: {hub_us:.2f} us a change"
            f" ({merged_s / changes * 1e6:.2f} of them to merge), Redis {redis_us:.2f} us; a piece:"
            f" median {median(took_ms):.1f} ms, longest {max(took_ms):.1f} ms",
            flush=True,
        )


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
