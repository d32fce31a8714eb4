"""What tests and measurements put into stores: kinds, reactions of which the counts are known, and patience."""

from __future__ import annotations

import asyncio
import time

from tallycast.errors import Unavailable
from tallycast.kinds import Reaction
from tallycast.store.base import Store

OPINION = """
[like]
rule = "toggle"
group = "opinion"
[dislike]
rule = "toggle"
group = "opinion"
"""
ITEMS = ("post:1", "post:2")
SOUND = {"like": 2, "clap": 57, "love": 1, "share": 2}  # of each of them
TAKEN_S = 20.0


async def fill(store: Store) -> None:
    """Give the ITEMS the counts of SOUND."""
    for item in ITEMS:
        await store.apply(
            [
                Reaction(item, "u:1", "dislike", 1, 5),
                Reaction(item, "u:1", "like", 1, 7),
                Reaction(item, "u:2", "like", 1),
                Reaction(item, "u:1", "clap", 50),
                Reaction(item, "u:2", "clap", 7),
                Reaction(item, "u:2", "love", 1),
                Reaction(item, "u:1", "share", 1, id="id-00000001"),
                Reaction(item, "u:1", "share", 1, id="id-00000002"),
            ]
        )


async def taken(store: Store, *batch: Reaction) -> dict[str, int]:
    """The counts after `batch`, sent until it is acknowledged, as clients do. The last reaction's item's."""
    end_s = time.monotonic() + TAKEN_S
    while True:
        try:
            return (await store.apply(batch)).outcomes[-1].snapshot.counts
        except Unavailable:
            assert time.monotonic() < end_s
            await asyncio.sleep(0.05)
