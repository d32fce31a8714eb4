"""Real Redis servers for tests: each with a free port and a directory of its own, started, awaited and ended by pid.

    with single(appendonly="yes", appendfsync="always") as server:
        server.url, server.kill9(), server.start()
    with sentinels() as watched:
        watched.url, watched.master(), watched.kill_master()
    with cluster() as nodes:
        nodes.url, nodes.master_of("some key")

Keywords are lines of redis.conf, `_` for `-`; with tls_cert_file a server speaks TLS alone. `program` is one of those
of redis_process.py: without it tests are skipped, and fail where CI is set. Tests that harm no server can share the
fixtures at the end: a conftest imports them by name.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from redis_process import RedisServer as RedisServer
from redis_process import free_port as free_port
from redis_process import until as until

SERVICE = "mymaster"
SLOTS = 16384
DOWN_AFTER_MS = 2000


class Sentinels:
    """A primary, its replica and three sentinels, of which two must agree that the primary is gone."""

    def __init__(
        self, servers: Sequence[RedisServer], watchers: Sequence[RedisServer], *, first_at: int | None = None
    ) -> None:
        """`first_at`: the port at which the first of the servers is known, where that is not its own."""
        self.servers, self.watchers = servers, watchers
        self._by_port = {one.port: one for one in servers} | ({first_at: servers[0]} if first_at else {})
        scheme = servers[0].url.partition("://")[0]
        self.url = f"{scheme}+sentinel://{','.join(f'127.0.0.1:{one.port}' for one in watchers)}/{SERVICE}"

    def master(self) -> RedisServer:
        """The one that the sentinels name now, alive or not yet known to be dead."""
        watcher = next(one for one in self.watchers if one.alive)
        with watcher.client() as client:
            _, port = client.sentinel_get_master_addr_by_name(SERVICE)
        return self._by_port[int(port)]

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

    def follow_master(self, former: RedisServer) -> None:
        """Make `former` the master's replica, as sentinels do some 8 s after they see it, and wait until it is."""
        if not former.alive:
            former.start()
        former.ask("replicaof", "127.0.0.1", self.master().port)
        until(lambda: _synced(self.master(), 1), "the former primary follows")

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
        self.url = servers[0].url.replace("://", "+cluster://")

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

    def move(self, key: str, *, pause_s: float = 0.0) -> RedisServer:
        """Move the key's slot to another master, which is returned, with `pause_s` between its keys."""
        slot = self.servers[0].ask("cluster", "keyslot", key)
        source = self.master_of(key)
        target = next(master for master in self.masters() if master is not source)
        target_id, source_id = target.ask("cluster", "myid"), source.ask("cluster", "myid")
        target.ask("cluster", "setslot", slot, "importing", source_id)
        source.ask("cluster", "setslot", slot, "migrating", target_id)
        while keys := source.ask("cluster", "getkeysinslot", slot, 1):
            time.sleep(pause_s)
            source.ask("migrate", "127.0.0.1", target.port, keys[0], 0, 5000)
        time.sleep(pause_s)
        for one in (target, source, *(one for one in self.masters() if one not in (source, target))):
            one.ask("cluster", "setslot", slot, "node", target_id)
        return target

    def await_whole(self) -> None:
        """Wait until all that are alive serve every slot, and each master that is alive has synced replicas."""
        alive = [one for one in self.servers if one.alive]
        for one in alive:
            until(lambda one=one: b"cluster_state:ok" in one.ask("cluster", "info"), "all slots are served")  # type: ignore[misc]
            until(lambda one=one: _follows(one) is None or _linked(one), "each replica follows its master")  # type: ignore[misc]


@contextmanager
def single(*, program: str = "redis", **conf: object) -> Iterator[RedisServer]:
    """One server for one block; nothing is kept on disk unless `conf` says so."""
    with _directory() as directory, ExitStack() as stack:
        yield _start(stack, directory / "server", {"program": program, **conf})


@contextmanager
def sentinels(
    *,
    program: str = "redis",
    down_after_ms: int = DOWN_AFTER_MS,
    of_sentinels: Mapping[str, object] | None = None,
    **conf: object,
) -> Iterator[Sentinels]:
    """A primary, a replica and three sentinels for one block; `conf` is for the first two, its TLS for all.

    Sentinels ping once a second, and forget what they heard when they switch: with 1000 ms they now and then believe
    the new primary dead as well and switch back to the old one, if that runs again, which has lost what came between.
    """
    with _directory() as directory, ExitStack() as stack:
        conf = {"program": program, **conf}
        primary = _start(stack, directory / "primary", conf)
        replica = _follower(stack, directory, primary, primary.port, conf)
        rules = _rules(primary.port, down_after_ms)
        if "requirepass" in conf:
            rules.append(f"auth-pass {SERVICE} {conf['requirepass']}")
        shared = {name: value for name, value in conf.items() if name == "program" or name.startswith("tls_")}
        own = {**shared, **(of_sentinels or {})}
        if "requirepass" in own:
            rules.append(f"sentinel-pass {own['requirepass']}")
        watchers = [_start(stack, directory / f"sentinel-{n}", own, rules) for n in range(3)]
        made = Sentinels((primary, replica), watchers)
        made.await_whole()
        yield made


@contextmanager
def sentinels_over(primary: RedisServer, port: int) -> Iterator[Sentinels]:
    """A replica and three sentinels of `primary`, which reach it by another `port` of this machine and name that."""
    with _directory() as directory, ExitStack() as stack:
        replica = _follower(stack, directory, primary, port, {})
        watchers = [_start(stack, directory / f"sentinel-{n}", {}, _rules(port, DOWN_AFTER_MS)) for n in range(3)]
        made = Sentinels((primary, replica), watchers, first_at=port)
        made.await_whole()
        yield made


@contextmanager
def cluster(*, program: str = "redis", node_timeout_ms: int = 2000, **conf: object) -> Iterator[Cluster]:
    """Three masters and three replicas for one block, the first three servers being the masters."""
    with _directory() as directory, ExitStack() as stack:
        own = {"program": program, "cluster_enabled": "yes", "cluster_node_timeout": node_timeout_ms, **conf}
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


def _start(stack: ExitStack, directory: Path, conf: Mapping[str, Any], sentinel: Sequence[str] = ()) -> RedisServer:
    server = RedisServer(directory, sentinel=sentinel, **conf)
    stack.callback(server.kill9)
    return server


def _follower(
    stack: ExitStack, directory: Path, primary: RedisServer, port: int, conf: Mapping[str, Any]
) -> RedisServer:
    replica = _start(stack, directory / "replica", {"replicaof": f"127.0.0.1 {port}", **conf})
    until(lambda: _synced(primary, 1), "the replica follows its primary")
    return replica


def _rules(port: int, down_after_ms: int) -> list[str]:
    return [
        f"monitor {SERVICE} 127.0.0.1 {port} 2",
        f"down-after-milliseconds {SERVICE} {down_after_ms}",
        f"failover-timeout {SERVICE} {3 * down_after_ms}",
    ]


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
