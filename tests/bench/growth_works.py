"""What grows, and what is measured of the hub at each size."""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from bench.native import CLIENT_CORE, Client, pin
from bench.servers import AUTH, HUB, ITEM, PLAIN, REACT, Dialect, Running, Start, hub
from bench.works import write_tokens
from redis_servers import single

RESERVED_FILES = 200  # of a server's, for what are no viewers
VIEWERS = (1_000, 2_000, 5_000, 10_000, 20_000)
MESSAGES = 8  # to all of them, at each size
ITEMS_A_VIEWER = (1, 2, 5, 10, 20, 50, 100)
WATCHING = 1_000  # viewers of that many items each
RATES = (100, 1_000, 5_000, 10_000, 20_000, 30_000, 40_000, 50_000, 70_000, 100_000)
HUBS = (1, 2, 3, 4)
SHARED_RATE = 4_000  # reactions a second that hubs share
OFFER_S = 3
REACTORS = 100
ITEMS = 1_000
PACE_MS = 120
SETTLE_MS = 500

Point = dict[str, float]
Points = dict[str, dict[float, Point]]  # of each series by its name, the figures at each x


class Measure(NamedTuple):
    """One figure of a point. `straight`: a line through it means something."""

    key: str
    title: str
    straight: bool = True


class Growth(NamedTuple):
    """One dimension. `take` measures all of its sizes once; a line goes through the points that `holds` lets in."""

    name: str
    title: str
    x_label: str
    measures: tuple[Measure, ...]
    take: Callable[[Client, Start, Path], Points]
    holds: Callable[[float, Point], bool] = lambda x, point: True


