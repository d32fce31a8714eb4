"""Real Redis servers for tests: each with a free port and a directory of its own, started, awaited and ended by pid.

    with single(appendonly="yes", appendfsync="always") as server:
        server.url, server.kill9(), server.start()
    with sentinels() as watched:
        watched.url, watched.master(), watched.kill_master()
    with cluster() as nodes:
        nodes.url, nodes.master_of("some key")

Keywords are lines of redis.conf, `_` for `-`. Without redis-server tests are skipped, and fail where CI is set. Tests
that harm no server can share the fixtures at the end: a conftest imports them by name.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SECONDS = 20.0  # until something that has to happen counts as not happening
SERVICE = "mymaster"
SLOTS = 16384
NO_REDIS = "no Redis: apt-get install redis-server"
# Below the ports that systems give to outgoing connections: one of those cannot take the port of a stopped server, and
# nobody who dials it is connected to himself.
PORTS = range(16_000, 32_000)


def require_redis() -> str:
    """The path of redis-server. Without one the test is skipped, and fails where CI is set."""
    path = shutil.which("redis-server")
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(NO_REDIS)
        pytest.skip(f"NOT TESTED WITH REDIS: {NO_REDIS}")
    return path


def free_port() -> int:
    """A port that nobody listens on now, for a server that may come and go."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def until(condition: Callable[[], object], what: str, within_s: float = SECONDS) -> None:
    """Wait until the condition holds; a Redis that cannot answer now is one where it does not. Blocks the thread."""
    end = time.monotonic() + within_s
    while True:
        try:
            if condition():
                return
        except redis.RedisError:
            pass
        if time.monotonic() > end:
            raise TimeoutError(f"not within {within_s:g} s: {what}")
        time.sleep(0.02)


