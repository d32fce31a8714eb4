"""On Redis `check` finds each sort of damage, repairs it beside running hubs, and finds nothing in a sound store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count

import pytest

from filling import SOUND, fill
from redis_servers import RedisServer, cluster, single
from tallycast.cli import run
from tallycast.errors import ConfigError
from tallycast.kinds import Kinds, Reaction, Said, parse
from tallycast.store import open_store
from tallycast.store.base import Snapshot
from tallycast.store.check import LISTED, Report
from tallycast.store.redis import check as redis_check
from tallycast.store.redis import scan as redis_scan
from tallycast.store.redis.check import check
from tallycast.store.redis.keys import Keys, make_header, make_record, parse_header, parse_record

PREFIXES = (f"check*{number}:" for number in count())  # the star must match no other's keys

Damage = Callable[["Item"], object]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with single(hash_max_listpack_entries=0) as one:  # so that HSCAN takes many steps, whatever the size
        yield one


class Item:
    """An item's hash, written to past the store."""

    def __init__(self, server: RedisServer, prefix: str, item: str) -> None:
        self.server = server
        self.key = Keys(prefix).item(item)
        self.v, self.counts = parse_header(self.server.ask("hget", self.key, ""))

    @property
    def names(self) -> list[str]:
        return list(self.counts)

    def set_header(self, v: int | None = None, **counts: int) -> None:
        header = make_header(self.v if v is None else v, self.counts | counts)
        assert self.server.ask("hget", self.key, "") != header, "nothing was damaged"
        self.server.ask("hset", self.key, "", header)

    def say(self, actor: str, **said: Said) -> None:
        before = self.server.ask("hget", self.key, actor)
        record = make_record(parse_record(before, self.names) | said, self.names)
        assert before != record, "nothing was damaged"
        self.server.ask("hset", self.key, actor, record)

    def ask(self, command: str, *arguments: object) -> None:
        assert self.server.ask(command, self.key, *arguments), "nothing was damaged"


@pytest.fixture
async def prefix(server: RedisServer, kinds: Kinds) -> str:
    """Of a store in which post:1 and post:2 have the counts of SOUND."""
    own = next(PREFIXES)
    store = open_store(server.url, kinds, prefix=own)
    await fill(store)
    await store.close()
    return own


async def snapshots(server: RedisServer, kinds: Kinds, prefix: str) -> dict[str, Snapshot]:
    store = open_store(server.url, kinds, prefix=prefix)
    try:
        return (await store.read(["post:1", "post:2"], [])).snapshots
    finally:
        await store.close()


async def looked(server: RedisServer, kinds: Kinds | None, prefix: str, *, repair: bool = False) -> Report:
    """check() beside this loop: it has one of its own."""
    return await asyncio.to_thread(check, server.url, kinds, prefix=prefix, repair=repair)


