"""`tallycast migrate` carries documents and journals too, and how many different people there were."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from moves import silent, url
from redis_servers import RedisServer
from tallycast.kinds import Kinds, Reaction, parse
from tallycast.store import open_store
from tallycast.store.base import OpenStore
from tallycast.store.check import Report
from tallycast.store.migrate import migrate
from tallycast.store.records import ANY, CHANGES, Entry
from tallycast.store.redis.pieces import RedisTarget
from tallycast.store.shared import Shared
from tallycast.store.sqlite_pieces import SqliteTarget

POST = "post:1"
PEOPLE = 40
KINDS = parse('[view]\nrule = "unique"\n[love]\nrule = "toggle"\n', "kinds of these tests")

Work = Callable[[OpenStore], Coroutine[Any, Any, Any]]


def at(place: str, prefix: str, work: Work) -> Any:
    """What the work gives, done at the store there."""

    async def do() -> Any:
        store = open_store(place, KINDS, prefix=prefix)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(do())


def move(source: str, target: str, prefix: str, kinds: Kinds = KINDS) -> Report:
    return migrate(source, target, kinds, prefix=prefix, progress=silent)


async def fill(store: OpenStore) -> None:
    """Documents of some spaces, two journals, and an item with people."""
    documents = [("keys", "a", b"\0\xff"), ("keys", "b", b""), ("polls", "ä", b"{}")]
    of_the_moment = [("leases", "x", b""), ("checkpoints", "x", b"17")]
    for space, key, body in (*documents, *of_the_moment):
        assert await store.records.put(space, key, body, None)
    assert await store.records.delete("keys", "b", ANY)
    for number in range(8):
        await store.journal.append("audit", b"act %d" % number, most=100)
    await store.journal.append("dead", b"letter", most=100)
    await store.apply([Reaction(POST, f"u:{number}", "view", 1) for number in range(PEOPLE)])
    await store.apply([KINDS.given(POST, "view", 1_000), Reaction(POST, "u:1", "love", 1)])


async def shared(store: OpenStore) -> tuple[list[dict[str, bytes]], list[list[tuple[int, bytes]]]]:
    """The documents and the journals' entries with their times."""
    spaces = [await store.records.all(space) for space in ("keys", "polls", "leases", "checkpoints")]
    journals: list[list[Entry]] = [await store.journal.after(name, "", limit=100) for name in ("audit", "dead")]
    return spaces, [[entry[1:] for entry in entries] for entries in journals]


async def views(store: OpenStore) -> list[int]:
    """The count, after somebody who had been there came, and after somebody new."""
    batches = [[], [Reaction(POST, "u:1", "view", 1)], [Reaction(POST, "u:new", "view", 1)]]
    counts = []
    for batch in batches:
        await store.apply(batch)
        counts.append((await store.read([POST], [])).snapshots[POST].counts["view"])
    return counts


def test_documents_and_journals_go_there_and_back_with_their_times(
    server: RedisServer, prefix: str, tmp_path: Path
) -> None:
    source, back = url(tmp_path / "a.db"), url(tmp_path / "b.db")
    at(source, prefix, fill)
    spaces, journals = at(source, prefix, shared)
    for one, other in ((source, server.url), (server.url, back)):
        assert move(one, other, prefix).ok
        assert at(other, prefix, shared) == ([*spaces[:2], {}, {}], journals)
    assert at(server.url, prefix, lambda store: store.journal.after(CHANGES, "", limit=1)) == []
    assert at(back, prefix, lambda store: store.records.revisions(["keys"]))["keys"] > 0


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("to_redis", [True, False])
def test_interrupted_and_run_again_it_doubles_nothing(
    to_redis: bool, server: RedisServer, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = url(tmp_path / "a.db"), server.url
    at(source, prefix, fill)
    if not to_redis:
        move(source, target, prefix)
        source, target = target, url(tmp_path / "b.db")
    expected = at(source, prefix, shared)[1]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, RedisTarget if to_redis else SqliteTarget, 2)
        move(source, target, prefix)
    assert move(source, target, prefix).ok
    assert at(target, prefix, shared)[1] == expected


def stop_after(patch: pytest.MonkeyPatch, target: type[RedisTarget | SqliteTarget], steps: int) -> None:
    """Ctrl-C when so many steps of documents and journals are written."""
    write, left = target.write_shared, iter(range(steps))

    async def write_and_stop(self: Any, some: Sequence[Shared]) -> None:
        await write(self, some)
        if next(left, None) is None:
            raise KeyboardInterrupt

    patch.setattr(target, "write_shared", write_and_stop)


def test_people_are_known_again_from_redis_to_redis(server: RedisServer, prefix: str, tmp_path: Path) -> None:
    at(server.url, prefix, fill)
    other = f"{server.url}/1"
    assert move(server.url, other, prefix).ok
    assert at(other, prefix, views) == [1_040, 1_040, 1_041]


def test_people_are_known_again_from_a_file_to_redis(server: RedisServer, prefix: str, tmp_path: Path) -> None:
    at(url(tmp_path / "a.db"), prefix, fill)
    assert move(url(tmp_path / "a.db"), server.url, prefix).ok
    assert at(server.url, prefix, views) == [1_040, 1_040, 1_041]


@pytest.mark.parametrize("large", [False, True])
def test_from_redis_to_a_file_their_number_is_carried(
    large: bool, server: RedisServer, prefix: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if large:
        request.getfixturevalue("small_steps")
    at(server.url, prefix, fill)
    target = url(tmp_path / "a.db")
    assert move(server.url, target, prefix).found == 0
    assert at(target, prefix, views)[0] == 1_040