class RedisServer:
    """One redis-server, which can be ended and started again on its port and with its files."""

    def __init__(self, directory: Path, *, sentinel: Sequence[str] = (), **conf: object) -> None:
        """Start it and wait until it answers. With `sentinel`, those lines of its file, it is a sentinel."""
        directory.mkdir()
        self.path = require_redis()
        self.directory, self.sentinel, self.conf = directory, sentinel, conf
        self._process: subprocess.Popen[bytes] | None = None
        for attempts_left in (2, 1, 0):
            self.port = free_port()
            self._configure()
            try:
                self.start()
                return
            except BaseException as error:
                self.kill9()
                if not isinstance(error, RuntimeError) or not attempts_left or "already in use" not in str(error):
                    raise

    def _configure(self) -> None:
        lines: dict[str, object] = {
            "bind": "127.0.0.1",
            "port": self.port,
            "dir": self.directory,
            "daemonize": "no",
        }
        if not self.sentinel:
            lines |= {"save": '""', "appendonly": "no", "repl-diskless-sync-delay": 0, "repl-ping-replica-period": 1}
        lines |= {name.replace("_", "-"): value for name, value in self.conf.items()}
        if lines.get("cluster-enabled") == "yes":
            lines["cluster-port"] = free_port()
        text = "".join(f"{name} {value}\n" for name, value in lines.items())
        text += "".join(f"sentinel {rule}\n" for rule in self.sentinel)
        (self.directory / "redis.conf").write_text(text, "utf-8")

    @property
    def url(self) -> str:
        """redis://127.0.0.1:<port>"""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process that runs, or ran last."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether its process runs, be it stopped by pause()."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, again where it was ended, and wait until it has loaded its data and answers."""
        assert not self.alive
        mode = ["--sentinel"] if self.sentinel else []
        command = [self.path, str(self.directory / "redis.conf"), *mode]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until(lambda: not self.alive or self.ask("ping") == b"PONG", f"{self.url} answers")
        if not self.alive:
            raise RuntimeError(f"redis-server ended with {self._process.returncode}:\n{self.log()}")

    def stop(self) -> None:
        """End it by SIGTERM, as a platform does, and wait until it is gone."""
        self._end(signal.SIGTERM)

    def kill9(self) -> None:
        """End it by SIGKILL, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(SECONDS)

    def pause(self) -> None:
        """SIGSTOP: its sockets stay open, and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def client(self) -> redis.Redis:
        """A blocking client of this server that gives up soon and repeats nothing. Close it, or use `with`."""
        once = Retry(NoBackoff(), 0)
        return redis.Redis(port=self.port, socket_timeout=2, socket_connect_timeout=2, retry=once, protocol=2)

    def ask(self, *command: object) -> Any:
        """The plain answer to one command (bytes, int, list), on a connection of its own. Raises redis.RedisError."""
        with self.client() as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def log(self) -> str:
        """What it wrote so far."""
        return (self.directory / "log").read_text("utf-8", "replace")


class Sentinels:
    """A primary, its replica and three sentinels, of which two must agree that the primary is gone."""

    def __init__(self, servers: Sequence[RedisServer], watchers: Sequence[RedisServer]) -> None:
        self.servers, self.watchers = servers, watchers
        self.url = f"redis+sentinel://{','.join(f'127.0.0.1:{one.port}' for one in watchers)}/{SERVICE}"

    def master(self) -> RedisServer:
        """The one that the sentinels name now, alive or not yet known to be dead."""
        watcher = next(one for one in self.watchers if one.alive)
        with watcher.client() as client:
            _, port = client.sentinel_get_master_addr_by_name(SERVICE)
        return next(one for one in self.servers if one.port == int(port))

    def kill_master(self) -> RedisServer:
        """kill -9 of the primary; which one it was, to be started again."""
        master = self.master()
        master.kill9()
        return master

    def await_master_after(self, former: RedisServer) -> RedisServer:
        """Wait until the sentinels name another primary than `former`, and it takes writes."""
        until(lambda: self.master() is not former, "the sentinels name another primary")
        until(lambda: self.master().ask("role")[0] == b"master", "the replica is promoted")
        return self.master()

    def await_whole(self) -> None:
        """Wait until the primary has its replica, and every sentinel knows all of them."""
        until(lambda: _synced(self.master(), len(self.servers) - 1), "the replica follows its primary")
        for watcher in self.watchers:
            until(lambda watcher=watcher: self._informed(watcher), "each sentinel knows the others")  # type: ignore[misc]

    def _informed(self, watcher: RedisServer) -> bool:
        with watcher.client() as client:
            state = client.sentinel_master(SERVICE)
        others = (state["num-slaves"], state["num-other-sentinels"])
        return others == (len(self.servers) - 1, len(self.watchers) - 1) and state["flags"] == "master"


class Cluster:
    """Six servers that share the slots: three masters, each with a replica."""

    def __init__(self, servers: Sequence[RedisServer]) -> None:
        self.servers = servers
        self.url = f"redis+cluster://127.0.0.1:{servers[0].port}"

    def masters(self) -> list[RedisServer]:
        """Those that are masters by their own word now."""
        return [one for one in self.servers if one.alive and one.ask("role")[0] == b"master"]

    def master_of(self, key: str) -> RedisServer:
        """Who holds the key's slot, by the word of the first server that is alive."""
        informant = next(one for one in self.servers if one.alive)
        slot = informant.ask("cluster", "keyslot", key)
        for first, last, master in (row[:3] for row in informant.ask("cluster", "slots")):
            if first <= slot <= last:
                return next(one for one in self.servers if one.port == master[1])
        raise LookupError(f"nobody holds slot {slot}")

    def replica_of(self, master: RedisServer) -> RedisServer:
        """The one that follows `master`."""
        return next(one for one in self.servers if one.alive and _follows(one) == master.port)

    def await_whole(self) -> None:
        """Wait until all that are alive serve every slot, and each master that is alive has synced replicas."""
        alive = [one for one in self.servers if one.alive]
        for one in alive:
            until(lambda one=one: b"cluster_state:ok" in one.ask("cluster", "info"), "all slots are served")  # type: ignore[misc]
            until(lambda one=one: _follows(one) is None or _linked(one), "each replica follows its master")  # type: ignore[misc]


@contextmanager
def single(**conf: object) -> Iterator[RedisServer]:
    """One server for one block; nothing is kept on disk unless `conf` says so."""
    with _directory() as directory, ExitStack() as stack:
        yield _start(stack, directory / "server", conf)


