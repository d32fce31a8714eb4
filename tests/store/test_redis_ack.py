"""TALLYCAST_ACK=replica and =disk on servers whose WAIT and WAITAOF must be believed with care."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from filling import taken
from redis_servers import RedisServer, single, until
from tallycast.errors import ConfigError, Unavailable
from tallycast.kinds import Kinds, Reaction
from tallycast.store import open_store
from tallycast.store.base import Store
from tallycast.store.redis import line as redis_line
from tallycast.store.redis import servers as redis_servers

POST, ANN = "post:1", "u:ann"
LOVE = Reaction(POST, ANN, "love", 1)
SHARE = Reaction(POST, ANN, "share", 1, id="id-00000001")
LATER = ("redis-8", "valkey-8")
READ_ONLY = "return redis.call('GET', KEYS[1])"


@pytest.fixture(scope="module")
def disk() -> Iterator[RedisServer]:
    """A Redis that can say what is on its disk."""
    with single(program="redis-8", appendonly="yes", appendfsync="always") as server:
        yield server


@contextmanager
def pair(program: str) -> Iterator[tuple[RedisServer, RedisServer]]:
    """A primary and its replica."""
    with single(program=program) as primary, single(program=program, replicaof=f"127.0.0.1 {primary.port}") as replica:
        until(lambda: b"state=online" in primary.ask("info", "replication"), "the replica follows its primary")
        yield primary, replica


def waits(server: RedisServer) -> int:
    """How often WAITAOF was called since the last CONFIG RESETSTAT."""
    found = re.search(rb"cmdstat_waitaof:calls=(\d+),", server.ask("info", "commandstats"))
    return int(found[1]) if found else 0


async def refused(store: Store, *batch: Reaction) -> None:
    """The batch is not acknowledged although Redis is there."""
    await asyncio.sleep(redis_line.REST_S)  # until the store comes to Redis again
    with pytest.raises(Unavailable, match="could not make it safe"):
        await store.apply(batch)


# replica


@pytest.mark.parametrize("program", LATER)
async def test_a_repeated_reaction_waits_for_the_replica_too(
    program: str, kinds: Kinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_line, "REPLICA_S", 0.1)
    monkeypatch.setattr(redis_servers, "RETRY_S", 0.2)
    with pair(program) as (primary, replica):
        store = open_store(primary.url, kinds, ack="replica")
        await taken(store, SHARE)
        replica.pause()
        try:
            for _ in range(3):
                await refused(store, SHARE)
        finally:
            replica.resume()
        assert await taken(store, SHARE) == {"share": 1}
        await store.close()


@pytest.mark.parametrize("program", LATER)
def test_had_it_not_been_written_wait_would_have_answered_at_once(program: str) -> None:
    """The control: why apply.lua writes also where nothing changes."""
    with pair(program) as (primary, replica), primary.client() as client, client.client() as one_connection:
        replica.pause()
        try:
            primary.ask("set", "key", "not on the replica")
            assert one_connection.eval(READ_ONLY, 1, "key") == b"not on the replica"
            assert one_connection.wait(1, 100) == 1
            one_connection.set("key", "x")
            assert one_connection.wait(1, 100) == 0
        finally:
            replica.resume()


# disk


async def test_each_batch_waits_for_the_disk_once_also_when_it_is_repeated(disk: RedisServer, kinds: Kinds) -> None:
    store = open_store(disk.url, kinds, ack="disk", prefix="once:")
    disk.ask("config", "resetstat")
    for number in range(1, 6):
        assert await taken(store, LOVE, SHARE) == {"love": 1, "share": 1}
        assert waits(disk) == number
    await store.ping()
    assert waits(disk) == 6
    await store.close()


async def test_what_does_not_come_to_the_disk_is_not_acknowledged_nor_is_its_repetition(
    disk: RedisServer, kinds: Kinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_line, "DISK_S", 0.1)
    monkeypatch.setattr(redis_servers, "RETRY_S", 0.2)
    store = open_store(disk.url, kinds, ack="disk", prefix="never:")
    await taken(store, LOVE)
    disk.ask("config", "set", "appendfsync", "no")  # the operator's slip: nothing is flushed any more
    try:
        for _ in range(2):
            await refused(store, LOVE, SHARE)
    finally:
        disk.ask("config", "set", "appendfsync", "always")
    assert await taken(store, LOVE, SHARE) == {"love": 1, "share": 1}
    await store.close()


async def test_without_aof_nothing_is_acknowledged_and_the_log_says_why(
    disk: RedisServer, kinds: Kinds, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(disk.url, kinds, ack="disk", prefix="aof:")
    disk.ask("config", "set", "appendonly", "no")
    try:
        with pytest.raises(Unavailable):
            await store.apply([LOVE])
        assert "appendonly is disabled" in caplog.text
    finally:
        disk.ask("config", "set", "appendonly", "yes")
    assert await taken(store, LOVE) == {"love": 1}
    await store.close()


async def test_with_a_flush_a_second_all_that_was_acknowledged_outlives_kill_9(
    kinds: Kinds, caplog: pytest.LogCaptureFixture
) -> None:
    with single(program="redis-8", appendonly="yes", appendfsync="everysec") as server:
        store = open_store(server.url, kinds, ack="disk")
        assert "appendfsync everysec" in caplog.text
        acknowledged = []
        for number in range(3):
            reaction = Reaction(POST, f"u:{number}", "share", 1, id="id-00000001")
            await store.apply([reaction])  # the first attempt has the patience that a flush a second takes
            acknowledged.append(reaction)
        server.kill9()
        await asyncio.to_thread(server.start)
        assert await taken(store, *acknowledged) == {"share": 3}
        await store.close()


def test_an_ack_of_the_disk_is_refused_where_it_cannot_be_had(disk: RedisServer, kinds: Kinds) -> None:
    def refusal(server: RedisServer) -> str:
        with pytest.raises(ConfigError) as refused:
            open_store(server.url, kinds, ack="disk")
        return str(refused.value)

    with single(appendonly="yes") as server:
        if server.ask("info", "server").startswith(b"# Server\r\nredis_version:7.0."):
            assert "needs Redis 7.2" in refusal(server)
    with single(program="valkey-8", appendonly="yes", appendfsync="everysec") as server:
        assert "does not work with Valkey" in refusal(server)
    for line, value, before in (("appendfsync", "no", "always"), ("appendonly", "no", "yes")):
        disk.ask("config", "set", line, value)
        assert f"needs {line}" in refusal(disk)
        disk.ask("config", "set", line, before)


def test_waitaof_of_valkey_says_too_early_that_the_disk_has_it() -> None:
    """Why Valkey is refused. When this fails, a later Valkey may be right, and that refusal may go."""
    with single(program="valkey-8", appendonly="yes", appendfsync="everysec") as server:
        with server.client() as client, client.client() as one_connection:
            at_once = 0
            for number in range(20):
                one_connection.eval("return redis.call('SET', KEYS[1], ARGV[1])", 1, "key", number)
                began_s = time.monotonic()
                assert one_connection.execute_command("WAITAOF", 1, 0, 1000) == [1, 0]
                at_once += time.monotonic() - began_s < 0.2
    assert at_once > 10, "with a flush a second most would have waited"


def test_a_replica_that_never_was_is_told_in_the_log(kinds: Kinds, caplog: pytest.LogCaptureFixture) -> None:
    with single(program="redis-8") as server:
        open_store(server.url, kinds, ack="replica")
    assert "has no replica" in caplog.text
