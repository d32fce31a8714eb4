"""What is measured of a server: one start of it and one after the other its viewers, messages, echoes and reactions."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import NamedTuple

import hubs
from bench.native import Client, RunError
from bench.servers import TOKENS, Contestant, Running

TALKERS = 100  # connections that echo and react
WINDOW = 16  # messages that each has under way where they may be more than one
ITEMS = 1_000  # that reactions go to
QUIET_S = 15.0  # until a server that does not come to rest is measured all the same


class Sizes(NamedTuple):
    """How much of each work: viewers and the messages that all of them get, in stages that grow."""

    warm: int
    stages: tuple[tuple[int, int], ...]
    echoes: int
    reactions: int
    pace_ms: int = 120  # between messages to all: more than two ticks of the hub, so that none waits for one
    settle_ms: int = 300  # after connections were opened


FULL = Sizes(warm=500, stages=((1_000, 40), (5_000, 20)), echoes=30_000, reactions=20_000)
QUICK = Sizes(warm=250, stages=((500, 10), (2_000, 8)), echoes=8_000, reactions=6_000)


class Work(NamedTuple):
    """One row of figures. `demanded`: the hub is to be ahead there. `on_floor`: the floor has a cost to compare to."""

    key: str
    title: str
    unit: str
    demanded: bool = False
    on_floor: bool = True


def works(sizes: Sizes) -> list[Work]:
    """All rows, in their order."""
    return [
        *(Work(f"fan-out {n}", f"fan-out to {n:,} viewers", "CPU µs a frame", True) for n, _ in sizes.stages),
        Work("echo 1", "echo, one message under way", "CPU µs a message", True),
        Work(f"echo {WINDOW}", f"echo, {WINDOW} messages under way", "CPU µs a message", True),
        Work("reaction", f"reaction over {ITEMS:,} items, acknowledged", "CPU µs a reaction"),
        Work("connect", "connect, subscribe, snapshot", "CPU µs each"),
        Work("memory", "idle subscribed viewer", "KiB each", on_floor=False),
    ]


def write_tokens(directory: Path) -> Path:
    """A file of identities at a hub, one a line."""
    path = directory / "tokens"
    run = secrets.token_hex(4)
    path.write_text("".join(hubs.token(f"u:{run}:{n}") + "\n" for n in range(TOKENS)), "utf-8")
    return path


def measure(contestant: Contestant, client: Client, sizes: Sizes, directory: Path) -> dict[str, float]:
    """The figures of one run by the keys of `works`. Raises RunError: no figure is taken from work that went wrong."""
    tokens = write_tokens(directory)
    with contestant.start(directory) as server:
        return _watch(contestant, server, client, sizes, tokens) | _talk(contestant, server, client, sizes, tokens)


def _keys(contestant: Contestant, server: Running, tokens: Path) -> dict[str, object]:
    dialect = contestant.dialect
    return {
        "ports": server.port,
        "pids": server.pid,
        "path": dialect.path,
        "protocol": dialect.protocol,
        "refusal": dialect.refused,
        "heartbeat": dialect.heartbeat,
        "tokens": tokens,
    }


def _watch(contestant: Contestant, server: Running, client: Client, sizes: Sizes, tokens: Path) -> dict[str, float]:
    dialect = contestant.dialect
    stages = [(sizes.warm, 0), *sizes.stages]
    told = client.run(
        "watch",
        _keys(contestant, server, tokens)
        | {
            "script": dialect.viewer,
            "speaker": dialect.publisher,
            "message": dialect.publish,
            "marker": dialect.published,
            "stages": ",".join(f"{viewers}:{messages}" for viewers, messages in stages),
            "pace_ms": sizes.pace_ms,
            "settle_ms": sizes.settle_ms,
        },
    )
    figures = {f"fan-out {stage['viewers']}": stage["frame_us"] for stage in told[1:]}
    return figures | {"connect": told[-1]["connect_us"], "memory": told[-1]["kib"]}


def _talk(contestant: Contestant, server: Running, client: Client, sizes: Sizes, tokens: Path) -> dict[str, float]:
    dialect = contestant.dialect
    figures = {}
    echo = (dialect.talker, dialect.echo, dialect.echoed, sizes.echoes)
    react = (dialect.reactor, dialect.react, dialect.acked, sizes.reactions)
    for key, window, (script, message, marker, count) in (
        ("echo 1", 1, echo),
        (f"echo {WINDOW}", WINDOW, echo),
        ("reaction", WINDOW, react),
    ):
        await_quiet(server.pid)
        keys = {"script": script, "message": message, "marker": marker, "items": ITEMS}
        keys |= {"connections": TALKERS, "window": window, "count": count, "settle_ms": sizes.settle_ms}
        figures[key] = client.run("talk", _keys(contestant, server, tokens) | keys)["message_us"]
    return figures


def await_quiet(pid: int) -> None:
    """Wait until a server has done with what was before: it uses less than a twentieth of a core."""
    end = time.monotonic() + QUIET_S
    before = _cpu_s(pid)
    while time.monotonic() < end:
        time.sleep(0.2)
        now = _cpu_s(pid)
        if now - before < 0.01:
            return
        before = now


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except OSError:
        raise RunError("the server is gone") from None
    return (int(fields[11]) + int(fields[12])) / 100  # ticks of USER_HZ, which is 100
