"""`tallycast migrate`: whole, there and back, and after every sort of interruption."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moves import (
    DAY_S,
    KINDS,
    PREFIXES,
    Said,
    assert_same,
    content_of,
    move,
    read,
    some_content,
    stop_after,
    take_small_steps,
    url,
    write,
)
from redis_servers import RedisServer, cluster, single
from tallycast.errors import ConfigError
from tallycast.kinds import Reaction
from tallycast.store import open_store
from tallycast.store.migrate import Copied, migrate
from tallycast.store.redis.check import check as check_redis
from tallycast.store.sqlite import SqliteStore

names = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="{}"), min_size=1, max_size=5)
kinds_said = st.one_of(
    st.tuples(st.sampled_from(["love", "retired"]), st.integers(0, 1)), st.tuples(st.just("clap"), st.integers(0, 50))
)
seqs = st.just(0) | st.integers(1, 2**53 - 1)
saids = st.lists(st.tuples(names, names, kinds_said, seqs), max_size=25).map(
    lambda rows: {(item, actor, kind): (n, seq) for item, actor, (kind, n), seq in rows if n or seq}
)
ids = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=12)
ages_s = st.integers(0, DAY_S - 600)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    said=saids,
    versions=st.dictionaries(names, st.integers(1, 2**52)),
    aged=st.dictionaries(st.tuples(names, names, st.just("share"), ids), ages_s, max_size=10),
)
def test_there_and_back_again_is_where_it_began(
    said: Said, versions: dict[str, int], aged: dict[tuple[str, str, str, str], int], server: RedisServer
) -> None:
    prefix, now_s = next(PREFIXES), int(time.time())
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        take_small_steps(patch)
        first, second = Path(name, "first.db"), Path(name, "second.db")
        before = content_of(said, versions, {event: now_s - age_s for event, age_s in aged.items()})
        write(first, before)
        assert move(url(first), server.url, prefix).found == 0
        assert check_redis(server.url, KINDS, prefix=prefix).ok
        assert move(server.url, url(second), prefix).found == 0
        assert_same(read(second), before)


def test_a_large_item_goes_there_and_back_in_many_steps(server: RedisServer, prefix: str, tmp_path: Path) -> None:
    before = some_content(items=1, actors=2_500)
    write(tmp_path / "a.db", before)
    steps: list[Copied] = []
    migrate(url(tmp_path / "a.db"), server.url, KINDS, prefix=prefix, progress=lambda copied, _: steps.append(copied))
    assert len(steps) > 4
    assert steps == sorted(steps)
    assert steps[-1] == Copied(1, len(before.said), len(before.events))
    move(server.url, url(tmp_path / "b.db"), prefix)
    assert_same(read(tmp_path / "b.db"), before)


def test_it_goes_through_all_shards_of_a_cluster(prefix: str, tmp_path: Path) -> None:
    before = some_content(items=40, actors=3)
    write(tmp_path / "a.db", before)
    with cluster() as nodes:
        assert move(url(tmp_path / "a.db"), nodes.url, prefix).ok
        assert all(master.ask("dbsize") > 0 for master in nodes.masters())
        assert move(nodes.url, url(tmp_path / "b.db"), prefix).ok
    assert_same(read(tmp_path / "b.db"), before)


def test_a_hub_goes_on_where_the_other_store_stopped(server: RedisServer, prefix: str, tmp_path: Path) -> None:
    share = Reaction("post:1", "u:1", "share", 1, id="id-00000001")
    with asyncio.Runner() as runner:
        store = open_store(url(tmp_path / "a.db"), KINDS, durability="full")
        runner.run(store.apply([Reaction("post:1", "u:1", "love", 0, 20), Reaction("post:1", "u:1", "clap", 5), share]))
        before = runner.run(store.read(["post:1"], [("post:1", "u:1")]))
        runner.run(store.close())
    move(url(tmp_path / "a.db"), server.url, prefix)
    with asyncio.Runner() as runner:
        store = open_store(server.url, KINDS, durability="full", prefix=prefix)
        assert runner.run(store.read(["post:1"], [("post:1", "u:1")])) == before
        late = Reaction("post:1", "u:1", "love", 1, 10)
        assert runner.run(store.apply([share, late])).changed == []
        changed = runner.run(store.apply([Reaction("post:1", "u:2", "love", 1)])).changed
        assert changed[0].v > before.snapshots["post:1"].v
        assert changed[0].counts == {"clap": 5, "share": 1, "love": 1}
        runner.run(store.close())


# Interrupted


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("steps", [1, 4, 15])
@pytest.mark.parametrize("back", [False, True])
def test_interrupted_and_run_again_it_ends_the_same(
    back: bool, steps: int, server: RedisServer, prefix: str, tmp_path: Path
) -> None:
    before = some_content()
    write(tmp_path / "a.db", before)
    source, target = url(tmp_path / "a.db"), server.url
    if back:
        move(source, server.url, prefix)
        source, target = server.url, url(tmp_path / "b.db")

    def interrupt(_copied: Copied, _items: int) -> None:
        nonlocal steps
        steps -= 1
        if not steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate(source, target, KINDS, prefix=prefix, progress=interrupt)
    if back:
        assert not (tmp_path / "b.db").exists(), "no hub can take a part for the whole"
    else:
        with pytest.raises(ConfigError, match="is no whole copy of sqlite:"):
            move(target, url(tmp_path / "c.db"), prefix)
    assert move(source, target, prefix).found == 0
    if not back:
        move(target, url(tmp_path / "b.db"), prefix)
    assert_same(read(tmp_path / "b.db"), before)


KILLED = """
import os, signal, sys
from tallycast.settings import Settings, read_kinds
from tallycast.store import migrate, pieces
pieces.PIECE_ROWS = migrate.PIECE_ROWS = 3
steps = iter(range(10))
def progress(copied, items):
    if next(steps) == 9:
        os.kill(os.getpid(), signal.SIGKILL)
