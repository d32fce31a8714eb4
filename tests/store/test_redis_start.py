"""A Redis that a hub does not start with, and what it says then. Of TLS: test_redis_tls.py."""

from __future__ import annotations

import asyncio
import logging
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from hubs import SECRET, running
from main_path import take_main_path
from redis_servers import Cluster, RedisServer, free_port, sentinels, single
from tallycast.errors import ConfigError, Unavailable
from tallycast.kinds import Kinds, Reaction
from tallycast.store import open_store
from tallycast.store.redis.keys import Keys

LOVE = Reaction("post:1", "u:ann", "love", 1)
WORDS = ("p@ss/of?servers", "s&t=of#sentinels")
OF_SERVERS, OF_SENTINELS = "p%40ss%2Fof%3Fservers", "s%26t%3Dof%23sentinels"


def refusal(url: str, kinds: Kinds, *, prefix: str = "tallycast:") -> str:
    with pytest.raises(ConfigError) as refused:
        open_store(url, kinds, prefix=prefix)
    line = str(refused.value)
    assert "\n" not in line
    assert not any(word in line for word in WORDS)
    return line


@contextmanager
def listening(answers: dict[bytes, bytes] | None, greeting: bytes = b"") -> Iterator[tuple[int, list[float]]]:
    """What is no server of this sort: its port, and when somebody dialled it.

    It says `greeting`, then to each command of RESP what `answers` has for it, else OK. Without `answers` it hangs up.
    """
    dialled: list[float] = []

    class Caller(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            dialled.append(time.monotonic())
            self.wfile.write(greeting)
            while answers is not None and (head := self.rfile.readline()):
                words = [self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2] for _ in range(int(head[1:]))]
                self.wfile.write(answers.get(words[0].upper(), b"+OK\r\n"))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Caller) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1], dialled
        finally:
            server.shutdown()
            thread.join()


def test_a_redis_before_7_is_refused(kinds: Kinds) -> None:
    said = b"redis_version:6.2.14\r\nredis_mode:standalone\r\nrole:master"
    with listening({b"INFO": b"$%d\r\n%s\r\n" % (len(said), said)}) as (port, _):
        assert "is Redis 6.2.14, which is too old: use 7.0 or later" in refusal(f"redis://127.0.0.1:{port}", kinds)


def test_what_speaks_another_protocol_is_refused(kinds: Kinds) -> None:
    with listening(None, b"HTTP/1.1 400 Bad Request\r\n\r\n") as (port, _):
        assert f"at 127.0.0.1:{port} is no Redis" in refusal(f"redis://127.0.0.1:{port}", kinds)


async def test_what_hangs_up_is_dialled_again_with_pauses(kinds: Kinds, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tallycast.redis")
    with listening(None) as (port, dialled):
        store = open_store(f"redis://127.0.0.1:{port}", kinds)
        assert "starts without it and goes on trying" in caplog.text
        store.follow(["post:1"], lambda _: None)
        end_s = time.monotonic() + 2
        while time.monotonic() < end_s:
            with pytest.raises(Unavailable):
                await store.ping()
            await asyncio.sleep(0.01)
        await store.close()
    assert 5 < len(dialled) < 150
    assert len(caplog.records) < 10


async def test_a_server_that_became_a_replica_takes_nothing_and_is_still_read(
    kinds: Kinds, caplog: pytest.LogCaptureFixture
) -> None:
    with single() as server:
        store = open_store(server.url, kinds)
        assert (await store.apply([LOVE])).outcomes[0].snapshot.counts == {"love": 1}
        server.ask("replicaof", "127.0.0.1", free_port())
        with pytest.raises(Unavailable, match="read-only replica"):
            await store.apply([LOVE])
        assert "name its primary in TALLYCAST_STORE, or use redis+sentinel://" in caplog.text
        assert (await store.read(["post:1"], [])).snapshots["post:1"].counts == {"love": 1}
        await store.close()


def test_a_database_that_is_not_there_is_refused(redis_single: RedisServer, kinds: Kinds) -> None:
    assert "has no such database" in refusal(f"{redis_single.url}/99", kinds)


def test_a_hub_that_may_not_start_says_so_in_one_line_and_ends(tmp_path: Path) -> None:
    with single(requirepass=WORDS[0]) as server, pytest.raises(RuntimeError, match="the hub ended with 2") as ended:
        with running(tmp_path, store=server.url.replace("://", "://:wrong@"), secret=SECRET):
            pass
    lines = str(ended.value).splitlines()[1:]
    assert len(lines) == 1
    assert "Redis refuses user or password: correct them in TALLYCAST_STORE" in lines[0]
    assert "wrong" not in lines[0]


# A part of a store


@pytest.mark.parametrize("database", ["", "/3"])
def test_a_part_of_a_store_is_refused(database: str, redis_single: RedisServer, kinds: Kinds) -> None:
    url, prefix = redis_single.url + database, f"part{database[1:]}:"
    with redis_single.client() as client:
        client.select(int(database[1:] or 0))
        client.set(f"{prefix}migration", "sqlite:///there.db")
        assert "is no whole copy of sqlite:///there.db yet" in refusal(url, kinds, prefix=prefix)
        open_store(url, kinds, prefix="whole:")
        client.delete(f"{prefix}migration")
    open_store(url, kinds, prefix=prefix)


def test_a_part_of_a_store_is_refused_whichever_node_tells_of_it(redis_cluster: Cluster, kinds: Kinds) -> None:
    for master in redis_cluster.masters():
        prefixes = (f"part{number}:" for number in count())
        prefix = next(one for one in prefixes if redis_cluster.master_of(Keys(one).migration) is master)
        master.ask("set", Keys(prefix).migration, "sqlite:///there.db")
        assert "is no whole copy of sqlite:///there.db yet" in refusal(redis_cluster.url, kinds, prefix=prefix)


def test_another_programs_key_where_a_migration_would_tell_of_itself(redis_single: RedisServer, kinds: Kinds) -> None:
    redis_single.ask("rpush", "mixed:migration", "x")
    assert "another program's key is in the way" in refusal(redis_single.url, kinds, prefix="mixed:")


# Passwords of sentinels


async def test_sentinels_with_a_password_of_their_own(
    kinds: Kinds, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    of_servers, of_sentinels = WORDS
    with sentinels(
        requirepass=of_servers, masterauth=of_servers, of_sentinels={"requirepass": of_sentinels}
    ) as watched:
        url = watched.url.replace("://", f"://:{OF_SERVERS}@")
        await take_main_path(f"{url}?sentinel_password={OF_SENTINELS}", tmp_path)
        for wrong in (url, f"{url}?sentinel_password={OF_SERVERS}"):
            assert "user or password at the sentinels: end the URL with ?sentinel_password" in refusal(wrong, kinds)
        assert "password: correct them" in refusal(f"{watched.url}?sentinel_password={OF_SENTINELS}", kinds)
    assert not any(word in caplog.text for word in (*WORDS, OF_SERVERS, OF_SENTINELS))
