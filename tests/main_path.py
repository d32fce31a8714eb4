"""The main path through a Redis store: what hubs do with it all day, and what its operator does."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tallycast.kinds import Kinds, Reaction
from tallycast.store import open_store
from tallycast.store.base import Snapshot
from tallycast.store.migrate import migrate
from tallycast.store.redis.check import check

POST, VIDEO, ANN = "post:1", "video:2", "u:ann"
BATCH = [
    Reaction(POST, ANN, "like", 1, 10),
    Reaction(POST, ANN, "share", 1, id="id-00000001"),
    Reaction(VIDEO, ANN, "clap", 7),
]
SECONDS = 20.0


class Attending:
    """What was told of an actor: items, and None where another hub attends it, too."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[str | None] = asyncio.Queue()

    def elsewhere(self, actor: str) -> None:
        """The rest is told."""

    def said(self, actor: str, item: str | None) -> None:
        """It has, or may have."""
        self.told.put_nowait(item)


async def take_main_path(url: str, kinds: Kinds, directory: Path, *, prefix: str = "tallycast:") -> None:
    """React at one hub, hear it and see its viewers and actors at another, prove the counts, move to a file and back.

    What it writes stays, under `prefix`; `directory` is for the file. Raises whatever does not work.
    """
    store, other = (open_store(url, kinds, prefix=prefix) for _ in range(2))
    heard: asyncio.Queue[Snapshot] = asyncio.Queue()
    other.follow([POST], heard.put_nowait)
    async with asyncio.timeout(SECONDS):
        await store.ping()
        await heard.get()  # it is subscribed
        assert {snapshot.item for snapshot in (await store.apply(BATCH)).changed} == {POST, VIDEO}
        assert (await store.apply(BATCH)).changed == []
        await store.apply([Reaction(POST, ANN, "like", 0, 20)])
        while (await heard.get()).counts != {"share": 1}:
            pass
        await store.tell_viewers({POST: 3})
        await other.tell_viewers({})
        assert await other.count_viewers([POST]) == {POST: 3}
        devices, others = Attending(), Attending()
        store.attend(ANN, devices)
        other.attend(ANN, others)
        assert (await devices.told.get(), await others.told.get()) == (None, None)
        store.announce(ANN, POST)
        while await others.told.get() != POST:
            pass
        reading = await other.read([VIDEO], [(VIDEO, ANN)])
        assert reading.mine == {(VIDEO, ANN): {"clap": 7}}
    await store.close()
    await other.close()

    def operate() -> None:
        assert check(url, kinds, prefix=prefix, repair=True).items == 2
        file = f"sqlite:///{directory / 'moved.db'}"
        assert migrate(url, file, kinds, prefix=prefix, progress=lambda *_: None).ok
        assert migrate(file, url, kinds, prefix=f"{prefix}moved:", progress=lambda *_: None).ok

    await asyncio.to_thread(operate)