migrate.migrate(sys.argv[1], sys.argv[2], read_kinds(Settings()), prefix=sys.argv[3], progress=progress)
"""


def test_after_kill_9_it_is_run_again_and_ends_the_same(server: RedisServer, prefix: str, tmp_path: Path) -> None:
    before = some_content()
    write(tmp_path / "a.db", before)
    for source, target in ((url(tmp_path / "a.db"), server.url), (server.url, url(tmp_path / "b.db"))):
        killed = subprocess.run((sys.executable, "-c", KILLED, source, target, prefix), timeout=60, check=False)
        assert killed.returncode == -signal.SIGKILL
        assert move(source, target, prefix).found == 0
    assert_same(read(tmp_path / "b.db"), before)


@pytest.mark.usefixtures("small_steps")
def test_a_redis_that_dies_meanwhile_is_one_line_and_the_next_attempt_ends_well(prefix: str, tmp_path: Path) -> None:
    before = some_content()
    write(tmp_path / "a.db", before)
    with single(appendonly="yes", appendfsync="always") as mortal:
        left = iter(range(5))

        def kill(_copied: Copied, _items: int) -> None:
            if next(left, None) is None and mortal.alive:
                mortal.kill9()

        with pytest.raises(ConfigError, match="Redis cannot be reached"):
            migrate(url(tmp_path / "a.db"), mortal.url, KINDS, prefix=prefix, progress=kill)
        mortal.start()
        assert move(url(tmp_path / "a.db"), mortal.url, prefix).ok
        assert move(mortal.url, url(tmp_path / "b.db"), prefix).ok
    assert_same(read(tmp_path / "b.db"), before)


@pytest.mark.usefixtures("small_steps")
def test_what_the_source_counted_between_two_attempts_is_copied_too(
    server: RedisServer, prefix: str, tmp_path: Path
) -> None:
    write(tmp_path / "a.db", some_content())
    stop_after(8, url(tmp_path / "a.db"), server.url, prefix)
    with asyncio.Runner() as runner:
        store = SqliteStore(tmp_path / "a.db", KINDS)
        runner.run(store.apply([Reaction(f"post:{n}", "u:1", "clap", 50) for n in range(9)]))
        runner.run(store.close())
    between = read(tmp_path / "a.db")
    assert move(url(tmp_path / "a.db"), server.url, prefix).ok
    move(server.url, url(tmp_path / "b.db"), prefix)
    assert_same(read(tmp_path / "b.db"), between)


@pytest.mark.usefixtures("small_steps")
def test_versions_of_a_hub_that_was_let_on_a_part_do_not_go_back(
    server: RedisServer, prefix: str, tmp_path: Path
) -> None:
    write(tmp_path / "a.db", some_content())
    stop_after(8, url(tmp_path / "a.db"), server.url, prefix)
    plant_a_newer_version(server, f"{prefix}{{post:0}}")
    with pytest.raises(ConfigError, match="post:0 is newer than in the source"):
        move(url(tmp_path / "a.db"), server.url, prefix)


def plant_a_newer_version(server: RedisServer, key: str) -> None:
    header = bytearray(server.ask("hget", key, ""))
    header[7] += 1  # the version's highest byte
    server.ask("hset", key, "", bytes(header))
