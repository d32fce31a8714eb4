"""`serve --workers N` on a real Redis: one port, several processes, each replaceable, all drained together."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed

from hubs import SECRET, OwnHub, defaults, eventually, free_port, running
from redis_servers import RedisServer
from redis_servers import redis_single as redis_single  # the fixture
from talk import Talk, talking

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: only Linux spreads a port over processes")

WORKERS = 3
VIEWERS = 60  # so many that one of three workers has fewer than LEAST once in a million runs
LEAST = 4


@asynccontextmanager
async def working(directory: Path, redis: RedisServer, **settings: object) -> AsyncIterator[OwnHub]:
    """A hub of several workers for one block: all have begun when it does, and none is left after it."""
    everything = defaults(**{"store": redis.url, "workers": WORKERS, "drain_s": 4, **settings})
    with running(directory, **everything) as hub:
        seen = pids(hub)
        try:
            await eventually(lambda: hub.log().count("startup complete") == WORKERS)
            seen |= pids(hub)
            yield hub
            seen |= pids(hub)
        finally:
            if hub.process.poll() is None:
                hub.terminate()
                await asyncio.to_thread(hub.wait)
            await eventually(lambda: not any(map(is_running, seen)))


def pids(hub: OwnHub) -> set[int]:
    """The processes that the hub's own process has started and that have not ended."""
    listed = Path(f"/proc/{hub.process.pid}/task/{hub.process.pid}/children")
    return {int(pid) for pid in listed.read_text("ascii").split()} if listed.exists() else set()


def is_running(pid: int) -> bool:
    """Whether that process is there and is no zombie."""
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False


def viewers(hub: OwnHub) -> dict[str, float]:
    """How many viewers each worker has, asked until all have been heard."""
    heard: dict[str, float] = {}
    for _ in range(200):
        connection = http.client.HTTPConnection(hub.host, hub.port, timeout=5)
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        assert answer.getheader("connection") == "close"
        for family in text_string_to_metric_families(answer.read().decode()):
            for sample in family.samples:
                assert "worker" in sample.labels
                if sample.name == "tallycast_viewers" and sample.labels["transport"] == "fast":
                    heard[sample.labels["worker"]] = sample.value
        connection.close()
        if len(heard) == WORKERS:
            break
    return heard