@contextmanager
def sentinels(*, down_after_ms: int = 2000, **conf: object) -> Iterator[Sentinels]:
    """A primary, a replica and three sentinels for one block; `conf` is for the first two.

    Sentinels ping once a second, and forget what they heard when they switch: with 1000 ms they now and then believe
    the new primary dead as well and switch back to the old one, if that runs again, which has lost what came between.
    """
    with _directory() as directory, ExitStack() as stack:
        primary = _start(stack, directory / "primary", conf)
        replica = _start(stack, directory / "replica", {"replicaof": f"127.0.0.1 {primary.port}", **conf})
        until(lambda: _synced(primary, 1), "the replica follows its primary")
        rules = [
            f"monitor {SERVICE} 127.0.0.1 {primary.port} 2",
            f"down-after-milliseconds {SERVICE} {down_after_ms}",
            f"failover-timeout {SERVICE} {3 * down_after_ms}",
        ]
        watchers = [_start(stack, directory / f"sentinel-{n}", {}, rules) for n in range(3)]
        made = Sentinels((primary, replica), watchers)
        made.await_whole()
        yield made


@contextmanager
def cluster(*, node_timeout_ms: int = 2000, **conf: object) -> Iterator[Cluster]:
    """Three masters and three replicas for one block, the first three servers being the masters."""
    with _directory() as directory, ExitStack() as stack:
        own = {"cluster_enabled": "yes", "cluster_node_timeout": node_timeout_ms, **conf}
        servers = [_start(stack, directory / f"node-{n}", own) for n in range(6)]
        masters = servers[:3]
        ids = [server.ask("cluster", "myid") for server in servers]
        bounds = [SLOTS * n // len(masters) for n in range(len(masters) + 1)]
        for n, master in enumerate(masters):
            master.ask("cluster", "set-config-epoch", n + 1)
            master.ask("cluster", "addslotsrange", bounds[n], bounds[n + 1] - 1)
        for server, other in combinations(servers, 2):  # they would meet by gossip too, but in seconds
            server.ask("cluster", "meet", "127.0.0.1", other.port, _bus_port(other))
        for server in servers:
            until(lambda server=server: _knows(server, len(servers)), "the nodes have met")  # type: ignore[misc]
        for n, replica in enumerate(servers[3:]):
            until(lambda replica=replica, n=n: replica.ask("cluster", "replicate", ids[n]), "a master is known")  # type: ignore[misc]
        made = Cluster(servers)
        made.await_whole()
        for server in servers:
            until(lambda server=server: _sees_replicas(server), "each node has heard of all replicas")  # type: ignore[misc]
        yield made


@contextmanager
def _directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tallycast-redis-") as name:
        yield Path(name)


def _start(stack: ExitStack, directory: Path, conf: Mapping[str, object], sentinel: Sequence[str] = ()) -> RedisServer:
    server = RedisServer(directory, sentinel=sentinel, **conf)
    stack.callback(server.kill9)
    return server


def _bus_port(server: RedisServer) -> int:
    return int(server.ask("config", "get", "cluster-port")[1])


def _knows(server: RedisServer, nodes: int) -> bool:
    return b"cluster_known_nodes:%d\r" % nodes in server.ask("cluster", "info")


def _sees_replicas(server: RedisServer) -> bool:
    return all(len(row) == 4 for row in server.ask("cluster", "slots"))  # first and last slot, master, replica


def _synced(primary: RedisServer, replicas: int) -> bool:
    return bool(primary.ask("info", "replication").count(b"state=online") == replicas)


def _follows(server: RedisServer) -> int | None:
    """The port of the one that it replicates, None for a master."""
    role = server.ask("role")
    return None if role[0] == b"master" else int(role[2])


def _linked(replica: RedisServer) -> bool:
    return bool(replica.ask("role")[3] == b"connected")


@pytest.fixture(scope="session")
def redis_single() -> Iterator[RedisServer]:
    """One server for all tests that do it no harm. What they write stays: use items and prefixes of your own."""
    with single() as server:
        yield server


@pytest.fixture(scope="session")
def redis_sentinels() -> Iterator[Sentinels]:
    """A primary, a replica and three sentinels for all tests that do them no harm."""
    with sentinels() as watched:
        yield watched


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[Cluster]:
    """Three masters and three replicas for all tests that do them no harm."""
    with cluster() as nodes:
        yield nodes
