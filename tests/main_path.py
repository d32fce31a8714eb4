"""The main path through a Redis store: what hubs do with it all day, and what its operator does."""

from __future__ import annotations

import asyncio
from pathlib import Path

from filling import OPINION
from tallycast.kinds import Reaction, parse
from tallycast.store import open_store
from tallycast.store.base import OpenStore, Snapshot
from tallycast.store.history import TOTAL, Asked, Rise
from tallycast.store.migrate import migrate
from tallycast.store.records import CHANGES
from tallycast.store.redis.check import check

KINDS = parse(
    f"""{OPINION}
    [share]
    rule = "event"
    [clap]
    rule = "amount"
    max = 50
    [view]
    rule = "unique"
    """,
    "kinds of the main path",
)
POST, VIDEO, ANN = "post:1", "video:2", "u:ann"
BATCH = [
    Reaction(POST, ANN, "like", 1, 10),
    Reaction(POST, ANN, "share", 1, id="id-00000001"),
    Reaction(VIDEO, ANN, "clap", 7),
    Reaction(VIDEO, ANN, "view", 1),
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


async def take_main_path(url: str, directory: Path, *, prefix: str = "tallycast:") -> None:
    """React at one hub, hear it and see its viewers and actors at another, do what administrators do, prove the counts,
    move to a file and back.

    What it writes stays, under `prefix`; `directory` is for the file. Raises whatever does not work.
    """
    store, other = (open_store(url, KINDS, prefix=prefix) for _ in range(2))
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
        await administer(store)
    await store.close()
    await other.close()

    def operate() -> None:
        assert check(url, KINDS, prefix=prefix, repair=True).items == 2
        file = f"sqlite:///{directory / 'moved.db'}"
        assert migrate(url, file, KINDS, prefix=prefix, progress=lambda *_: None).ok
        assert migrate(file, url, KINDS, prefix=f"{prefix}moved:", progress=lambda *_: None).ok

    await asyncio.to_thread(operate)


async def administer(store: OpenStore) -> None:
    """Use documents, journals and history; take out and put back what was said of VIDEO, which stands as before."""
    assert await store.records.put("keys", "a", b"one", None)
    assert not await store.records.put("keys", "a", b"two", None)
    assert await store.records.all("keys") == {"a": b"one"}
    assert (await store.records.revisions(["keys"]))["keys"]
    await store.journal.append("audit", b"act", most=10)
    assert [entry.body for entry in await store.journal.newest("audit", limit=5)] == [b"act"]
    changes = await store.journal.after(CHANGES, "", limit=10)
    assert await store.history.roll("", changes[-1].id, [Rise(POST, TOTAL, 0, "share", 1, ("*",))])
    assert await store.history.series([Asked(POST, TOTAL, 0, 0)]) == [{"share": {0: 1}}]
    assert await store.history.ranking("*", "share", TOTAL, [0], 5) == [(POST, 1)]
    moderation = store.moderation
    assert {snapshot.item for snapshot in (await moderation.items("", "", 10)).items} <= {POST, VIDEO}
    assert ANN in (await moderation.values(VIDEO, "", 10))[0]
    assert set((await moderation.items_of(ANN, ""))[0]) <= {POST, VIDEO}
    removed = await moderation.remove(VIDEO, [ANN])
    assert removed.snapshot.counts == {"view": 1}
    assert (await moderation.put_back(VIDEO, removed.values)).counts == {"clap": 7, "view": 1}
    assert (await moderation.delete("nobody's")).counts == {}
