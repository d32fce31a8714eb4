"""redis_servers.py: real servers in each arrangement come up, take a write, outlive their fault and leave nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import redis

import redis_process
from redis_servers import RedisServer, cluster, sentinels, single, until


def assert_gone(*servers: RedisServer) -> None:
    for server in servers:
        assert not server.alive
        with pytest.raises(ProcessLookupError):
            os.kill(server.pid, 0)
        assert not server.directory.exists()


def test_what_a_single_server_with_aof_took_outlives_kill_9() -> None:
    with single(appendonly="yes", appendfsync="always") as server:
        assert server.ask("set", "said", "yes") == b"OK"
        server.kill9()
        with pytest.raises(redis.ConnectionError):
            server.ask("get", "said")
        server.start()
        assert server.ask("get", "said") == b"yes"
    assert_gone(server)


def test_a_server_without_aof_comes_back_empty() -> None:
    with single() as server:
        server.ask("set", "said", "yes")
        server.stop()
        server.start()
        assert server.ask("get", "said") is None
    assert_gone(server)


def test_a_paused_server_does_not_answer_until_it_is_resumed_and_can_be_ended() -> None:
    with single() as server:
        server.pause()
        with pytest.raises(redis.TimeoutError):
            server.ask("ping")
        server.resume()
        assert server.ask("ping") == b"PONG"
        server.pause()
    assert_gone(server)


def test_a_wrong_configuration_is_told_with_the_server_s_own_words() -> None:
    with pytest.raises(RuntimeError, match="no-such-line"), single(no_such_line="1"):
        pass


def test_sentinels_promote_the_replica_and_take_the_former_primary_back() -> None:
    with sentinels() as watched:
        former = watched.master()
        with former.client() as client:
            client.set("said", "yes")
            assert client.wait(1, 5000) == 1
        assert watched.kill_master() is former
        master = watched.await_master_after(former)
        assert master.ask("get", "said") == b"yes"
        former.start()
        watched.await_whole()
        assert former.ask("role")[0] == b"slave"
    assert_gone(*watched.servers, *watched.watchers)


def test_a_cluster_has_three_masters_and_promotes_the_replica_of_a_dead_one() -> None:
    with cluster() as nodes:
        assert nodes.masters() == nodes.servers[:3]
        assert len({nodes.replica_of(master).port for master in nodes.masters()}) == 3
        with redis.RedisCluster.from_url(nodes.url.replace("redis+cluster", "redis")) as client:
            for n in range(100):
                client.set(f"said:{n}", n)
        assert {nodes.master_of(f"said:{n}").port for n in range(100)} == {one.port for one in nodes.masters()}
        former = nodes.servers[0]
        replica = nodes.replica_of(former)
        until(lambda: replica.ask("dbsize") == former.ask("dbsize"), "the replica has it all")
        former.kill9()
        until(lambda: replica in nodes.masters(), "the replica is promoted")
        nodes.await_whole()
        former.start()
        nodes.await_whole()
        assert nodes.replica_of(replica) is former
    assert_gone(*nodes.servers)


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
@pytest.mark.parametrize(
    ("program", "remedy"), [("redis", "apt-get install redis-server"), ("valkey-8", r"\.ci/later-redis")]
)
def test_without_redis_a_laptop_skips_and_ci_fails(
    program: str,
    remedy: str,
    ci: str,
    outcome: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(redis_process.PROGRAMS, "valkey-8", (tmp_path / "valkey-server", ".ci/later-redis"))
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=remedy):
        redis_process.require_redis(program)
