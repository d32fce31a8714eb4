"""What a store says of itself: of each part of its work whether it went well, and no more than it knows."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from hubs import SECONDS, eventually
from redis_servers import single
from tallycast.errors import Unavailable
from tallycast.kinds import Kinds, Reaction
from tallycast.store import open_store


async def test_the_embedded_store_is_unwell_from_a_failure_until_it_works_again(tmp_path: Path, kinds: Kinds) -> None:
    path = tmp_path / "tally.db"
    store = open_store(f"sqlite:///{path}", kinds)
    assert store.health() == {"reactions": True}
    path.rename(tmp_path / "away.db")
    with pytest.raises(Unavailable):
        await store.ping()
    assert store.health() == {"reactions": False}
    (tmp_path / "away.db").rename(path)
    await store.ping()
    assert store.health() == {"reactions": True}
    await store.close()


async def test_a_store_in_redis_tells_of_each_way_and_of_the_feed(tmp_path: Path, kinds: Kinds) -> None:
    well = {"reactions": True, "reads": True, "publications": True, "feed": True}
    with single() as server:
        store = open_store(server.url, kinds, prefix=f"{tmp_path.name}:")
        heard = 0

        def hear(_: object) -> None:
            nonlocal heard
            heard += 1

        store.follow(["a"], hear)
        await eventually(lambda: heard)
        assert store.health() == well
        server.kill9()
        await eventually(lambda: not store.health()["feed"])
        with pytest.raises(Unavailable):
            await store.apply([Reaction("a", "u:1", "like", 1)])
        assert not store.health()["reactions"]
        server.start()
        await eventually(lambda: store.health()["feed"])
        async with asyncio.timeout(SECONDS):
            while not store.health()["reactions"]:  # it rests a moment after a failure
                with suppress(Unavailable):
                    await store.ping()
                await asyncio.sleep(0.05)
        await store.close()