def command(port: int, **settings: object) -> subprocess.CompletedProcess[str]:
    """`tallycast serve` that is expected to end by itself."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TALLYCAST_")}
    environ |= {f"TALLYCAST_{name.upper()}": str(value) for name, value in {"secret": SECRET, **settings}.items()}
    serve = (sys.executable, "-m", "tallycast", "serve", "--port", str(port))
    return subprocess.run(serve, env=environ, capture_output=True, text=True, timeout=60, check=False)


async def test_connections_spread_and_all_see_what_one_worker_is_told(
    tmp_path: Path, redis_single: RedisServer
) -> None:
    item = f"workers:{uuid.uuid4().hex}"
    async with working(tmp_path, redis_single) as hub, AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(talking(hub.live)) for _ in range(VIEWERS)]
        for talk in talks:
            await talk.subscribe(item)
        await eventually(lambda: sum(viewers(hub).values()) == VIEWERS)
        spread = await asyncio.to_thread(viewers, hub)
        assert len(spread) == WORKERS and min(spread.values()) >= LEAST, spread
        async with talking(hub.live, hub.token("u:1")) as person:
            await person.react(item)
        for talk in talks:
            await talk.counts(item, lambda counts: counts == {"like": 1})


async def test_a_killed_worker_is_replaced_and_the_others_go_on(tmp_path: Path, redis_single: RedisServer) -> None:
    async with working(tmp_path, redis_single) as hub, AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(talking(hub.live)) for _ in range(VIEWERS)]
        before = pids(hub)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        await eventually(lambda: len(pids(hub)) == WORKERS and victim not in pids(hub))
        assert len(pids(hub) & before) == WORKERS - 1
        alive = [talk for talk in talks if await _answers(talk)]
        assert LEAST <= len(alive) <= VIEWERS - LEAST
        await eventually(lambda: len(viewers(hub)) == WORKERS)
        for _ in range(VIEWERS):  # nobody is sent where nobody is
            async with talking(hub.live) as talk:
                await talk.ok("ping")
        assert re.search(r"ERROR .*worker [012] ended \(SIGKILL\)", hub.log())


async def _answers(talk: Talk) -> bool:
    try:
        await talk.ok("ping")
    except ConnectionClosed:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_to_the_parent_drains_all(
    number: signal.Signals, tmp_path: Path, redis_single: RedisServer
) -> None:
    async with working(tmp_path, redis_single) as hub, AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(talking(hub.live)) for _ in range(VIEWERS)]
        workers = pids(hub)
        if number == signal.SIGINT:  # Ctrl-C reaches every process of a terminal
            for pid in workers:
                os.kill(pid, number)
        hub.process.send_signal(number)
        for talk in talks:
            assert await talk.closed() == 1012
            assert talk.frames[-1]["ev"] == "bye"
        assert await asyncio.to_thread(hub.wait) == 0
        assert not any(map(is_running, workers))
        with pytest.raises(ConnectionRefusedError), socket.create_connection((hub.host, hub.port)):
            pass


async def test_a_worker_that_does_not_end_is_killed_and_the_exit_code_says_so(
    tmp_path: Path, redis_single: RedisServer
) -> None:
    async with working(tmp_path, redis_single, drain_s=1) as hub:
        os.kill(min(pids(hub)), signal.SIGSTOP)
        hub.terminate()
        assert await asyncio.to_thread(hub.wait) == 1
        assert re.search(r"did not end within 3 s .*killed", hub.log())


async def test_workers_whose_parent_is_killed_end_by_themselves(tmp_path: Path, redis_single: RedisServer) -> None:
    async with working(tmp_path, redis_single) as hub, talking(hub.live) as talk:
        workers = pids(hub)
        hub.kill()
        assert await talk.closed() == 1012
        await eventually(lambda: not any(map(is_running, workers)))


async def test_a_second_hub_does_not_get_a_share_of_the_port(tmp_path: Path, redis_single: RedisServer) -> None:
    async with working(tmp_path, redis_single) as hub:
        for workers in (1, 2):
            second = await asyncio.to_thread(command, hub.port, store=redis_single.url, workers=workers)
            assert second.returncode == 2
            assert re.fullmatch(r"tallycast: cannot listen on .*: Address already in use\n", second.stderr)


def test_the_embedded_store_with_workers_is_refused_in_one_line(tmp_path: Path) -> None:
    refused = command(free_port(), store=f"sqlite:///{tmp_path / 'hub.db'}", workers=2)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert re.fullmatch(r"tallycast: TALLYCAST_WORKERS .* 2, but the embedded store .* redis://.*\n", refused.stderr)
    assert not (tmp_path / "hub.db").exists()


def test_what_is_wrong_is_told_once_and_not_by_each_worker(tmp_path: Path, redis_single: RedisServer) -> None:
    wrong = command(free_port(), store=redis_single.url, workers=2, kinds=tmp_path / "none.toml")
    assert wrong.returncode == 2
    assert len(wrong.stderr.splitlines()) == 1
    assert "none.toml" in wrong.stderr


FAILING = """
import logging, os, signal, sys, time
from tallycast.workers import Workers

def work(work):
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    if work.number == 1:
        sys.exit(7)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print("steady", os.getpid(), flush=True)
    while True:
        time.sleep(60)

logging.basicConfig(stream=sys.stdout, format="%(message)s")
sys.exit(Workers(2, lambda: (), work, patience_s=5).run())
"""


def test_a_worker_that_fails_again_and_again_is_given_longer_and_longer_and_the_other_is_left_alone() -> None:
    with subprocess.Popen((sys.executable, "-u", "-c", FAILING), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        lines = [parent.stdout.readline() for _ in range(4)]
        parent.send_signal(signal.SIGTERM)
        rest = parent.stdout.read()
        assert parent.wait(20) == 0
    waits = re.findall(r"worker 1 ended \(exit code 7\) .* in ([0-9.]+) s", "".join(lines))
    assert waits == ["0.5", "1", "2"]
    assert "".join((*lines, rest)).count("steady") == 1


SHORT = """
import os, signal, socket, sys
from tallycast import workers

def listen():
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    return [listener]

def work(work):
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    connection, _ = work.listeners[0].accept()
    connection.sendall(b"%d" % os.getpid())
    os._exit(9)

workers.SOUND_S = 0.0
workers.Workers(1, listen, work, patience_s=5).run()
"""


def test_who_comes_while_a_worker_is_replaced_waits_for_its_successor() -> None:
    with subprocess.Popen((sys.executable, "-u", "-c", SHORT), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        address = ("127.0.0.1", int(parent.stdout.readline()))
        come = [socket.create_connection(address, timeout=20) for _ in range(8)]
        answers = [one.recv(100) for one in come]
        for one in come:
            one.close()
        parent.terminate()
    assert len(set(answers)) == 8 and b"" not in answers