@pytest.fixture(params=["small", "large"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which items are read."""
    if request.param == "large":
        monkeypatch.setattr(redis_scan, "FIELDS_A_STEP", 1)
        monkeypatch.setattr(redis_check, "FIXES_A_CALL", 1)


@pytest.mark.usefixtures("size")
def test_a_sound_store_is_ok(server: RedisServer, kinds: Kinds, prefix: str) -> None:
    report = check(server.url, kinds, prefix=prefix)
    assert report.ok
    assert (report.items, report.values, report.events, report.found) == (2, 14, 4, 0)
    assert str(report) == "2 items, 14 values, 4 event ids: all counts are the sums of their values"


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize(
    ("damage", "findings", "repaired"),
    [
        (
            lambda item: item.set_header(like=5),
            ["post:1: like counts 5, but the values make 2"],
            SOUND,
        ),
        (
            lambda item: item.set_header(share=0, clap=60),
            ["post:1: clap counts 60, but the values make 57", "post:1: share counts 0, but the values make 2"],
            SOUND,
        ),
        (
            lambda item: item.set_header(download=4),
            ["post:1: download counts 4, but the values make 0"],
            SOUND,
        ),
        (
            lambda item: item.ask("hdel", "u:2"),
            [
                "post:1: clap counts 57, but the values make 50",
                "post:1: like counts 2, but the values make 1",
                "post:1: love counts 1, but the values make 0",
            ],
            {"like": 1, "clap": 50, "share": 2},
        ),
        (
            lambda item: item.say("u:1", clap=Said(51, 0)),
            [
                "post:1: u:1 says clap 51, which breaks the rule of its kind: should be 50",
                "post:1: clap counts 57, but the values make 58",
            ],
            SOUND,
        ),
        (
            lambda item: [item.say(f"u:{n}", love=Said(2, 0)) for n in (1, 2)],
            [
                "post:1: u:1 says love 2, which breaks the rule of its kind: should be 1",
                "post:1: u:2 says love 2, which breaks the rule of its kind: should be 1",
                "post:1: love counts 1, but the values make 4",
            ],
            SOUND | {"love": 2},
        ),
        (
            lambda item: item.say("u:1", dislike=Said(1, 6)),
            [
                "post:1: u:1 says dislike 1, which breaks the rule of its kind: should be 0",
                "post:1: dislike counts 0, but the values make 1",
            ],
            SOUND,
        ),
        (
            lambda item: item.say("u:1", dislike=Said(1, 8)),
            [
                "post:1: u:1 says like 1, which breaks the rule of its kind: should be 0",
                "post:1: dislike counts 0, but the values make 1",
            ],
            SOUND | {"like": 1, "dislike": 1},
        ),
        (lambda item: item.set_header(v=0), ["post:1: is counted but has no version"], SOUND),
    ],
)
async def test_planted_damage_is_found_and_repaired(
    damage: Damage, findings: list[str], repaired: dict[str, int], server: RedisServer, kinds: Kinds, prefix: str
) -> None:
    sound = await snapshots(server, kinds, prefix)
    damage(Item(server, prefix, "post:1"))
    before = await snapshots(server, kinds, prefix)
    for _ in range(2):  # looking does not change what is seen
        report = await looked(server, kinds, prefix)
        assert not report.ok
        assert sorted(report.findings) == sorted(findings)
        assert str(report).endswith("wrong, nothing repaired")
    assert await snapshots(server, kinds, prefix) == before

    report = await looked(server, kinds, prefix, repair=True)
    assert report.ok
    assert report.repaired
    assert sorted(report.findings) == sorted(findings)
    assert str(report).endswith("wrong, all repaired")
    assert (await looked(server, kinds, prefix)).found == 0
    after = await snapshots(server, kinds, prefix)
    assert after["post:1"].counts == repaired
    assert after["post:1"].v > sound["post:1"].v
    assert after["post:2"] == sound["post:2"], "only what was repaired has a new version"


async def test_repairing_a_sound_store_changes_nothing(server: RedisServer, kinds: Kinds, prefix: str) -> None:
    before = await snapshots(server, kinds, prefix)
    report = await looked(server, kinds, prefix, repair=True)
    assert report.ok
    assert not report.repaired
    assert await snapshots(server, kinds, prefix) == before


def test_without_kinds_the_rules_are_not_looked_at(server: RedisServer, prefix: str) -> None:
    Item(server, prefix, "post:1").say("u:1", clap=Said(51, 0))
    assert check(server.url, prefix=prefix).findings == ["post:1: clap counts 57, but the values make 58"]


def test_kinds_that_are_not_declared_are_summed_but_have_no_rule(server: RedisServer, prefix: str) -> None:
    only_love = parse('[love]\nrule = "toggle"', "kinds")
    assert check(server.url, only_love, prefix=prefix).ok
    Item(server, prefix, "post:1").set_header(clap=1)
    findings = check(server.url, only_love, prefix=prefix).findings
    assert findings == ["post:1: clap counts 1, but the values make 57"]


def test_a_report_lists_some_findings_and_counts_all(server: RedisServer, prefix: str) -> None:
    for number in range(LISTED + 1):
        server.ask("hset", Keys(prefix).item(f"video:{number}"), "", make_header(7, {"like": 1}))
    report = check(server.url, prefix=prefix)
    assert len(report.findings) == LISTED
    assert report.found == LISTED + 1
    assert "… and 1 more" in str(report).split("\n")


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        (lambda item: item.ask("hdel", ""), "post:1: its header is missing or cannot be read"),
        (lambda item: item.server.ask("hset", item.key, "", "x"), "post:1: its header"),
        (lambda item: item.server.ask("hset", item.key, "u:1", "x" * 11), "post:1: what an actor says cannot be read"),
        (lambda item: item.server.ask("hset", item.key, "u:1", "\xff" * 12), "post:1: what an actor says"),
        (lambda item: item.server.ask("set", item.key, "x"), "post:1: its key "),
        (lambda item: item.server.ask("set", f"{item.key}:e0", "x"), "post:1: the key of its event ids"),
    ],
)
def test_what_cannot_be_read_is_reported_and_nothing_is_written(
    damage: Damage, finding: str, server: RedisServer, kinds: Kinds, prefix: str
) -> None:
    damage(Item(server, prefix, "post:1"))
    Item(server, prefix, "post:2").set_header(like=9)
    before = server.ask("hgetall", Keys(prefix).item("post:2"))
    for repair in (False, True):
        report = check(server.url, kinds, prefix=prefix, repair=repair)
        assert report.damaged
        assert not report.ok
        assert not report.repaired
        assert any(one.startswith(finding) for one in report.findings)
        assert str(report).endswith("restore it from a backup")
    assert server.ask("hgetall", Keys(prefix).item("post:2")) == before


async def test_a_repair_runs_beside_a_hub_which_hears_of_it(server: RedisServer, kinds: Kinds, prefix: str) -> None:
    heard: asyncio.Queue[Snapshot] = asyncio.Queue()
    store = open_store(server.url, kinds, prefix=prefix)
    store.follow(["post:1"], heard.put_nowait)
    sound = await heard.get()
    Item(server, prefix, "post:1").set_header(like=9)
    assert (await looked(server, kinds, prefix, repair=True)).repaired
    while (repaired := await heard.get()).v == sound.v:
        pass
    assert repaired.counts == SOUND
    await store.close()


@pytest.mark.usefixtures("size")
async def test_beside_a_busy_hub_no_finding_is_made_up(server: RedisServer, kinds: Kinds, prefix: str) -> None:
    store = open_store(server.url, kinds, prefix=prefix)
    stop = asyncio.Event()

    async def keep_busy() -> None:
        for turn in count():
            if stop.is_set():
                return
            await store.apply([Reaction("post:1", f"u:{turn % 40}", "clap", turn % 50 + 1)])

    busy = asyncio.create_task(keep_busy())
    try:
        for _ in range(20):
            report = await looked(server, kinds, prefix, repair=True)
            assert report.found == 0, report.findings
            assert report.busy <= 1
    finally:
        stop.set()
        await busy
        await store.close()
    assert (await looked(server, kinds, prefix)).ok


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize(
    "change",
    [
        Reaction("post:1", "u:9", "love", 1),  # another's, which moves the header
        Reaction("post:1", "u:1", "like", 0, 8),  # whose value is to be repaired
        Reaction("post:1", "u:1", "like", 1, 9),  # the same value: only its seq
    ],
)
async def test_what_changed_after_the_look_is_not_written_over(
    change: Reaction, server: RedisServer, kinds: Kinds, prefix: str
) -> None:
    Item(server, prefix, "post:1").say("u:1", dislike=Said(1, 8))
    async with redis_scan.opened(server.url, prefix, purpose="check") as opened:
        look = await anext(aiter(looks(opened, kinds, "post:1")))
        store = open_store(server.url, kinds, prefix=prefix)
        await store.apply([change])
        await store.close()
        before = server.ask("hgetall", Keys(prefix).item("post:1"))
        assert not await redis_check._repaired(opened, look)
        assert server.ask("hgetall", Keys(prefix).item("post:1")) == before


async def looks(opened: redis_scan.Opened, kinds: Kinds, item: str) -> AsyncIterator[redis_check.Look]:
    async for found in redis_scan.hashes(opened, [item]):
        look = await redis_check._look(opened, found, kinds)
        assert look is not None
        assert look.findings
        yield look


def test_the_command_takes_a_redis_url(
    server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("TALLYCAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TALLYCAST_STORE", server.url)
    assert run(["check", "--prefix", prefix]) == 0
    assert capsys.readouterr().out.startswith("2 items, 14 values")
    Item(server, prefix, "post:1").set_header(like=9)
    assert run(["check", "--prefix", prefix]) == 1
    monkeypatch.setenv("TALLYCAST_PREFIX", prefix)
    assert run(["check", "--repair", "--json"]) == 0
    assert '"repaired": true' in capsys.readouterr().out


def test_items_that_changed_too_fast_are_said_to_be_unknown(server: RedisServer, prefix: str) -> None:
    report = check(server.url, prefix=prefix)
    report.busy = 1
    assert "1 large items changed too fast to be summed" in str(report)


def test_it_looks_at_all_shards_of_a_cluster_and_repairs_there(kinds: Kinds) -> None:
    with cluster() as nodes, asyncio.Runner() as runner:
        store = open_store(nodes.url, kinds)
        runner.run(store.apply([Reaction(f"post:{n}", f"u:{m}", "love", 1) for n in range(30) for m in range(3)]))
        shares = [Reaction("post:0", "u:0", "share", 1, id=f"id-{n:08}") for n in range(3)]
        runner.run(store.apply(shares[:1]))
        runner.run(store.apply(shares[1:]))
        runner.run(store.close())
        keys = Keys("tallycast:").events("post:0")
        sizes = [nodes.master_of(key).ask("scard", key) for key in keys]
        assert sorted(sizes) == [1, 3]  # the first id is in both
        assert str(check(nodes.url, kinds, prefix="tallycast:")).startswith("30 items, 91 values, 3 event ids: all")
        for number in range(30):
            item = Item(nodes.master_of(Keys("tallycast:").item(f"post:{number}")), "tallycast:", f"post:{number}")
            item.set_header(love=4)
        report = check(nodes.url, kinds, prefix="tallycast:", repair=True)
        assert (report.found, report.repaired) == (30, True)
        assert check(nodes.url, kinds, prefix="tallycast:").found == 0


def test_without_a_server_it_is_one_line(kinds: Kinds) -> None:
    with pytest.raises(ConfigError, match=r"store redis://127\.0\.0\.1:1: Redis cannot be reached") as raised:
        check("redis://user:secret-word@127.0.0.1:1", kinds, prefix="tallycast:")
    assert "secret-word" not in str(raised.value)


def test_a_cluster_url_to_a_single_server_is_one_line(server: RedisServer, kinds: Kinds) -> None:
    with pytest.raises(ConfigError, match="Cluster mode is not enabled"):
        check(server.url.replace("redis:", "redis+cluster:"), kinds, prefix="tallycast:")