def viewers(client: Client, floor: Start, directory: Path) -> Points:
    """One item, more and more viewers, and the floor beside the hub."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - RESERVED_FILES
    sizes = sorted({min(size, most) for size in VIEWERS})
    stages = ",".join(["500:0", *(f"{size}:{MESSAGES}" for size in sizes)])
    points: Points = {}
    for name, start, dialect in (("Tallycast", hub, HUB), ("C floor", floor, PLAIN)):
        with start(directory) as server:
            keys = {"script": dialect.viewer, "speaker": dialect.publisher, "message": dialect.publish}
            told = client.run(
                "watch",
                _keys(dialect, [server], directory)
                | keys
                | {"marker": dialect.published, "stages": stages, "pace_ms": PACE_MS, "settle_ms": SETTLE_MS},
            )
        mib, points[name] = told[0]["kib"] * told[0]["opened"] / 1024, {}
        for stage in told[1:]:
            mib += stage["kib"] * stage["opened"] / 1024
            figures = {"round_ms": stage["round_ms"], "connect_us": stage["connect_us"], "mib": mib}
            points[name][stage["viewers"]] = figures
    return points


def items(client: Client, floor: Start, directory: Path) -> Points:
    """Viewers of more and more items, all of which change at once."""
    points: dict[float, Point] = {}
    for number in ITEMS_A_VIEWER:
        names = ",".join(f'"bench:{n}"' for n in range(number))
        own = directory / str(number)
        own.mkdir()
        with hub(own) as server:
            keys = {
                "script": f'>{{"op":"subscribe","ref":1,"items":[{names}]}}\n<{{"ev":"snapshot"',
                "speaker": AUTH,
                "message": '{"op":"react","ref":{n},"item":"bench:{i}","kind":"clap","value":{v}}',
                "marker": HUB.published,
                "items": number,
                "burst": number,
                "stages": f"200:0,{WATCHING}:{MESSAGES}",
                "pace_ms": PACE_MS,
                "settle_ms": SETTLE_MS,
            }
            told = client.run("watch", _keys(HUB, [server], directory) | keys)[-1]
        tick_us = told["round_ms"] * 1000 / WATCHING
        points[number] = {"tick_us": tick_us, "connect_us": told["connect_us"], "kib": told["kib"]}
    return {"Tallycast": points}


def rates(client: Client, floor: Start, directory: Path) -> Points:
    """More and more reactions a second over many items, on a schedule that waits for no answer; a new hub for each."""
    points: dict[float, Point] = {}
    for rate in RATES:
        own = directory / str(rate)
        own.mkdir()
        with hub(own) as server:
            told = _offer(client, [server], rate, ITEMS, directory)
        points[rate] = {
            "cores": told["busy"],
            "answered_per_s": told["answered_per_s"],
            "reaction_us": told["busy"] / max(told["answered_per_s"], 1.0) * 1e6,
            "p99_ms": told["p99_ms"],
            "late_ms": told["late_ms"],
        }
    return {"Tallycast": points}


def hubs(client: Client, floor: Start, directory: Path) -> Points:
    """More and more hubs on one Redis that share one rate. Each hears what the others count."""
    series = {"1,000 items": ITEMS, "one hot item": 1}
    points: Points = {name: {} for name in series}
    for number in HUBS:
        with ExitStack() as stack:
            redis = stack.enter_context(single())
            pin(redis.pid, CLIENT_CORE)
            running = [stack.enter_context(hub(directory, store=redis.url)) for _ in range(number)]
            for name, items in series.items():
                told = _offer(client, running, SHARED_RATE, items, directory, others=redis.pid)
                answered_per_s = max(told["answered_per_s"], 1.0)
                points[name][number] = {
                    "hubs_us": told["busy"] / answered_per_s * 1e6,
                    "redis_us": told["others_busy"] / answered_per_s * 1e6,
                    "p99_ms": told["p99_ms"],
                }
    return points


def _offer(
    client: Client, servers: Sequence[Running], rate: int, items: int, directory: Path, others: object = ""
) -> Any:
    keys = {"script": AUTH, "message": REACT, "marker": HUB.acked, "items": items, "connections": REACTORS}
    keys |= {"rate": rate, "seconds": OFFER_S, "others": others, "settle_ms": SETTLE_MS}
    return client.run("offer", _keys(HUB, servers, directory) | keys)


def _keys(dialect: Dialect, servers: Sequence[Running], directory: Path) -> dict[str, object]:
    return {
        "ports": ",".join(str(server.port) for server in servers),
        "pids": ",".join(str(server.pid) for server in servers),
        "path": dialect.path,
        "protocol": dialect.protocol,
        "refusal": "",  # those that are refused are counted as not answered
        "tokens": write_tokens(directory),
    }


GROWTHS: tuple[Growth, ...] = (
    Growth(
        "viewers",
        "Viewers of one item",
        "viewers",
        (
            Measure("round_ms", "CPU ms for one message to all"),
            Measure("connect_us", "CPU µs to connect one more", straight=False),
            Measure("mib", "MiB for all of them"),
        ),
        viewers,
    ),
    Growth(
        "items",
        f"Items a viewer watches ({WATCHING:,} viewers, all items change at once)",
        "items a viewer",
        (
            Measure("tick_us", "CPU µs a viewer and change of all"),
            Measure("connect_us", "CPU µs to connect and subscribe"),
            Measure("kib", "KiB a viewer"),
        ),
        items,
    ),
    Growth(
        "reactions",
        f"Reactions offered to one hub, over {ITEMS:,} items",
        "reactions/s offered",
        (
            Measure("cores", "cores used"),
            Measure("answered_per_s", "acknowledged/s"),
            Measure("reaction_us", "CPU µs a reaction", straight=False),
            Measure("p99_ms", "p99 ms until the answer", straight=False),
            Measure("late_ms", "ms the client was late at most", straight=False),
        ),
        rates,
        holds=lambda x, point: point["answered_per_s"] >= 0.97 * x,
    ),
    Growth(
        "hubs",
        f"Hubs on one Redis that share {SHARED_RATE:,} reactions/s",
        "hubs",
        (
            Measure("hubs_us", "CPU µs a reaction, all hubs"),
            Measure("redis_us", "CPU µs a reaction, Redis"),
            Measure("p99_ms", "p99 ms until the answer", straight=False),
        ),
        hubs,
    ),
)
assert len(ITEM) <= 200  # what an item id may be
